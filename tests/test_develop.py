"""What is told of frames that show another scene, and what becomes of a subject where the plate saw nothing."""

import warnings
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from bgmv2 import Bgmv2Warning, Frame, Matter, Plate
from bgmv2.backdrop import open_backdrop
from bgmv2.config import CompositeConfig
from bgmv2.develop import _LOST, Lab, _Lost, matte_against
from bgmv2.plate.align import Alignment
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.keeper import Keeper
from bgmv2.plate.temporal import filled
from bgmv2.plate.views import as_plate
from bgmv2.report import Inspector
from bgmv2.video.images import read_image
from bgmv2.video.open import open_source

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


def small(pixels):
    return cv2.resize(pixels, (480, 270), interpolation=cv2.INTER_AREA)


def first_frame(name):
    with closing(open_source(f"tests/sample/{name}.mp4")) as source:
        return small(next(iter(source)).pixels)


def test_a_subject_that_stands_half_where_the_plate_saw_nothing_stays_whole():
    """Beside it, there is no more of the room than without the rule for such places; the network knows no better."""
    frame, truth = first_frame("clip"), first_frame("alpha")
    room = small(read_image("tests/sample/plate.jpg"))
    subject = truth[..., 0] > 250
    columns = np.flatnonzero(subject.any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    seen = np.ones(subject.shape, bool)
    seen[:, middle : middle + 120] = False
    room = filled(room, seen)  # as `bgmv2 plate` paints it in
    matter, bgr = Matter(device="cpu"), as_plate(room).bgr
    matte, *_ = matte_against(matter, matter.upload(frame), Plate(bgr, torch.from_numpy(seen)[None]), FOUND)
    plain = matter.matte(frame, plate=bgr).pha[0, 0].numpy()
    pha = matte.pha[0, 0].numpy()
    behind = ~seen & (truth[..., 0] < 3)
    assert pha[~seen & subject].mean() > 0.95
    assert pha[behind].mean() < plain[behind].mean() < 0.15
    assert np.array_equal(pha[seen], plain[seen])


ROLES = ("com", "rgba", "shadow", "err", "ref")


def developed(device, precision):
    """What becomes of 16-bit frames of a camera that moves, of a plate with a hole, and with all that remembers."""
    room = as_plate(small(read_image("tests/sample/plate.jpg"))).bgr
    seen = torch.ones(1, *room.shape[1:], dtype=torch.bool)
    seen[:, 40:80, 30:90] = False
    backdrop = open_backdrop("blur", width=480, height=270)
    lab = Lab(Matter(device=device, precision=precision), Plate(room, seen), backdrop, ROLES, CompositeConfig(), {})
    lab.keeper, lab.inspector = Keeper(lab.plate, (270, 480)), Inspector()
    mesh = np.random.default_rng(0).normal(0, 0.3, (4, 6, 2)).astype(np.float32)
    pixels = first_frame("clip").astype(np.uint16) * 257
    told = []
    for index in range(8):
        camera = np.array([[1, 0, 2.5 * index], [0, 1, -index], [0, 0, 1]])
        shown = cv2.warpPerspective(pixels, camera, (480, 270), borderMode=cv2.BORDER_REFLECT)
        light = Exposure(np.array([0.9, 1.0, 1.1]), np.array([0.01, 0.0, 0.0]), 0.3, 0.05 * mesh[:3, :5, [0, 1, 0]])
        alignment = replace(FOUND, homography=camera, light=light, mesh=mesh, status="found")
        told.append(lab(Frame(shown, index, 0.04), alignment))
    return told


@pytest.mark.needs_cuda
@pytest.mark.parametrize(("precision", "within"), [("float32", 0.002), ("float16", 0.01)])
def test_cuda_develops_what_the_cpu_does(precision, within):
    here, there = developed("cpu", "float32"), developed("cuda", precision)
    for (ours, observed), (theirs, seen) in zip(here, there, strict=True):
        for role in ROLES:
            assert theirs[role].dtype == np.uint16 and theirs[role].shape == ours[role].shape
            gap = np.abs(theirs[role].astype(int) - ours[role]).mean() / 65535
            assert gap < (0.05 if role == "ref" else within), role
        assert seen.row.coverage == pytest.approx(observed.row.coverage, abs=within)
