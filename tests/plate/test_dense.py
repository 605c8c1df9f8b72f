"""A homography made exact by all pixels that have structure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bgmv2.plate.dense import Dense, believed, sampled, weighed
from bgmv2.plate.views import detail


def view_of(picture):
    return detail(picture.astype(np.float32) / 255)


def nudge(homography, x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]]) @ homography


@pytest.mark.parametrize("gain", [1.0, 0.7])
def test_a_guess_that_is_a_pixel_off_becomes_exact(studio, corners_apart, gain):
    plate = studio.room()
    dense = Dense(view_of(plate), plate.shape[:2])
    truth = studio.camera(degrees=1.5, shift=(9.3, -4.6), perspective=(2e-5, -1e-5))
    frame = view_of(studio.shot(plate, truth, subject=0.3, gain=gain))
    guess = nudge(truth, 0.7, -0.5)
    refined = dense.refine(frame, guess)
    assert corners_apart(guess, truth) > 0.8
    assert corners_apart(refined.homography, truth) < 0.2 and refined.homography[2, 2] == 1


def test_what_the_subject_hides_is_not_believed(studio):
    plate = studio.room()
    dense = Dense(view_of(plate), plate.shape[:2])
    refined = dense.refine(view_of(studio.shot(plate, subject=0.3)), np.eye(3))
    hidden = np.abs(refined.at[:, 0] - 239.5) < 0.14 * 480
    clear = np.abs(refined.at[:, 0] - 239.5) > 0.25 * 480
    assert refined.weights[clear].mean() > 0.7 > 0.4 > refined.weights[hidden].mean()


def test_pixels_that_are_known_to_be_hidden_are_not_asked(studio, corners_apart):
    plate = studio.room()
    dense = Dense(view_of(plate), plate.shape[:2])
    # Most of the picture has gone along with something else.
    frame = view_of(studio.shot(plate))
    frame[:, :300] = np.roll(frame, 1, axis=1)[:, :300]
    hidden = np.zeros((17, 30), bool)
    hidden[:, :20] = True
    told, untold = (dense.refine(frame, nudge(np.eye(3), 0.4, 0), mask).homography for mask in (hidden, None))
    right = [[400, 30, 1], [400, 240, 1]]
    errors = [np.abs((h @ np.array(right).T)[0] - 400).max() for h in (told, untold)]
    assert errors[0] < 0.1 < errors[1]


def test_where_nothing_is_to_be_seen_nothing_is_told(studio):
    plate = studio.room()
    flat = np.full(plate.shape[:2], 128, np.uint8)
    assert Dense(flat, flat.shape).refine(view_of(plate), np.eye(3)) is None
    dense = Dense(view_of(plate), plate.shape[:2])
    assert dense.refine(view_of(plate), nudge(np.eye(3), 1000, 0)) is None
    assert dense.refine(view_of(plate), np.eye(3), np.ones((4, 7), bool)) is None


def test_a_mosaics_part_is_refined_as_well(studio, corners_apart):
    plate = studio.room(0, 960, 540)
    at = np.array([[1.0, 0, -300], [0, 1, -180], [0, 0, 1]])
    frame = cv2.warpPerspective(plate, at, (480, 270))
    refined = Dense(view_of(plate), (270, 480)).refine(view_of(frame), nudge(at, 0.6, 0.4))
    assert corners_apart(refined.homography @ np.linalg.inv(at), np.eye(3)) < 0.2


def test_pixels_are_looked_up_between_pixels():
    picture = np.add.outer(10 * np.arange(6, dtype=np.float32), np.arange(8, dtype=np.float32))
    points = np.array([[2.5, 1], [0, 0], [7, 5], [3.25, 4.5]] * 1500, np.float32)
    np.testing.assert_allclose(sampled(picture, points)[:4], [12.5, 0, 57, 48.25], atol=0.2)
    assert len(sampled(picture, points)) == 6000 and len(sampled(picture, points[:0])) == 0


def test_weights_leave_out_what_is_far_off():
    misses = np.r_[np.random.default_rng(0).normal(0, 5, 1000), 80, -90].astype(np.float32)
    sigma, weights = weighed(misses)
    assert 4.5 < sigma < 5.5 and (weights[-2:] == 0).all() and weights[:1000].mean() > 0.8
    assert believed(np.zeros(1, np.float32), sigma) == 1
