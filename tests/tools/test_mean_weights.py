"""Averaging the weights of several runs."""

import sys

import pytest
import torch

from bgmv2.config import ModelConfig
from bgmv2.nn.checkpoint import load_checkpoint, save_checkpoint
from bgmv2.nn.matting import MattingRefine


@pytest.fixture
def tool(load_tool):
    return load_tool("mean_weights")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("runs/a.safetensors", ("runs/a.safetensors", 1.0)),
        ("runs/a.safetensors:3", ("runs/a.safetensors", 3.0)),
        ("C:/runs/a.safetensors:0.25", ("C:/runs/a.safetensors", 0.25)),
        ("C:/runs/a.safetensors", ("C:/runs/a.safetensors", 1.0)),
    ],
)
def test_a_part_is_a_file_and_how_much_it_counts(tool, text, part):
    assert tool.parse_part(text) == part


def test_a_quarter_of_one_and_three_of_the_other(tool, monkeypatch, tmp_path, capsys):
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for value, path in enumerate(paths):
        model = MattingRefine(ModelConfig("mobilenetv2"))
        torch.nn.init.constant_(model.refiner.conv4.weight, value)
        save_checkpoint(path, model.state_dict(), model.config)
    words = ["mean_weights.py", str(tmp_path / "c.safetensors"), f"{paths[0]}:1", f"{paths[1]}:3"]
    monkeypatch.setattr(sys, "argv", words)
    tool.main()
    config, mean = load_checkpoint(tmp_path / "c.safetensors")
    assert config == ModelConfig("mobilenetv2") and (mean["refiner.conv4.weight"] == 0.75).all()
    with pytest.raises(SystemExit):
        tool.main()
    assert "is there already" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["mean_weights.py", str(tmp_path / "d.safetensors"), f"{paths[0]}:0"])
    with pytest.raises(SystemExit):
        tool.main()
    assert "a share is above 0" in capsys.readouterr().err and not (tmp_path / "d.safetensors").exists()
