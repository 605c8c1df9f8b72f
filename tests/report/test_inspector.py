"""Numbers that mean what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bgmv2.plate.align import Alignment
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.report import Inspector, Row

STILL = Alignment(np.eye(3), SAME_LIGHT, "fixed")
ALL = torch.ones(1, 1, 24, 32)


@pytest.fixture
def observe(matte_of):
    """Let an inspector see a frame; what it says."""
    return lambda inspector, src, pha, **given: inspector(src, matte_of(pha, **given), STILL, 0.0, ALL).row


def test_shares_and_means_are_those_of_the_picture(flat, observe):
    err, ref = torch.zeros(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
    err[..., :2] = 0.2  # a quarter is uncertain
    ref[..., :1, :] = 1  # and of that, a sixth was refined
    pha = flat(0, channels=1)
    pha[..., :12, :] = 1
    row = observe(Inspector(), flat(0.5), pha, err=err, ref=ref)
    assert row.error == pytest.approx(0.05) and row.coverage == pytest.approx(0.5)
    assert row.refined == pytest.approx(1 / 6, abs=1e-6)
    assert row.uncertain == pytest.approx(0.25 * 5 / 6, abs=1e-6)


def test_alignment_and_light_are_told(flat, matte_of):
    shifted = np.array([[1.0, 0, 3], [0, 1, -4], [0, 0, 1]])
    alignment = Alignment(
        shifted, Exposure(np.array([1.1, 1, 0.9]), np.array([0, 0.01, 0.02])), "found", 90, 80, np.float64(0.1)
    )
    observation = Inspector(frames=7)(flat(0.5), matte_of(flat(0, channels=1)), alignment, 1.25, ALL)
    row = observation.row
    assert (row.frame, row.seconds, row.status, row.shift) == (7, 1.25, "found", 5.0)
    assert (row.matches, row.inliers, row.residual) == (90, 80, 0.1)
    assert row.gain == (1.1, 1, 0.9) and row.light == pytest.approx((1.1, 1.01, 0.92))
    assert Row.from_json(row.to_json()) == row


def test_the_largest_bend_of_a_mesh_is_told(flat, matte_of):
    mesh = np.zeros((3, 4, 2), np.float32)
    mesh[1, 2] = 3, -4
    bent = replace(STILL, mesh=mesh)
    row = Inspector()(flat(0.5), matte_of(flat(0, channels=1)), bent, 0.0, ALL).row
    assert row.bend == row.numbers["bend"] == 5 and Row.from_json(row.to_json()) == row
    assert Inspector()(flat(0.5), matte_of(flat(0, channels=1)), STILL, 0.0, ALL).row.bend == 0


def test_what_the_plate_never_saw_and_why_it_was_not_found_are_told(flat, matte_of):
    covered = ALL.clone()
    covered[..., :6] = 0
    lost = replace(STILL, status="held", reason="too few corners")
    row = Inspector()(flat(0.5), matte_of(flat(0, channels=1)), lost, 0.0, covered).row
    assert row.unseen == row.numbers["unseen"] == pytest.approx(6 / 32, abs=1e-5)
    assert row.reason == "too few corners" and Row.from_json(row.to_json()) == row


def test_flicker_is_alpha_that_changes_where_the_picture_does_not(flat, observe):
    inspector = Inspector()
    src, pha = flat(0.5, 20, 40), flat(0, 20, 40, 1)
    assert observe(inspector, src, pha).flicker is None
    assert observe(inspector, src + 0.02, pha).flicker == 0
    changed = pha.clone()
    changed[..., :10] = 0.4  # a quarter of the picture
    assert observe(inspector, src, changed).flicker == pytest.approx(0.1)
    assert observe(inspector, src, changed).flicker == 0


def test_alpha_that_follows_the_picture_is_no_flicker(flat, observe):
    inspector = Inspector()
    src, pha = flat(0.5, 20, 40), flat(0, 20, 40, 1)
    observe(inspector, src, pha)
    moved, follows = src.clone(), pha.clone()
    moved[..., :10] = 0.9
    follows[..., :11] = 1  # one pixel beside what moved, too
    assert observe(inspector, moved, follows).flicker == 0


def test_where_nothing_is_still_nothing_is_said(flat, observe):
    inspector = Inspector()
    observe(inspector, flat(0.2), flat(0, channels=1))
    assert observe(inspector, flat(0.8), flat(1, channels=1)).flicker is None


def test_a_restored_inspector_goes_on_as_if_it_had_seen_all(flat, matte_of):
    generator = torch.Generator().manual_seed(0)
    srcs = [flat(0.5) + 0.01 * torch.rand(1, 3, 24, 32, generator=generator) for _ in range(4)]
    mattes = [matte_of(torch.rand(1, 1, 24, 32, generator=generator)) for _ in srcs]
    whole, rest = Inspector(), Inspector(frames=3)
    rest.restore(whole.state())
    for src, matte in zip(srcs[:3], mattes, strict=False):
        whole(src, matte, STILL, 0.0, ALL)
    rest.restore(whole.state())
    expected = whole(srcs[3], mattes[3], STILL, 0.0, ALL).row
    assert rest(srcs[3], mattes[3], STILL, 0.0, ALL).row == expected and expected.flicker > 0


def test_a_network_that_fails_is_the_worst_and_can_be_written_down(flat, observe):
    row = observe(Inspector(), flat(0.5), flat(math.nan, channels=1), err=math.nan)
    assert math.isnan(row.error) and row.score == math.inf and '"error": null' in row.to_json()
    assert math.isnan(Row.from_json(row.to_json()).coverage)
