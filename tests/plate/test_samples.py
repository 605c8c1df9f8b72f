"""Frames are taken from all over a clip, few at a time, and brought to one view."""

from fractions import Fraction

import cv2
import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.errors import PlateError
from bgmv2.plate import samples
from bgmv2.plate.samples import length_of, spread, together
from bgmv2.types import Frame

ALL = ReadConfig()


def numbers(clip, read=ALL):
    """The seconds of the frames that were taken."""
    return [frame.seconds for frame in spread(clip, read)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_frames_are_spread_evenly(make_clip, name):
    clip = make_clip(name, count=100, codec="mpeg4")
    taken = numbers(clip)
    assert 24 <= len(taken) <= 48
    steps = np.diff(taken)
    assert steps.min() > 0 and np.ptp(steps) < 1e-6 and taken[-1] > 3.8


def test_few_frames_are_all_taken(make_clip):
    assert len(numbers(make_clip("a.mp4", count=10))) == 10
    assert len(numbers(make_clip("b.mp4", count=60), ReadConfig(start=1, end=1.4))) == 10


def test_more_frames_than_a_clip_announces_take_no_more_memory():
    frames = [Frame(np.zeros((2, 2, 3), np.uint8), index) for index in range(1000)]
    for announced in (None, 10, 1000, 5000):
        kept = samples._thinned(frames, 48, announced=announced)
        assert 1 <= len(kept) <= 48 and (announced == 5000 or len(kept) >= 24)
        assert len({b.pts - a.pts for a, b in zip(kept, kept[1:], strict=False)}) == 1


def test_large_frames_are_taken_fewer():
    assert samples.most_frames(720, 1280, 1) == 48
    assert 12 <= samples.most_frames(2160, 3840, 2) < 24


def test_in_a_long_clip_each_frame_is_sought(make_clip, monkeypatch):
    monkeypatch.setattr(samples, "_DECODED", 50)
    clip = make_clip("a.mp4", count=200)
    taken = numbers(clip)
    assert len(taken) == 48 and taken[0] < 0.13 and taken[-1] > 7.8
    assert np.ptp(np.diff(taken)) < 0.081
    part = numbers(clip, ReadConfig(start=2, end=6))
    assert len(part) == 48 and part[0] >= 2 and part[-1] < 6


def test_frames_of_a_variable_rate_are_taken_by_their_number(make_clip):
    times = [0, 40, 50, 60, 500, 1500, 1510, 1520]
    assert numbers(make_clip("a.mkv", times=times)) == [time / 1000 for time in times]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_the_length_of_a_clip_is_measured(make_clip, name):
    assert length_of(make_clip(name, count=50), ALL)[0] == pytest.approx(2)
    assert length_of(make_clip(f"b{name}", count=30, rate=Fraction(30000, 1001)), ALL)[0] == pytest.approx(
        1.001, abs=2e-3
    )
    late = make_clip(f"c{name}", times=[5000 + 100 * index for index in range(10)], rate=Fraction(10))
    assert length_of(late, ReadConfig(start=0.3, frames=2))[0] == pytest.approx(1, abs=0.02)


def test_a_long_clips_end_is_sought(make_clip, monkeypatch):
    monkeypatch.setattr(samples, "_MARGIN", 0.5)
    assert length_of(make_clip("a.mp4", count=100), ALL)[0] == pytest.approx(4)


def test_frames_of_a_tripod_are_left_as_they_are(studio):
    room = studio.room()
    shots = [studio.shot(room, subject=0.4, at=0.2 + 0.06 * index) for index in range(10)]
    found = together([Frame(shot.copy()) for shot in shots], middle=True, name="clip")
    assert np.array_equal(found.pixels, shots)
    assert found.inside.all() and not found.moved and found.left_out == 0


def test_who_fills_the_picture_does_not_take_the_view_along(studio):
    """The subject has most of the corners, and moves; the room stands still."""
    room = cv2.GaussianBlur(studio.room(), (0, 0), 1)
    subject = studio.room(8)
    shots = []
    for index in range(9):
        shot = studio.shot(room, noise=1)
        shot[:, 100 + 4 * index : 360 + 4 * index] = subject[:, 100:360]
        shots.append(shot)
    found = together([Frame(shot.copy()) for shot in shots], middle=True, name="clip")
    assert not found.moved and np.array_equal(found.pixels, shots)


def test_frames_of_a_hand_are_brought_to_one_view(studio):
    room = studio.room()
    cameras = [studio.camera(degrees=0.4 * index, shift=(3 * index, -2 * index)) for index in range(8)]
    shots = [studio.shot(room, camera, subject=0.15, at=0.1 + 0.1 * index) for index, camera in enumerate(cameras)]
    for middle in (True, False):
        found = together([Frame(shot.copy()) for shot in shots], middle=middle, name="clip")
        assert found.moved and found.left_out == 0
        view = studio.shot(room, cameras[4 if middle else 0], noise=0)
        for index, (pixels, inside) in enumerate(zip(found.pixels, found.inside, strict=True)):
            bare = inside.copy()
            bare[:, max(0, 20 + 48 * index - 70) : 20 + 48 * index + 120] = False
            assert inside.mean() > 0.8
            assert np.abs(pixels.astype(int) - view)[bare].mean() < 5


def test_light_that_drifts_is_evened_out(studio):
    room = studio.room()
    shots = [studio.shot(room, gain=gain, subject=0.2) for gain in (0.8, 0.9, 1.0, 1.1, 1.2)]
    found = together([Frame(shot) for shot in shots], middle=True, name="clip")
    outside = np.s_[:, :, :180]
    assert np.abs(found.pixels[outside].astype(int) - studio.shot(room, noise=0)[:, :180]).mean() < 4


def test_a_camera_that_leaves_the_view_is_refused(studio):
    shots = [Frame(studio.shot(studio.room(seed))) for seed in range(7)]
    with pytest.raises(PlateError, match="camera of clip moves so far that only 1 of 7 frames.*--mosaic"):
        together(shots, middle=True, name="clip")
