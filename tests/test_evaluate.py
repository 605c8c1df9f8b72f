"""Benchmarks, predictions and scores."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from bgmv2 import Matter, RunConfig, VideoError, convert, evaluate, metrics
from bgmv2.evaluate import INDEX, MEASURES, STATISTICS, Item, Score
from bgmv2.plate.align import Aligner
from bgmv2.plate.place import place_plate
from bgmv2.plate.sources import load_plate
from bgmv2.video import read_image, write_image


@pytest.fixture
def benchmark(benchmark_folder):
    return evaluate.load_benchmark(benchmark_folder)


def edit(folder, change):
    path = folder / INDEX
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_benchmark_is_read(benchmark, benchmark_folder):
    assert (benchmark.folder, benchmark.seed, benchmark.sha256) == (benchmark_folder, 7, "0" * 64)
    assert [(item.name, item.category, len(item.srcs)) for item in benchmark.items] == [
        ("a", "static", 1),
        ("b", "shadow", 1),
        ("c", "clip", 3),
    ]
    truth = benchmark.items[2].truth()
    assert truth.shape == (3, 32, 48) and truth.dtype == np.float32
    assert (truth.min(), truth.max()) == (0, 1)


def test_predictions_are_named_as_bgmv2_writes_them(benchmark, tmp_path):
    still, _, clip = benchmark.items
    assert still.predictions(tmp_path) == [tmp_path / "a.png"]
    assert clip.predictions(tmp_path) == [tmp_path / "c" / f"00000{i}.png" for i in range(3)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(version=99), "of version 99"),
        (lambda content: content.pop("seed"), "KeyError: 'seed'"),
        (lambda content: content.update(items=[]), "lists no items"),
        (lambda content: content.update(items=3), "TypeError"),
        (lambda content: content["items"][0].pop("plate"), "KeyError: 'plate'"),
        (lambda content: content["items"][0].update(frames=[]), "a has no frame"),
        (lambda content: content["items"][0].update(category=None), "names and categories are texts"),
        (lambda content: content["items"][0].update(category="all"), "'all' is no category"),
        (lambda content: content["items"][0].update(name="b"), "two items have one name"),
        (
            lambda content: content["items"][0].update(plate="a/none.png"),
            "1 of 13 pictures of the benchmark are missing",
        ),
    ],
)
def test_a_damaged_index_is_refused(benchmark_folder, change, said):
    edit(benchmark_folder, change)
    with pytest.raises(VideoError, match=said):
        evaluate.load_benchmark(benchmark_folder)


def test_what_is_no_benchmark_is_refused(tmp_path, benchmark_folder):
    with pytest.raises(VideoError, match="is no benchmark: it holds no benchmark.json"):
        evaluate.load_benchmark(tmp_path)
    (benchmark_folder / INDEX).write_text("{")
    with pytest.raises(VideoError, match="is damaged"):
        evaluate.load_benchmark(benchmark_folder)


def test_sixteen_bits_are_read_as_they_are(benchmark, tmp_path):
    item = benchmark.items[0]
    write_image(tmp_path / "a.png", np.full((32, 48), 12345, np.uint16))
    assert evaluate.read_predictions(item, tmp_path) == pytest.approx(np.full((1, 32, 48), 12345 / 65535))


def test_a_prediction_of_another_size_or_with_colours_is_refused(benchmark, tmp_path):
    item = benchmark.items[0]
    write_image(tmp_path / "a.png", np.zeros((16, 24), np.uint8))
    with pytest.raises(VideoError, match="a.png has 24x16 pixels, the truth 48x32"):
        evaluate.read_predictions(item, tmp_path)
    write_image(tmp_path / "a.png", read_image(item.srcs[0]), overwrite=True)
    with pytest.raises(VideoError, match="has colours, but alpha is grey"):
        evaluate.read_predictions(item, tmp_path)


def test_a_model_gets_the_pictures_as_a_user_s_are_matted(benchmark, weights):
    matter, item = Matter(weights, "cpu"), benchmark.items[2]
    plate = load_plate(item.plate, 48, 32)
    aligner = Aligner(plate, mode="every")
    wanted = []
    for path in item.srcs:
        pixels = read_image(path)
        pha = matter.matte(pixels, plate=place_plate(plate.bgr[None], aligner.align(pixels))).pha[0, 0]
        wanted.append(np.rint(pha.numpy() * 255) / 255)
    assert evaluate.predict(item, matter, RunConfig(update="off")) == pytest.approx(np.stack(wanted), abs=1e-6)


def test_a_model_s_clip_is_matted_as_convert_does(tmp_path):
    """The plate follows the light in both; the clip grows darker on one side."""
    g = np.random.default_rng(3)
    room = cv2.resize(g.integers(40, 220, (9, 16, 3), dtype=np.uint8), (160, 96), interpolation=cv2.INTER_CUBIC)
    write_image(tmp_path / "plate.png", room)
    dim = np.linspace(0, 1, 160)[None, :, None]
    frames = []
    for index in range(6):
        pixels = np.rint(room * (1 - 0.05 * index * dim)).astype(np.uint8)
        pixels[30:90, 50 + index : 80 + index] = (200, 40, 90)
        frames.append(tmp_path / "src" / f"{index:06d}.png")
        frames[-1].parent.mkdir(exist_ok=True)
        write_image(frames[-1], pixels)
    item = Item("a", "clip", tmp_path / "plate.png", tuple(frames), tuple(frames))
    matter = Matter(device="cpu")
    convert(tmp_path / "src/%06d.png", plate=tmp_path / "plate.png", pha=tmp_path / "pha/%06d.png", matter=matter)
    wanted = np.stack([read_image(tmp_path / "pha" / path.name)[..., 0] / 255 for path in frames])
    np.testing.assert_allclose(evaluate.predict(item, matter, RunConfig()), wanted, atol=1e-6)
    assert np.abs(evaluate.predict(item, matter, RunConfig(update="off")) - wanted).max() > 0.005


def test_the_truth_scores_nothing(benchmark):
    for item in benchmark.items:
        values = evaluate.score(item, item.truth()).values
        assert set(values) == set(MEASURES) - (set() if len(item.srcs) > 1 else {"dtssd"})
        assert not any(values.values())


def test_a_clip_gets_the_mean_of_its_frames_and_its_worst_frame(benchmark):
    item = benchmark.items[2]
    truth = item.truth()
    pred = truth.copy()
    pred[1, :4] = 0.5  # 4 of 32 rows of background
    score = evaluate.score(item, pred)
    assert score.frame == 1
    assert score.values["mad"] == pytest.approx(0.5 * 4 / 32 / 3)
    background = metrics.background_share(pred[1], truth[1])
    assert background > 0 and score.values["background"] == pytest.approx(background / 3)
    assert score.values["dtssd"] == pytest.approx(0.5 * np.sqrt(4 / 32))
    assert score.values["band_mad"] == pytest.approx(
        metrics.mad(pred[1], truth[1], where=metrics.unknown_band(truth[1])) / 3
    )


def scored(benchmark, *mads):
    return [
        Score(item, {"mad": mad, **({"dtssd": 0.5} if item.name == "c" else {})})
        for item, mad in zip(benchmark.items, mads, strict=True)
    ]


def test_a_summary_has_each_category_and_all(benchmark):
    summary = evaluate.summarize(scored(benchmark, 0.1, 0.2, 0.6))
    assert list(summary) == ["static", "shadow", "clip", "all"]
    assert summary["shadow"] == {"mad": {"mean": 0.2, "median": 0.2, "worst": 0.2}}
    assert summary["all"]["mad"] == pytest.approx({"mean": 0.3, "median": 0.2, "worst": 0.6})
    assert summary["all"]["dtssd"] == {"mean": 0.5, "median": 0.5, "worst": 0.5}


def test_the_table_shows_what_papers_show(benchmark):
    lines = evaluate.table(scored(benchmark, 0.0012, 0.2, 0.6)).splitlines()
    assert "x1000" in lines[0]
    assert sum(line.split()[:1] == [s] for line in lines for s in STATISTICS) == 3
    rows = [line.split() for line in lines]
    assert ["static", "1", "1.20", "-"] in rows and ["clip", "1", "600", "50.0"] in rows
    assert ["all", "3", "200", "50.0"] in rows and ["all", "3", "267", "50.0"] in rows


def test_the_report_is_json_with_every_item(benchmark):
    content = json.loads(json.dumps(evaluate.report(benchmark, scored(benchmark, 0.1, 0.2, 0.6), predictions="p")))
    assert content["predictions"] == "p" and content["benchmark"]["seed"] == 7
    assert content["items"][2] == {"name": "c", "category": "clip", "mad": 0.6, "dtssd": 0.5}


def test_a_row_of_the_sheet_shows_the_worst_frame(benchmark):
    item = benchmark.items[2]
    pred = item.truth()
    pred[2] = 1
    row = evaluate.sheet_row(evaluate.score(item, pred), pred, side=48)
    assert row.shape == (32, 5 * 48, 3) and row.dtype == np.uint8
    assert (row[24:, 3 * 48 : 4 * 48] == 255).all()  # the prediction, below the text
    assert (row[24:, :48] == read_image(item.srcs[2])[24:]).all()
