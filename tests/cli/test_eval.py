"""`bgmv2 eval`: a model, or a folder of predictions, on a benchmark."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bgmv2.evaluate import load_benchmark
from bgmv2.video import read_image, write_image


@pytest.fixture
def predictions(benchmark_folder, tmp_path):
    """The truth, but for one row of the second still."""
    folder = tmp_path / "predictions"
    for item in load_benchmark(benchmark_folder).items:
        for path, pha in zip(item.predictions(folder), item.truth(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.rint(pha * 255).astype(np.uint8))
    pixels = read_image(folder / "b.png")[..., 0]
    pixels[0] = 255
    write_image(folder / "b.png", pixels, overwrite=True)
    return folder


def test_predictions_are_scored(bgmv2, benchmark_folder, predictions, tmp_path):
    out, sheet = tmp_path / "scores.json", tmp_path / "sheet.png"
    answer = bgmv2("eval", benchmark_folder, "--predictions", predictions, "--json", out, "--sheet", sheet)
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split()[:3] for line in answer.out.splitlines()]
    assert ["static", "1", "0.00"] in rows and ["shadow", "1", "31.2"] in rows  # 1 of 32 rows
    content = json.loads(out.read_text())
    assert [item["mad"] for item in content["items"]] == pytest.approx([0, 1 / 32, 0])
    assert content["predictions"] == str(predictions)
    assert read_image(sheet).shape == (3 * 32, 5 * 48, 3)
    assert (read_image(sheet)[0, 3 * 48 :] == 255).all()  # the worst item comes first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark", "predictions", "scores.json", "sheet.png"]


def test_a_model_is_scored(bgmv2, benchmark_folder, blind_weights, tmp_path):
    out = tmp_path / "scores.json"
    answer = bgmv2("eval", benchmark_folder, "--weights", blind_weights, "--device", "cpu", "--json", out)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("mobilenetv2 on cpu in float32\n")
    content = json.loads(out.read_text())
    truths = [item.truth() for item in load_benchmark(benchmark_folder).items]
    assert [item["mad"] for item in content["items"]] == pytest.approx([truth.mean() for truth in truths], rel=1e-4)
    assert content["weights"] == str(blind_weights)


def test_results_are_not_replaced_unasked(bgmv2, benchmark_folder, predictions, tmp_path):
    out = tmp_path / "scores.json"
    out.write_text("mine")
    words = ("eval", benchmark_folder, "--predictions", predictions, "--json", out)
    assert "is there already" in bgmv2(*words).error
    assert out.read_text() == "mine"
    assert bgmv2(*words, "--overwrite").code == 0
    assert json.loads(out.read_text())["summary"]["all"]["mad"]["worst"] == pytest.approx(1 / 32)


def test_missing_predictions_are_told_before_anything_is_scored(bgmv2, benchmark_folder, predictions, tmp_path):
    (predictions / "c" / "000001.png").unlink()
    words = ("eval", benchmark_folder, "--predictions")
    said = bgmv2(*words, predictions).error
    assert "1 of 5 pictures of the predictions are missing" in said and "000001.png" in said
    assert "there is no folder" in bgmv2(*words, tmp_path / "none").error


def test_a_prediction_of_another_size_is_an_error(bgmv2, benchmark_folder, predictions, tmp_path):
    write_image(predictions / "a.png", np.zeros((64, 96), np.uint8), overwrite=True)
    out = tmp_path / "scores.json"
    answer = bgmv2("eval", benchmark_folder, "--predictions", predictions, "--json", out)
    assert "a.png has 96x64 pixels, the truth 48x32" in answer.error
    assert not out.exists()


def test_a_set_that_is_missing_or_damaged_is_an_error(bgmv2, benchmark_folder, tmp_path):
    assert "is no benchmark" in bgmv2("eval", tmp_path).error
    (benchmark_folder / "a" / "pha0.png").write_bytes(b"no picture")
    assert "pha0.png cannot be read as a picture" in bgmv2("eval", benchmark_folder, "--device", "cpu").error
    (benchmark_folder / "a" / "pha0.png").unlink()
    assert "pictures of the benchmark are missing" in bgmv2("eval", benchmark_folder).error


@pytest.mark.parametrize("flags", [("--weights", "w.safetensors"), ("--align", "off"), ("--device", "cpu")])
def test_predictions_leave_nothing_to_compute(bgmv2, benchmark_folder, predictions, flags):
    assert "scored as they are" in bgmv2("eval", benchmark_folder, "--predictions", predictions, *flags).usage


def test_what_cannot_be_written_is_told_first(bgmv2, benchmark_folder, predictions, tmp_path):
    words = ("eval", benchmark_folder, "--predictions", predictions)
    assert "there is no folder" in bgmv2(*words, "--json", tmp_path / "none" / "o.json").error
    assert "no suffix of a picture" in bgmv2(*words, "--sheet", tmp_path / "o.txt").error
    both = tmp_path / "o.png"
    assert "would both be written" in bgmv2(*words, "--json", both, "--sheet", both).error
