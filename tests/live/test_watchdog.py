"""Whether the plate fits is told in the very frame; how the room changes is made up, who is in it is not."""

import cv2
import numpy as np
import pytest

from bgmv2 import compose
from bgmv2.develop import matte_against
from bgmv2.live.watchdog import BLANK, ELSEWHERE, LIGHT, MOVED, NOT_YET, SUDDEN, Watchdog
from bgmv2.plate.align import Aligner
from bgmv2.plate.sources import load_plate

WIDTH, HEIGHT = 320, 180
RNG = np.random.default_rng(0)


class Guard:
    """A watchdog with what it needs to look at pictures."""

    def __init__(self, sample):
        self.plate = load_plate(sample.plate_path, WIDTH, HEIGHT)
        self.matter, self.aligner, self.dog = sample.matter, Aligner(self.plate), Watchdog()
        self.alphas = []

    def __call__(self, pixels):
        src = compose.from_integers(pixels)[None]
        alignment = self.aligner.align(pixels)
        matte, bgr, _ = matte_against(self.matter, src, self.plate, alignment)
        self.alphas.append(matte.pha[0, 0].numpy())
        return self.dog(matte.pha, src, bgr, alignment)


@pytest.fixture
def guard(sample):
    return Guard(sample)


def bumped(pixels, share, degrees=0.0):
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1)
    matrix[:, 2] += share * WIDTH, share * HEIGHT / 2
    return cv2.warpAffine(pixels, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)


def dimmed(pixels, gain):
    return np.clip(pixels * gain + RNG.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def elsewhere(pixels):
    coarse = np.random.default_rng(5).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)


def garbled(pixels):
    whole = pixels.copy()
    whole[60:] = RNG.integers(0, 256, whole[60:].shape, np.uint8)
    return whole


def rolled(pixels):
    return np.concatenate([pixels[:60], np.roll(pixels[60:], 140, axis=1)])


def turned(pixels):
    return np.ascontiguousarray(pixels[::-1, ::-1])


MISHAPS = {
    "bumped": (lambda p: bumped(p, 0.07, 1.0), MOVED),
    "knocked over": (lambda p: bumped(p, 0.25, 6.0), None),
    "pointed elsewhere": (elsewhere, ELSEWHERE),
    "upside down": (turned, None),
    "lid shut": (lambda p: np.zeros_like(p), BLANK),
    "light off": (lambda p: dimmed(p, 0.12), None),
    "broken picture": (garbled, None),
    "rolled picture": (rolled, None),
    "half a picture": (lambda p: np.concatenate([p[:90], np.full_like(p[90:], 128)]), None),
}


def test_a_plate_that_fits_has_to_prove_it_and_is_then_believed(guard, sample):
    said = [guard(pixels) for pixels in sample.frames[:20]]
    assert said[:2] == [NOT_YET, NOT_YET] and set(said[2:]) == {""}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_a_mishap_is_told_in_the_very_frame(guard, sample, mishap):
    change, expected = MISHAPS[mishap]
    said = [guard(pixels) for pixels in sample.frames[:6]]
    assert not said[-1]
    reason = guard(change(sample.frames[6]))
    assert reason and reason != NOT_YET
    assert reason == expected or (expected is None and reason in (MOVED, ELSEWHERE, LIGHT, SUDDEN))


@pytest.mark.parametrize("mishap", ["bumped", "lid shut", "light off", "broken picture", "pointed elsewhere"])
def test_it_is_over_some_frames_after_the_room_is_as_it_was(guard, sample, mishap):
    change, _ = MISHAPS[mishap]
    for pixels in sample.frames[:6]:
        guard(pixels)
    said = [guard(change(pixels)) for pixels in sample.frames[6:9]]
    assert all(said)
    said = [guard(pixels) for pixels in sample.frames[9:20]]
    assert said[0] and not said[-1]


def test_a_camera_that_was_bumped_is_found_again(guard, sample):
    for pixels in sample.frames[:6]:
        guard(pixels)
    said = [guard(bumped(pixels, 0.07, 1.0)) for pixels in sample.frames[6:20]]
    assert said[0] == MOVED and not said[-1]


def test_a_room_that_stays_in_the_wrong_place_is_never_shown(guard, sample):
    for pixels in sample.frames[:6]:
        guard(pixels)
    assert all(guard(rolled(pixels)) for pixels in sample.frames[6:30])


def test_somebody_who_comes_in_at_once_is_believed_some_frames_later(guard, sample):
    for _ in range(6):
        empty = np.clip(sample.plate + RNG.normal(0, 2, sample.plate.shape), 0, 255).astype(np.uint8)
        guard(empty)
    said = [guard(pixels) for pixels in sample.frames[:8]]
    assert said[0] == SUDDEN and not said[-1]


def test_light_that_the_meter_follows_is_no_mishap(guard, sample):
    for pixels in sample.frames[:6]:
        guard(pixels)
    assert not guard(dimmed(sample.frames[6], 0.6))


def test_light_that_fails_slowly_is_told_before_the_room_is_seen(guard, sample):
    for number, pixels in enumerate(sample.frames):
        reason = guard(dimmed(pixels, max(0.04, 1 - number / 25)))
        seen = (guard.alphas[-1] > 0.5) & (sample.phas[number] == 0)
        assert reason or seen.mean() < 0.05


def test_somebody_who_moves_fast_is_no_mishap(guard, sample):
    said = [guard(pixels) for pixels in sample.frames[::5]]
    assert set(said[3:]) == {""}
