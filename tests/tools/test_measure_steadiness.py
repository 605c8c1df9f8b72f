import json
import sys

import pytest

from bgmv2 import Matter, RunConfig
from bgmv2.evaluate import load_benchmark, predict, score
from bgmv2.video.images import read_image


def test_both_ways_are_measured(monkeypatch, capsys, tmp_path, benchmark_folder, load_tool):
    tool, told = load_tool("measure_steadiness"), tmp_path / "told.json"
    item = load_benchmark(benchmark_folder).items[-1]
    frames = [read_image(path) for path in item.srcs]
    # The sample clip takes a while.
    monkeypatch.setattr(tool, "sample", lambda: (frames, item.truth(), item.plate))
    monkeypatch.setattr(sys, "argv", ["measure_steadiness.py", str(benchmark_folder), "--json", str(told)])
    tool.main()
    table = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0].strip("| ") for row in table[2:]] == ["sample", "sample", "c", "c"]
    plain, steadied = json.loads(told.read_text())["c"].values()
    # Without steadying it is what `bgmv2 eval` says, but for its 8 bits.
    expected = score(item, predict(item, Matter(device="cpu"), RunConfig())).values
    assert plain["mad"] == pytest.approx(expected["mad"], abs=1 / 255)
    assert plain["dtssd"] == pytest.approx(expected["dtssd"], abs=1 / 255)
    assert steadied != plain


def test_the_sample_has_its_truth(load_tool):
    frames, truth, plate = load_tool("measure_steadiness").sample()
    assert len(frames) == len(truth) and truth.shape[1:] == frames[0].shape[:2] and plate.is_file()
    assert 0 <= truth.min() < 0.01 < 0.99 < truth.max() <= 1
