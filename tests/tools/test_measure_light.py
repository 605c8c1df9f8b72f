import json
import sys

import numpy as np
import pytest
import torch

from bgmv2.training.data import Material


@pytest.fixture
def tool(load_tool, monkeypatch):
    module = load_tool("measure_light")
    for name, value in {"WIDTH": 160, "HEIGHT": 90, "FRAMES": 6}.items():
        monkeypatch.setattr(module, name, value)
    return module


@pytest.fixture
def material(studio_room):
    person = torch.zeros(4, 300, 120, dtype=torch.uint8)
    person[0, 20:, 30:90], person[3, 20:, 30:90] = 200, 255
    return Material([person], [], [torch.from_numpy(studio_room).permute(2, 0, 1)])


@pytest.fixture
def studio_room():
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 220, (9, 16, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((12, 12, 1), np.uint8))


@pytest.mark.parametrize("name", ["srgb", "film"])
def test_a_camera_s_curve_comes_back(tool, name):
    curve, code = tool.CURVES[name], np.linspace(0.01, 0.98, 300, dtype=np.float32)
    np.testing.assert_allclose(curve.code(curve.light(code)), code, atol=2e-3)
    assert (np.diff(curve.code(np.linspace(0, 8, 500, dtype=np.float32))) >= 0).all()


def test_what_is_true_is_the_frame_without_subject_noise_and_shadow(tool, material):
    for scene in tool.SCENES:
        plate, frames = tool.Studio(material, 1).film(scene, 0, "srgb")
        for frame in frames:
            difference = np.abs(frame.src / 255 - frame.room)
            empty = (frame.pha == 0) if scene != "shadow" else np.zeros_like(frame.pha, bool)
            assert frame.pha.max() > 0.9 and difference[frame.pha > 0.9].mean() > 0.05
            assert scene == "shadow" or difference[empty].mean() < 0.01
        assert plate.shape == (90, 160, 3) and plate.dtype == np.uint8


def test_scenes_are_measured_and_told(tool, material, monkeypatch, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(tool, "load_material", lambda *_, **__: material)
    words = ["measure_light.py", "data", str(tmp_path / "out"), "--scenes", "steady", "drift", "--clips", "1"]
    monkeypatch.setattr(sys, "argv", words)
    tool.main()
    told = json.loads((tmp_path / "out" / "light.json").read_text())["scenes"]
    assert set(told) == {f"{scene} {curve}" for scene in ("steady", "drift") for curve in ("srgb", "film")}
    assert told["drift srgb"]["after"] < 0.3 * told["drift srgb"]["before"]
    assert told["drift srgb"]["mad"] is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"light.json", "light.txt", "light.png", "sheet.png"}
    assert "drift film" in capsys.readouterr().out
