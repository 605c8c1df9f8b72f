"""Measuring weights on scenes of the validation split."""

import sys

import pytest
import torch

from bgmv2.training.data import Material


@pytest.fixture
def tool(load_tool):
    return load_tool("measure_scenes")


def test_errors_are_told_where_they_lie(tool):
    true_pha = torch.zeros(1, 1, 40, 60)
    true_pha[..., 30:] = 0.9999
    true_pha[..., 29] = 0.5
    pha = true_pha.clone()
    pha[..., 29] = 0.75  # on the edge
    pha[0, 0, 0, 55] = 0.4999  # inside
    pha[0, 0, 0, :2] = 1  # beside
    mean, edges, inside, beside, soft = tool.errors(pha, true_pha)
    assert edges == pytest.approx(1000 * 40 * 0.25 / 2400)
    assert inside == pytest.approx(1000 * 0.5 / 2400) and beside == pytest.approx(1000 * 2 / 2400)
    assert mean == pytest.approx(edges + inside + beside) and soft == pytest.approx(250)


def test_a_hard_edge_has_no_soft_pixels(tool):
    true_pha = (torch.arange(40) < 20).float().expand(1, 1, 30, 40)
    assert tool.errors(1 - true_pha, true_pha) == (1000, 0, 500, 500, 0)


def test_a_row_for_each_weights_scale_and_share(tool, monkeypatch, capsys):
    generator = torch.Generator().manual_seed(1)
    person = torch.randint(40, 220, (4, 60, 24), dtype=torch.uint8, generator=generator)
    person[3] = 255
    rooms = [torch.randint(0, 255, (3, 40, 60), dtype=torch.uint8, generator=generator)]
    monkeypatch.setattr(tool, "load_material", lambda folder, split: Material([person], [], rooms))
    words = ["--size", "96", "64", "--count", "2", "--scales", "1/2", "1/4", "--refined", "1/16", "1"]
    monkeypatch.setattr(sys, "argv", ["measure_scenes.py", "shards", "-", *words])
    tool.main()
    told = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| - |")]
    assert [[cell.strip() for cell in line[1:3]] for line in told] == [
        ["1/2", "1/16"], ["1/2", "1"], ["1/4", "1/16"], ["1/4", "1"],
    ]  # fmt: skip
    for line in told:
        mean, _, edges, inside, beside, _ = (float(cell) for cell in line[3:])
        assert 0 < mean == pytest.approx(edges + inside + beside, abs=0.02)


def test_weights_that_are_not_there_are_told_in_one_line(tool, monkeypatch, capsys):
    monkeypatch.setattr(tool, "load_material", lambda folder, split: Material([], [], [torch.zeros(3, 4, 4)]))
    monkeypatch.setattr(sys, "argv", ["measure_scenes.py", "shards", "none.safetensors"])
    with pytest.raises(SystemExit) as stopped:
        tool.main()
    assert stopped.value.code == 1 and "no weights file none.safetensors" in capsys.readouterr().err
