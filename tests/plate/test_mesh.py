"""What one homography cannot explain: a lens that bends, and two walls at different distances."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from bgmv2.plate.align import Aligner
from bgmv2.plate.exposure import SAME_LIGHT
from bgmv2.plate.place import place_plate_and_cover

WIDTH, HEIGHT = 640, 360


@pytest.fixture
def plate(studio):
    return studio.room(3, WIDTH, HEIGHT)


def places():
    return np.stack(np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32)), axis=2)


def through_a_lens(strength):
    """Where in the plate each pixel of a frame comes from if the lens is a barrel."""
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2], np.float32)
    away = places() - middle
    distance = (away**2).sum(axis=2, keepdims=True) / (middle**2).sum()
    return middle + away * (1 + strength * (distance - 0.4))


def two_walls(near):
    """The same if the right third of the room is nearer and the camera went aside; its edge is a ramp of 30 px."""
    at = places()
    at[..., 0] += near * np.clip((at[..., 0] - 400) / 30, 0, 1)
    return at


def film(studio, plate, at, *, subject=False):
    frame = cv2.remap(plate, at, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    if subject:
        frame[100:, 240:330] = studio.room(99, WIDTH, HEIGHT)[100:, 240:330]
    frame += studio.rng.normal(0, 2, frame.shape)
    return np.clip(frame + 0.5, 0, 255).astype(np.uint8)


def misplaced(alignment, at):
    """How far from the truth each pixel of the plate is placed, in the middle of the picture."""
    x, y = (torch.from_numpy(np.ascontiguousarray(places()[..., c])) for c in (0, 1))
    ramp = torch.stack([x / WIDTH, y / HEIGHT, torch.zeros_like(x)])[None]
    placed, _ = place_plate_and_cover(ramp, replace(alignment, light=SAME_LIGHT))
    found = placed[0, :2].permute(1, 2, 0).numpy() * np.array([WIDTH, HEIGHT])
    return np.linalg.norm(found - at, axis=2)[20:-20, 20:-20]


@pytest.mark.parametrize("at", [through_a_lens(0.012), through_a_lens(-0.012), two_walls(2.0)])
def test_a_lens_and_parallax_are_followed(studio, plate, at):
    aligner = Aligner(plate)
    for _ in range(2):
        found = aligner.align(film(studio, plate, at, subject=True))
    assert found.status == "found" and found.mesh.dtype == np.float32
    assert found.mesh.shape == (10, 17, 2) and 0.5 < found.bend <= 6 * 2**0.5 / 2
    without = misplaced(replace(found, mesh=None), at)
    assert np.median(misplaced(found, at)) < 0.5 * np.median(without)
    assert np.percentile(misplaced(found, at), 95) < 0.8 * np.percentile(without, 95)


def test_a_camera_that_only_moves_needs_no_mesh(studio, plate):
    aligner = Aligner(plate)
    for i in range(4):
        truth = studio.camera(degrees=0.5 * i, shift=(3 * i, -i), width=WIDTH, height=HEIGHT)
        found = aligner.align(studio.shot(plate, truth, subject=0.3, gain=0.9))
        assert found.status == ("found" if i else "fixed") and found.mesh is None and found.bend == 0


def test_a_mesh_goes_on_from_the_frame_before_and_through_json(studio, plate):
    frames = [film(studio, plate, through_a_lens(0.012), subject=True) for _ in range(3)]
    whole = Aligner(plate)
    expected = [whole.align(frame) for frame in frames]
    first, rest = Aligner(plate), Aligner(plate)
    for frame in frames[:2]:
        first.align(frame)
    rest.restore(json.loads(json.dumps(first.state())))
    assert np.array_equal(rest.last.mesh, expected[1].mesh)
    found = rest.align(frames[2])
    assert np.array_equal(found.mesh, expected[2].mesh) and np.array_equal(found.homography, expected[2].homography)
    lost = rest.align(np.zeros_like(plate))
    assert lost.status == "held" and np.array_equal(lost.mesh, found.mesh)
