"""The background is found behind whoever moves, and what never showed is a hole and nothing else."""

import cv2
import numpy as np
import pytest

from bgmv2.plate import temporal

WIDTH, HEIGHT, COUNT = 160, 90, 24
EVERYWHERE = np.ones((COUNT, HEIGHT, WIDTH), bool)


def keyer(frame, plate):
    """A network that goes by the difference alone."""
    difference = np.abs(frame.astype(np.float32) - plate).max(axis=2) / np.iinfo(frame.dtype).max
    alpha = np.clip((cv2.blur(difference, (3, 3)) - 0.08) * 20, 0, 1)
    return alpha, np.zeros_like(alpha)


@pytest.fixture
def film(studio):
    """A room, and frames of it with somebody who stands where `places` says: left edges in pixels, None if away."""
    room = cv2.GaussianBlur(studio.room(3, WIDTH, HEIGHT), (0, 0), 1)
    subject = studio.room(9, WIDTH, HEIGHT)[20:, :30] // 4 + np.array([200, 0, 60], np.uint8)

    def shoot(places, *, noise=1.5):
        frames = []
        for place in places:
            frame = room.copy()
            if place is not None:
                frame[20:, place : place + 30] = subject
            frames.append(np.clip(frame + studio.rng.normal(0, noise, frame.shape) + 0.5, 0, 255).astype(np.uint8))
        return room, np.stack(frames)

    return shoot


def test_the_median_is_that_of_the_frames_with_a_vote():
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    votes = np.random.default_rng(1).random((5, 4, 6)) < 0.6
    votes[:, 0, 0] = False
    picture, seen = temporal.median(frames, votes)
    assert np.array_equal(seen, votes.any(axis=0)) and (picture[0, 0] == 0).all()
    for y, x in zip(*np.nonzero(seen), strict=True):
        values = np.sort(frames[votes[:, y, x], y, x], axis=0)
        assert np.array_equal(picture[y, x], values[(len(values) - 1) // 2])
    whole, seen = temporal.median(frames, np.ones_like(votes))
    assert np.array_equal(whole, np.median(frames, axis=0)) and seen.all()


def test_the_mode_finds_what_was_seen_in_few_frames(film):
    """A place that is hidden for two thirds of the time, each time by something else."""
    rng = np.random.default_rng(2)
    room, frames = film([None] * COUNT)
    for index, frame in enumerate(frames):
        if index % 3:
            frame[30:60, 40:100] = rng.integers(200, 256, (30, 60, 3))
    found = temporal.mode(frames, EVERYWHERE)
    apart = np.abs(found.picture.astype(int) - room)
    assert apart.mean() < 1 and np.percentile(apart, 99) < 5
    assert (found.support[30:60, 40:100] <= COUNT // 3 + 4).all()
    middle, _ = temporal.median(frames, EVERYWHERE)
    assert np.abs(middle[30:60, 40:100].astype(int) - room[30:60, 40:100]).mean() > 10


def test_who_passes_is_left_out(film):
    room, frames = film([5 * index for index in range(COUNT)])
    found = temporal.background(frames, EVERYWHERE, keyer)
    assert found.seen.all() and not found.still and found.doubtful == 0
    assert np.abs(found.picture.astype(int) - room).mean() < 1


def test_who_stands_for_most_of_the_time_is_left_out_where_the_room_goes_on_behind(film):
    room, frames = film([60] * 15 + [None] * 9)
    middle, _ = temporal.median(frames, EVERYWHERE)
    assert np.abs(middle[30:, 65:85].astype(int) - room[30:, 65:85]).mean() > 30
    found = temporal.background(frames, EVERYWHERE, keyer)
    assert np.abs(found.picture.astype(int) - room).mean() < 1.5 and found.seen.mean() > 0.99


def test_what_never_shows_is_a_hole_that_is_painted_in(film):
    """The subject sways about one place, so that its middle hides the room all the time."""
    room, frames = film([60 + round(12 * np.sin(index)) for index in range(COUNT)])

    def judge(frame, plate):
        # A network knows people by their looks, too.
        alpha, error = keyer(frame, plate)
        looks = frame[..., 0] > 206
        return np.maximum(alpha, looks), error

    found = temporal.background(frames, EVERYWHERE, judge)
    assert not found.seen[30:, 73:77].any()
    assert found.seen[:10].all() and found.seen[:, :40].all() and found.seen[:, 115:].all()
    assert np.abs(found.picture.astype(int) - room)[found.seen].mean() < 1.5
    # Its own colours are nowhere to be seen.
    assert (found.picture[..., 0] < 206).mean() > 0.99


def test_what_the_network_is_unsure_of_is_no_background(film):
    """Alpha alone calls the subject's middle background, as networks do with large dark clothes."""
    room, frames = film([60] * 15 + [None] * 9)
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[35:80, 66:84] = True

    def judge(frame, plate, *, knows):
        alpha, _ = keyer(frame, plate)
        return np.where(hole, 0, alpha), np.where(hole & (alpha > 0), 0.5 * knows, 0)

    sure, unsure = (
        temporal.background(frames, EVERYWHERE, lambda frame, plate, k=k: judge(frame, plate, knows=k)) for k in (0, 1)
    )
    apart = [np.abs(found.picture.astype(int) - room)[40:75, 70:80].mean() for found in (sure, unsure)]
    assert apart[1] < 3 < 20 < apart[0]


def test_16_bits_are_kept(film):
    room, frames = film([5 * index for index in range(COUNT)])
    deep = frames.astype(np.uint16) * 257 + 100
    found = temporal.background(deep, EVERYWHERE, keyer)
    assert found.picture.dtype == np.uint16
    assert np.abs(found.picture.astype(int) - room.astype(int) * 257).mean() < 300
    assert len(np.unique(found.picture & 255)) > 50


def test_where_nobody_is_seen_it_is_said(film):
    _, frames = film([60] * COUNT)
    assert temporal.background(frames, EVERYWHERE, keyer).still


def test_frames_that_show_a_part_have_no_vote_elsewhere(film):
    room, frames = film([None] * COUNT)
    inside = EVERYWHERE.copy()
    inside[:, :, 150:] = False
    inside[::2, :, 120:] = False
    frames[~inside] = 0
    found = temporal.background(frames, inside, keyer)
    assert found.seen[:, :148].all() and not found.seen[:, 150:].any()
    assert np.abs(found.picture[:, :148].astype(int) - room[:, :148]).mean() < 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_holes_are_painted_from_their_rims(dtype):
    top = np.iinfo(dtype).max
    y, x = np.mgrid[:90, :160] / 160
    picture = (np.dstack([x, y, 1 - x]) * top).astype(dtype)
    seen = np.ones((90, 160), bool)
    seen[30:60, 60:100] = False
    spoilt = picture.copy()
    spoilt[~seen] = top
    painted = temporal.filled(spoilt, seen)
    assert np.array_equal(painted[seen], picture[seen]) and painted.dtype == dtype
    apart = np.abs(painted.astype(float) - picture)[~seen] / top
    assert apart.mean() < 0.05 and apart.max() < 0.15
    assert np.array_equal(temporal.filled(picture, np.ones_like(seen)), picture)
