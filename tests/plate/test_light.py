import json

import numpy as np
import pytest

from bgmv2.plate.light import LightMeter

SIZE = 120, 214
Y, X = ((np.arange(n, dtype=np.float32) + 0.5) / n for n in SIZE)


def filmed(studio, factor=1.0, *, subject=0.3, at=0.5, noise=0.006, seed=0, plate=None):
    """A room whose code values are multiplied by a factor ``(H, W)`` or 1, with a subject; and what is true of it."""
    room = (studio.room(0, SIZE[1], SIZE[0]) / np.float32(255) if plate is None else plate) * 0.8
    factor = np.broadcast_to(np.float32(factor), SIZE)[..., None]
    true = np.clip(room / 0.8 * factor, 0, 1)
    frame = true.copy()
    x0 = int((at - subject / 2) * SIZE[1])
    x1 = x0 + int(subject * SIZE[1])
    frame[30:, x0:x1] = studio.room(99, SIZE[1], SIZE[0])[30:, x0:x1] / np.float32(255)
    return np.clip(frame + np.random.default_rng(seed).normal(0, noise, frame.shape), 0, 1).astype(np.float32), true


def room(studio):
    return studio.room(0, SIZE[1], SIZE[0]) / np.float32(255)


def errors(studio, factors, **shot):
    """Mean error of the lit plate in each frame, and the meter."""
    plate, found = room(studio), []
    meter = LightMeter(plate)
    for t, factor in enumerate(factors):
        frame, true = filmed(studio, factor, seed=t, at=0.35 + 0.02 * t, **shot)
        found.append(float(np.abs(meter.measure(frame, np.eye(3), doubtful=False)(plate) - true).mean()))
    return found, meter


def test_noise_and_a_moving_subject_do_not_make_light_waver(studio):
    plate, meter = room(studio), LightMeter(room(studio))
    lights = [
        meter.measure(filmed(studio, seed=t, at=0.3 + 0.03 * t)[0], np.eye(3), doubtful=False)(plate) for t in range(10)
    ]
    assert np.abs(np.diff(lights[2:], axis=0)).mean(axis=(1, 2, 3)).max() < 0.001


def test_a_ramp_of_exposure_is_followed_without_lag(studio):
    found, _ = errors(studio, np.exp2(-0.4 * np.arange(12) / 12))
    assert max(found[1:]) < 0.006


def test_a_pulse_of_the_whole_frame_is_no_noise(studio):
    found, _ = errors(studio, [1 + 0.05 * (-1) ** t for t in range(8)])
    assert max(found) < 0.005


@pytest.mark.parametrize("name", ["vignette", "lamp"])
def test_uneven_light_is_found_behind_the_subject_too(studio, name):
    factor = {
        "vignette": 1.05 - 0.7 * ((X - 0.5) ** 2 + (Y[:, None] - 0.5) ** 2),
        "lamp": 0.85 + 0.4 * np.exp(-((X - 0.2) ** 2 + (Y[:, None] - 0.3) ** 2) / 0.1),
    }[name]
    found, meter = errors(studio, [1, 1, *[factor] * 6])
    unlit = np.abs(room(studio) * (1 - factor[..., None])).mean()
    assert found[1] < 0.003 and found[-1] < 0.2 * unlit
    assert meter.last.unevenness > 0.03


def test_bands_of_flicker_are_followed_from_frame_to_frame(studio):
    factors = [1 + 0.07 * np.sin(2 * np.pi * (2.3 * Y[:, None] + 0.37 * t)) + 0 * X for t in range(8)]
    found, _ = errors(studio, factors)
    unlit = np.abs(room(studio) * (1 - factors[0][..., None])).mean()
    assert np.mean(found) < 0.25 * unlit
    steady, meter = errors(studio, [1] * 4)
    assert max(steady) < 0.003 and meter.last.unevenness < 0.003


def test_a_subjects_shadow_is_no_change_of_light(studio):
    dark = 1 - 0.45 * np.exp(-(((X - 0.75) / 0.1) ** 2 + ((Y[:, None] - 0.8) / 0.12) ** 2))
    plate, meter = room(studio), LightMeter(room(studio))
    for t in range(4):
        frame, _ = filmed(studio, dark, seed=t)
        light = meter.measure(frame, np.eye(3), doubtful=False)
    assert np.abs(light(plate) - plate).mean() < 0.004


def test_where_the_plate_was_not_found_light_changes_slowly(studio):
    plate, meter = room(studio), LightMeter(room(studio))
    meter.measure(filmed(studio)[0], np.eye(3), doubtful=False)
    doubted = meter.measure(filmed(studio, 0.8)[0], np.eye(3), doubtful=True)
    assert doubted(plate).mean() > 0.95 * plate.mean()
    meter.measure(np.zeros_like(plate), np.eye(3), doubtful=True)
    assert meter.last is doubted


def test_what_the_plate_never_saw_says_nothing(studio):
    plate = room(studio).copy()
    seen = np.ones(SIZE, bool)
    seen[:, 100:] = False
    plate[:, 100:] *= 0.6
    frame, _ = filmed(studio, 0.9, subject=0)
    light = LightMeter(plate, seen).measure(frame, np.eye(3), doubtful=False)
    assert np.abs(light(plate)[:, :100] - 0.9 * plate[:, :100]).mean() < 0.004


def test_a_plate_larger_than_the_frames_is_found_by_the_homography(studio):
    large = studio.room(0, 2 * SIZE[1], SIZE[0]) / np.float32(255)
    frame = large[:, 150 : 150 + SIZE[1]] * np.float32(0.85)
    shift = np.float64([[1, 0, -150], [0, 1, 0], [0, 0, 1]])
    light = LightMeter(large).measure(np.ascontiguousarray(frame), shift, doubtful=False)
    np.testing.assert_allclose(light.bend(np.full((1, 3), 0.5)), 0.85 * 0.5, atol=0.005)


def test_a_meter_goes_on_where_another_ended(studio):
    factors = [0.9, 0.95 + 0.1 * X * np.ones_like(Y)[:, None], 1.0, 1.05]
    _, whole = errors(studio, factors)
    plate, meter = room(studio), LightMeter(room(studio))
    for t, factor in enumerate(factors):
        meter.measure(filmed(studio, factor, seed=t, at=0.35 + 0.02 * t)[0], np.eye(3), doubtful=False)
        other = LightMeter(plate)
        other.restore(json.loads(json.dumps(meter.state())))
        assert other.state() == meter.state()
        meter = other
    assert np.array_equal(meter.last(plate), whole.last(plate))
