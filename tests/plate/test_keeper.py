"""The plate follows light that changes in places, learns what lies beyond its edges, and nothing of the subject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bgmv2 import Frame, Matter, Plate
from bgmv2.backdrop import open_backdrop
from bgmv2.compose import to_uint8
from bgmv2.config import CompositeConfig
from bgmv2.develop import Lab
from bgmv2.plate.align import Alignment
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.geometry import shift
from bgmv2.plate.keeper import Keeper
from bgmv2.plate.relight import relight, unlit

SIZE = 96, 160
STILL = Alignment(np.eye(3), SAME_LIGHT, "fixed")


def moved(x, y):
    return Alignment(shift(np.array([x, y])), SAME_LIGHT, "found")


@pytest.fixture
def room():
    """A room that is larger than the plate by 40 pixels on each side."""
    noise = torch.rand(1, 3, 24, 30, generator=torch.Generator().manual_seed(3))
    return F.interpolate(0.2 + 0.5 * noise, size=(SIZE[0] + 80, SIZE[1] + 80), mode="bicubic").clamp(0.05, 0.9)


@pytest.fixture
def view(room):
    """What a camera shows that moved by whole pixels."""

    def show(x=0, y=0):
        return room[..., 40 - y : 40 - y + SIZE[0], 40 - x : 40 - x + SIZE[1]].contiguous()

    return show


def watch(keeper, src, pha, alignment=STILL):
    bgr, covered = keeper.place(alignment)
    keeper.learn(src, pha, bgr, covered, alignment)
    return bgr, covered


def nobody():
    return torch.zeros(1, 1, *SIZE)


def test_a_patch_of_light_is_followed_and_a_shadow_asks_for_the_plate_as_it_was(view):
    keeper = Keeper(Plate(view()[0]), SIZE)
    light = torch.ones(1, 1, *SIZE)
    light[..., 20:60, 30:90] = 1.25
    src = view() * light
    # Between two cells light goes on smoothly, so that edges are soft.
    at_edges = F.max_pool2d(light, 13, 1, 6) + F.max_pool2d(-light, 13, 1, 6) > 0
    apart = [((watch(keeper, src, nobody())[0] - src).abs() * ~at_edges).mean().item() for _ in range(60)]
    assert at_edges.float().mean() < 0.2 and apart[-1] < 0.02 * apart[0]
    assert torch.equal(keeper.place(STILL, drifted=False)[0], view())


def test_light_is_followed_with_the_scene_when_the_camera_moves(view):
    keeper = Keeper(Plate(view()[0]), SIZE)
    light = torch.ones(1, 1, *SIZE)
    light[..., 30:60, 40:90] = 1.2
    for _ in range(50):
        watch(keeper, view() * light, nobody())
    bgr, covered = keeper.place(moved(8, -4))
    truth = view(8, -4) * torch.roll(light, (-4, 8), dims=(2, 3))
    assert ((bgr - truth).abs() * covered).sum() / covered.sum() / 3 < 0.004


def test_nothing_is_learned_of_the_subject_nor_around_it(view):
    keeper = Keeper(Plate(view()[0]), SIZE)
    pha = nobody()
    pha[..., 30:, 60:100] = 1
    src = torch.where(pha > 0, torch.tensor(0.9), view())
    src[..., 30:, 59] = 0.8  # a rim that alpha missed
    for _ in range(40):
        watch(keeper, src, pha)
    assert (keeper.place(STILL)[0] - view()).abs().max() < 1e-6


def test_a_shadow_that_was_learned_and_walked_away_leaves_no_ghost(view):
    keeper = Keeper(Plate(view()[0]), SIZE)
    shade = torch.ones(1, 1, *SIZE)
    shade[..., 40:70, 40:80] = 0.7
    for _ in range(50):
        watch(keeper, view() * shade, nobody())
    ghost = nobody()
    ghost[..., 30:80, 30:90] = 1  # what the network says of a place that is brighter than its plate
    assert (keeper.place(STILL)[0] - view()).abs().max() > 0.1
    for _ in range(80):
        watch(keeper, view(), ghost)
    assert (keeper.place(STILL)[0] - view()).abs().max() < 0.01


def test_what_lies_beyond_the_edges_is_learned_once_frames_agree(view):
    keeper, alignment = Keeper(Plate(view()[0]), SIZE), moved(12, -7)
    first, covered = watch(keeper, view(12, -7), nobody(), alignment)
    beyond = 1 - covered
    beyond[..., -8:, :] = beyond[..., :, 11:13] = 0  # resampled with made-up neighbours
    assert covered.mean() < 0.95 and ((first - view(12, -7)).abs() * beyond).max() > 0.1
    for _ in range(8):
        watch(keeper, view(12, -7), nobody(), alignment)
    later, still_uncovered = keeper.place(alignment)
    assert ((later - view(12, -7)).abs() * beyond).max() < 0.02
    assert torch.equal(still_uncovered, covered)  # only what was filmed counts
    assert (keeper.place(STILL)[0] - view()).abs().max() < 0.02


def with_hole(picture):
    """A plate with made-up colours where somebody stood all the time, of whom frames show nothing any more."""
    seen = torch.ones(1, *SIZE, dtype=torch.bool)
    seen[:, 30:70, 50:90] = False
    return Plate(torch.where(seen, picture[0], torch.tensor(0.5)), seen)


@pytest.mark.parametrize("alignment", [STILL, moved(4, -3)])
def test_a_hole_is_filled_once_frames_agree(view, alignment):
    shift_x, shift_y = (round(alignment.homography[axis, 2]) for axis in (0, 1))
    plate = with_hole(view())
    keeper, src = Keeper(plate, SIZE), view(shift_x, shift_y)
    first, covered = watch(keeper, src, nobody(), alignment)
    hole = torch.roll(~plate.seen[None], (shift_y, shift_x), dims=(2, 3))
    assert ((first - src).abs() * hole).max() > 0.2
    for _ in range(8):
        watch(keeper, src, nobody(), alignment)
    later, still_uncovered = keeper.place(alignment)
    assert ((later - src).abs() * hole).max() < 0.02
    assert torch.equal(still_uncovered, covered)  # only what was filmed counts
    assert ((keeper.place(STILL)[0] - view()).abs() * ~plate.seen[None]).mean() < 0.002


def test_a_hole_in_front_of_which_somebody_stands_stays(view):
    plate = with_hole(view())
    keeper, pha = Keeper(plate, SIZE), nobody()
    pha[..., 25:75, 45:95] = 1
    for _ in range(10):
        watch(keeper, torch.where(pha > 0, torch.tensor(0.9), view()), pha)
    assert (keeper.place(STILL)[0] - plate.bgr).abs().max() < 1e-6


def test_a_subject_that_comes_into_view_is_not_learned(view):
    keeper, alignment = Keeper(Plate(view()[0]), SIZE), moved(12, 0)
    before = keeper.place(alignment)[0]
    generator = torch.Generator().manual_seed(9)
    for _ in range(20):
        src = view(12, 0)
        src[..., :12] = torch.rand(1, 3, SIZE[0], 12, generator=generator)  # never twice the same
        watch(keeper, src, nobody(), alignment)
    assert (keeper.place(alignment)[0] - before)[..., :11].abs().max() < 0.05


def test_a_frame_in_which_the_plate_was_not_found_teaches_nothing(view):
    keeper = Keeper(Plate(view()[0]), SIZE)
    held = replace(moved(9, 3), status="held")
    for _ in range(20):
        watch(keeper, view() * 0.5, nobody(), held)
    assert keeper.state() == {}


def test_another_keeper_goes_on_as_if_it_had_seen_all(view):
    plate = Plate(view()[0])
    whole, rest = Keeper(plate, SIZE), Keeper(plate, SIZE)
    for index in range(12):
        if index == 7:
            rest.restore({name: tensor.clone() for name, tensor in whole.state().items()})
        for keeper in (whole, rest) if index >= 7 else (whole,):
            alignment = moved(5 + index % 3, -index % 4)
            watch(keeper, 1.1 * view(5 + index % 3, -index % 4), nobody(), alignment)
    for one, other in zip(whole.place(moved(6, 2)), rest.place(moved(6, 2)), strict=True):
        assert torch.equal(one, other)
    assert (
        whole.state().keys()
        == rest.state().keys()
        == {
            "drift.logs",
            "surroundings.count",
            "surroundings.mean",
            "surroundings.canvas",
        }
    )


def test_what_was_told_stays_as_it_was_told(view):
    """It is written down by another thread, while the next frames are learned from."""
    plate = Plate(view()[0])
    backdrop = open_backdrop("green", width=SIZE[1], height=SIZE[0])
    lab = Lab(Matter(device="cpu"), plate, backdrop, ("pha",), CompositeConfig(), {})
    lab.keeper = Keeper(plate, SIZE)
    pixels = to_uint8(view(6, 2)[0].permute(1, 2, 0)).numpy()
    lab(Frame(pixels, 0), moved(6, 2))
    told = lab.state()
    before = {name: tensor.clone() for name, tensor in told.items()}
    lab(Frame(pixels, 1), moved(9, 2))
    assert not torch.equal(told["keeper/surroundings.count"], lab.state()["keeper/surroundings.count"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in told.items())


def test_a_mosaic_learns_light_only():
    bgr = torch.rand(3, 120, 300, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    keeper = Keeper(Plate(bgr), SIZE)
    alignment = moved(-50, -10)
    src = 1.2 * bgr[None, :, 10 : 10 + SIZE[0], 50 : 50 + SIZE[1]]
    for _ in range(50):
        watch(keeper, src, nobody(), alignment)
    assert list(keeper.state()) == ["drift.logs"]
    assert (keeper.place(alignment)[0] - src).abs().mean() < 0.1 * (0.2 * src).mean()


@pytest.mark.parametrize("rolloff", [0.0, 0.8])
def test_light_is_undone(rolloff):
    bgr = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(2)) * 0.5 + 0.1
    field = np.full((4, 4, 3), 0.1)
    light = Exposure(np.array([0.8, 1.0, 1.2]), np.array([0.01, 0.0, -0.01]), rolloff, field)
    drift = torch.full((1, 3, 5, 5), -0.2)
    assert (unlit(relight(bgr, light, drift), light, drift) - bgr).abs().max() < 1e-4
