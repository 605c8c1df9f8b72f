"""Handheld clips whose truth is known, and what is measured on them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bgmv2.training.data import Material
from bgmv2.video import read_image

TOOLS = Path(__file__).parents[2] / "tools"
SIZE = (180, 320)


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    import handheld
    import measure_alignment

    return handheld, measure_alignment


def material():
    generator = np.random.default_rng(1)

    def picture(channels, height, width):
        coarse = generator.random((height // 8, width // 8, channels), np.float32)
        fine = generator.random((height // 2, width // 2, channels), np.float32)
        mixed = sum(
            cv2.resize(x, (width, height), interpolation=cv2.INTER_CUBIC) * w for x, w in ((coarse, 2), (fine, 1))
        )
        return np.clip(85 * mixed, 30, 220).astype(np.uint8).reshape(height, width, channels)

    person = picture(4, 90, 40)
    person[..., 3] = 255
    rooms = [picture(3, 240, 400) for _ in range(2)]
    return Material(*([torch.from_numpy(p).permute(2, 0, 1) for p in kind] for kind in ([person], [], rooms)))


@pytest.mark.parametrize("barrel", [0.0, 0.02])
def test_the_truth_is_true(tools, barrel):
    handheld, _ = tools
    hand = handheld.Hand(stops=0, tint=0, noise=0, quality=100, barrel=barrel)
    film = handheld.Film(material(), 3, hand, size=SIZE, frames=40)
    shot = film.shot(25)
    warped = cv2.warpPerspective(film.plate, shot.homography, SIZE[::-1], flags=cv2.INTER_CUBIC)
    points = np.array([[100.0, 60], [250, 120]])
    back = cv2.perspectiveTransform(film.source(25, points)[None], shot.homography)[0]
    np.testing.assert_allclose(
        back, points + barrel * (points - [159.5, 89.5]) * 0.3, atol=1e-6 if barrel == 0 else 1.2
    )
    clear = (shot.pha == 0)[40:-40, 60:-60]
    difference = np.abs(warped.astype(float) - shot.pixels).mean(axis=2)[40:-40, 60:-60][clear].mean()
    still = np.abs(film.plate.astype(float) - shot.pixels).mean(axis=2)[40:-40, 60:-60][clear].mean()
    assert 0.05 < shot.pha.mean() < 0.6
    assert difference < (3 if barrel == 0 else 12) and still > 2 * difference


def test_a_hand_stays_within_its_limits_and_a_tripod_stands_still(tools):
    handheld, _ = tools
    film = handheld.Film(material(), 0, handheld.Hand(), size=SIZE, frames=100)
    cameras = np.array([film.camera(i) for i in range(100)])
    middle = np.array([159.5, 89.5, 1])
    moved = np.array([(c @ middle)[:2] / (c @ middle)[2] - middle[:2] for c in cameras])
    assert 0.02 * 320 < np.abs(moved).max() < 0.036 * 320
    assert 1 < np.rad2deg(np.abs(np.arctan2(cameras[:, 1, 0], cameras[:, 0, 0]))).max() < 3.5
    locked = handheld.Film(material(), 0, handheld.LOCKED, size=SIZE, frames=100)
    np.testing.assert_allclose(locked.camera(31), np.eye(3), atol=1e-12)
    assert np.array_equal(locked.plate, film.plate)


def test_a_seed_gives_the_same_film_and_a_shutter_blurs_it(tools):
    handheld, _ = tools
    sharp, again, blurred = (
        handheld.Film(material(), 2, replace(handheld.Hand(noise=0), shutter=s), size=SIZE, frames=20).shot(9).pixels
        for s in (0, 0, 1)
    )
    assert np.array_equal(sharp, again)
    assert cv2.Laplacian(blurred, cv2.CV_32F).std() < cv2.Laplacian(sharp, cv2.CV_32F).std()


def test_it_is_measured_told_and_drawn(tools, tmp_path, monkeypatch, capsys):
    _, measure_alignment = tools
    monkeypatch.setattr(measure_alignment, "load_material", lambda folder, split: material())
    words = ["--frames", "6", "--clips", "2", "--size", "320", "180"]
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        for name in ("one", "two"):
            paths = ["--json", str(tmp_path / f"{name}.json"), "--plot", str(tmp_path / f"{name}.png")]
            beside = ["--beside", str(tmp_path / "one.json")] if name == "two" else []
            monkeypatch.setattr(sys, "argv", ["measure_alignment.py", "shards", *words, *paths, *beside])
            measure_alignment.main()
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    said = capsys.readouterr().out
    assert "0 of 6" in said and "\noff " in said and "on one core (" in said and "\none " in said
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert one["now"]["mean"] == two["now"]["mean"] and len(one["off"]["mean"]) == 6
    assert np.median(one["now"]["mean"]) < 0.5 < 2 < np.median(one["off"]["mean"])
    assert set(one["now"]["seconds"]) >= {"reduce", "structure", "track", "refine", "light"}
    assert read_image(tmp_path / "one.png").std() > 5


def test_it_is_measured_what_a_plate_that_follows_earns(tools, tmp_path, monkeypatch, capsys):
    import measure_update

    monkeypatch.setattr(measure_update, "load_material", lambda folder, split: material())
    out, sheet = tmp_path / "update.json", tmp_path / "sheet.png"
    words = ["--clips", "1", "--frames", "8", "--every", "6", "--size", "320", "180", "--cases", "still", "handheld"]
    monkeypatch.setattr(sys, "argv", ["measure_update.py", "shards", *words, "--json", str(out), "--sheet", str(sheet)])
    measure_update.main()
    said, told = capsys.readouterr().out, json.loads(out.read_text())
    assert set(told["still"]) == {"off", "on"} and set(told["handheld"]) == {"off", "on", "locked-off"}
    assert all(set(way) >= {"MAD", "where seen"} for case in told.values() for way in case.values())
    # Nothing changes before a tripod.
    assert told["still"]["on"]["MAD"] == pytest.approx(told["still"]["off"]["MAD"], rel=0.1)
    assert "times the locked-off camera's MAD" in said
    assert read_image(sheet).std() > 5
