"""`bgmv2 check`: a verdict in words, in JSON, in pictures and as an exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bgmv2.video import read_image, write_image

from .conftest import COUNT, HEIGHT, WIDTH, room, shot


@pytest.fixture
def check(bgmv2, scene, weights):
    def run(*words, clip=scene.clip, plate=scene.plate):
        return bgmv2("check", clip, "--plate", plate, "--weights", weights, "--device", "cpu", *words)

    return run


def test_a_pair_that_does(check, scene):
    before = scene.snapshot()
    answer = check("--quick")
    assert (answer.code, answer.err) == (0, "") and answer.out.startswith(("good: ", "usable: "))
    assert "the plate fits" in answer.out
    assert scene.snapshot() == before


def test_a_pair_that_does_not(check, scene):
    write_image(scene.folder / "black.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    answer = check("--quick", plate=scene.folder / "black.png")
    assert answer.code == 3 and answer.err == "" and answer.out.startswith("reshoot: ")
    assert "the plate is black" in answer.out


def test_all_numbers_for_machines_with_the_network_asked(check):
    answer = check("--json", "--samples", 3)
    told = json.loads(answer.out)
    assert told["verdict"] in ("good", "usable") and answer.code == 0
    assert len(told["samples"]) >= 3 and told["numbers"]["error"] > 0
    assert all(set(finding) >= {"name", "severity", "sentence", "advice"} for finding in told["findings"])
    assert json.loads(check("--json", "--samples", 3, "--quick").out)["numbers"]["error"] is None


def test_pictures_of_the_evidence(check, scene):
    assert check("--quick", "--pictures", scene.out / "seen").code == 0
    for name in ("samples.png", "plate.png"):
        assert read_image(scene.out / "seen" / name).std() > 5
    assert "holds something already" in check("--quick", "--pictures", scene.out / "seen").error
    assert "is a file" in check("--quick", "--pictures", scene.plate).error
    assert "there is no folder" in check("--quick", "--pictures", scene.out / "a" / "b").error


def test_what_cannot_be_checked_is_an_error(check, scene):
    assert "there is no clip" in check("--quick", clip=scene.folder / "no.mp4").error
    assert "there is no picture" in check("--quick", plate=scene.folder / "no.png").error
    assert "at least 1 frame" in check("--samples", 0).usage


def test_a_plate_on_its_side_is_named(check, scene):
    write_image(scene.folder / "turned.png", np.ascontiguousarray(np.rot90(room())))
    said = check("--quick", plate=scene.folder / "turned.png").error
    assert "stands on its side" in said and "turn it by 90 degrees" in said


def test_a_plate_with_bars_of_another_shape_is_named(check, scene):
    boxed = np.zeros((HEIGHT + 24, WIDTH, 3), np.uint8)
    boxed[12:-12] = room()
    write_image(scene.folder / "boxed.png", boxed)
    assert "black bars" in check("--quick", plate=scene.folder / "boxed.png").error


def test_a_plate_that_is_made_of_the_clip_can_be_checked(check):
    answer = check("--quick", plate="median")
    assert answer.code in (0, 3) and ": " in answer.out


def other_room() -> np.ndarray:
    return (
        np.ascontiguousarray(np.random.default_rng(8).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8))
        .repeat(8, axis=0)
        .repeat(8, axis=1)
    )


@pytest.fixture
def cutting(make_clip):
    """A clip that cuts to another room, in its middle."""
    pictures = [shot(index) if index < COUNT // 2 else other_room() for index in range(COUNT)]
    return make_clip("cutting.mp4", pictures=pictures, size=(WIDTH, HEIGHT))


def test_a_cut_is_named_with_its_instant(check, cutting):
    answer = check("--quick", clip=cutting)
    assert answer.code == 0 and "cuts to another scene at 0.20 s" in answer.out and "--end 0.20" in answer.out


def test_convert_warns_in_one_line_of_what_comes_later(convert, scene, cutting):
    warning = convert("-o", scene.out / "com.mp4", clip=cutting).warning
    assert "do not fit the plate" in warning and "--end" in warning


def test_convert_says_nothing_of_a_good_pair_nor_of_what_is_left_out(convert, scene, cutting):
    assert convert("-o", scene.out / "com.mp4").err == ""
    assert convert("-o", scene.out / "part.mp4", "--end", 0.19, clip=cutting).err == ""
