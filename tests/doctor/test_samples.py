import warnings

import cv2
import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.doctor import diagnose, glance, samples
from bgmv2.doctor.samples import CutFinder, bisect, frame_at, seek_samples, walk_samples
from bgmv2.types import Frame, Plate, VideoInfo
from bgmv2.video.open import open_source

from .conftest import HEIGHT, WIDTH, noisy, room, stand

SIZE = 240, 136
RATE = 25


def small(picture):
    return cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def scenes():
    """Forty frames: somebody walks through one room, and after 24 of them through another."""
    return [small(stand(room(0 if index < 24 else 5), 60 + 9 * index)) for index in range(40)]


@pytest.fixture
def clip(make_clip, scenes):
    return make_clip("clip.mp4", pictures=scenes, size=SIZE, options={"g": "100", "sc_threshold": "0"})


@pytest.fixture
def plate():
    import torch

    return Plate(torch.from_numpy(small(room())).permute(2, 0, 1).float() / 255)


def test_cuts_are_found_and_fast_movement_is_none(scenes):
    finder = CutFinder()
    maybe = [finder.add(pixels, index / RATE) for index, pixels in enumerate(scenes)]
    assert finder.cuts == [24 / RATE] and maybe.index(True) == 24
    pan = CutFinder()
    wide = np.hstack([room(seed) for seed in range(4)])
    for index in range(12):
        pan.add(wide[:, 100 * index : 100 * index + WIDTH], index / RATE)
    assert pan.cuts == []
    flash = CutFinder()
    for index in range(12):
        flash.add(np.clip(room() * (1.5 if index == 6 else 1.0), 0, 255).astype(np.uint8), index / RATE)
    assert flash.cuts == []


def test_frames_are_sought_all_over_the_clip(clip):
    with open_source(clip) as source:
        info = source.info
    found = seek_samples(clip, ReadConfig(), info, 4)
    assert [sample.seconds for sample in found] == pytest.approx([0, 0.4, 0.8, 1.2], abs=0.021)
    part = seek_samples(clip, ReadConfig(start=0.8), VideoInfo(*SIZE, frames=20, rate=info.rate), 2)
    assert [sample.seconds for sample in part] == pytest.approx([0.8, 1.2], abs=0.021)
    assert frame_at(clip, ReadConfig(), 9.0) is None and frame_at("missing.mp4", ReadConfig(), 0) is None


def test_a_clip_of_unknown_length_is_read_whole():
    assert samples.is_short(VideoInfo(1280, 720)) and samples.is_short(VideoInfo(1280, 720, frames=1500))
    assert not samples.is_short(VideoInfo(3840, 2160, frames=1500))


def test_a_cut_is_sought_by_halves(clip, scenes):
    def is_first(frame):
        return np.abs(frame.pixels.astype(float) - small(room())).mean() < 25

    assert bisect(clip, ReadConfig(), 0.0, 1.5, is_first) == pytest.approx(24 / RATE, abs=0.041)


@pytest.mark.parametrize("announced", [None, 40, 10, 400])
def test_frames_are_kept_all_over_a_clip_that_is_read_once(scenes, announced):
    frames = [Frame(pixels, index, 1 / RATE) for index, pixels in enumerate(scenes)]  # type: ignore[arg-type]
    kept, cuts = walk_samples(frames, VideoInfo(*SIZE, frames=announced), ReadConfig(), 5)
    seconds = [sample.seconds for sample in kept]
    assert cuts == [24 / RATE] and 24 / RATE in seconds and seconds == sorted(set(seconds))
    assert 2 <= len(kept) <= 12 and (announced == 400 or max(np.diff(seconds)) <= 0.6)


@pytest.mark.parametrize("short", [True, False])
def test_a_clip_that_cuts_is_diagnosed_whether_it_is_read_or_sought(clip, plate, short, monkeypatch):
    if not short:
        monkeypatch.setattr(samples, "_SHORT", 0)
    finding = {finding.name: finding for finding in diagnose(clip, plate, samples=5).diagnosis.findings}["cut"]
    assert finding.numbers["seconds"] == pytest.approx(24 / RATE, abs=0.041)
    before = diagnose(clip, plate, samples=5, read=ReadConfig(end=0.9)).diagnosis
    assert "cut" not in {finding.name for finding in before.findings}


def test_a_glance_warns_of_what_comes_later(clip, plate):
    with open_source(clip) as source:
        info = source.info
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = glance(clip, plate, info, read=ReadConfig(), align="every")
        assert [finding.name for finding in told] == ["strange-frames"]
        assert glance(clip, plate, info, read=ReadConfig(end=0.9), align="every") == []
        assert glance("-", plate, info, read=ReadConfig(), align="every") == []


def test_noise_of_a_made_up_room_is_none_of_a_cut():
    finder = CutFinder()
    for index in range(10):
        finder.add(noisy(room()[:HEIGHT], index), index / RATE)
    assert finder.cuts == []
