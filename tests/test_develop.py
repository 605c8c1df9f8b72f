"""Frames that show another scene from some instant on are told, once that has lasted."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from bgmv2 import Bgmv2Warning, Frame
from bgmv2.develop import _LOST, _Lost
from bgmv2.plate.align import Alignment
from bgmv2.plate.exposure import SAME_LIGHT
from bgmv2.plate.views import as_plate

FOUND = Alignment(np.eye(3), SAME_LIGHT, "fixed", inliers=100)
HELD = replace(FOUND, status="held", inliers=0)


def told(frames, *, beginning=0.0):
    """What is said of frames: pairs of pixels and alignment, ten a second from 5 s on."""
    lost = _Lost(beginning=beginning)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index, (plate, pixels, alignment) in enumerate(frames):
            lost.warn(as_plate(plate), Frame(pixels, 50 + index, 0.1), alignment)
    assert {warning.category for warning in caught} <= {Bgmv2Warning}
    return [str(warning.message) for warning in caught]


@pytest.fixture
def scenes(picture):
    return picture(1, 64, 48), picture(2, 64, 48)


def test_another_scene_is_told_with_its_beginning(scenes):
    room, other = scenes
    frames = [(room, room, FOUND)] * 4 + [(room, other, HELD)] * 30
    (line,) = told(frames, beginning=5.0)
    assert line.startswith("from 0.40 s on the clip shows another scene") and "--end 0.40 and --start 0.40" in line


def test_what_passes_and_what_looks_like_the_plate_is_not_told(scenes):
    room, other = scenes
    assert not told([(room, room, FOUND), *[(room, other, HELD)] * (_LOST - 1), (room, room, FOUND)] * 2)
    assert not told([(room, room, FOUND), *[(room, room, HELD)] * 30])
    # Of a plate that never fitted the first frame tells.
    assert not told([(room, other, HELD)] * 30)
