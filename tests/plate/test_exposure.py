import json

import numpy as np
import pytest

from bgmv2.plate import uneven
from bgmv2.plate.exposure import SAME_LIGHT, Exposure

PICTURE = np.random.default_rng(3).uniform(0, 1, (20, 30, 3)).astype(np.float32)


def some_field(strength=0.3):
    y = np.linspace(-1, 1, uneven.GRID[0])[:, None, None]
    return strength * y * np.ones((1, uneven.GRID[1], 3))


def test_the_same_light_changes_nothing():
    assert np.array_equal(SAME_LIGHT(PICTURE), PICTURE)
    assert SAME_LIGHT.unevenness == 0 and SAME_LIGHT.white.tolist() == [1, 1, 1]


def test_without_roll_off_it_is_a_line():
    light = Exposure(np.array([0.5, 1.0, 1.5]), np.array([0.1, 0.0, -0.05]))
    expected = PICTURE * np.float32([0.5, 1, 1.5]) + np.float32([0.1, 0, -0.05])
    np.testing.assert_allclose(light(PICTURE), expected.clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("gain", [0.5, 1.7])
def test_a_full_roll_off_leaves_white_where_it_is(gain):
    light = Exposure(np.full(3, gain), np.zeros(3), rolloff=1.0)
    np.testing.assert_allclose(light.white, 1)
    dark = np.full((1, 1, 3), 0.01, np.float32)
    np.testing.assert_allclose(light(dark), gain * dark, rtol=0.02)


def test_two_changes_of_light_are_one():
    first, second = (Exposure(np.full(3, gain), np.zeros(3), rolloff=0.8) for gain in (1.3, 0.7))
    both = Exposure(np.full(3, 1.3 * 0.7), np.zeros(3), rolloff=0.8)
    values = 0.7 * PICTURE.astype(np.float64)
    np.testing.assert_allclose(second.bend(first.bend(values)), both.bend(values), atol=1e-9)


def test_a_field_lights_each_place_in_its_own_way():
    light = SAME_LIGHT.with_field(some_field())
    ratio = (light(PICTURE * 0.5) / (PICTURE * 0.5)).mean(axis=(1, 2))
    assert ratio[0] < 0.8 and ratio[-1] > 1.25 and (np.diff(ratio) > 0).all()
    assert light.unevenness == pytest.approx(np.sqrt(np.mean(some_field() ** 2)))


def test_half_way_to_another_light():
    other = Exposure(np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, 0.0]), 0.6, some_field())
    half = SAME_LIGHT.towards(other, 0.5)
    np.testing.assert_allclose(half.gain, [0.75, 1.0, 1.5])
    np.testing.assert_allclose(half.bias, [0.05, 0, 0])
    assert half.rolloff == 0.3 and np.allclose(half.field, some_field() / 2)
    assert np.allclose(SAME_LIGHT.towards(other, 0.5, field_share=0.1).field, some_field() / 10)
    assert SAME_LIGHT.towards(SAME_LIGHT, 0.5).field is None


@pytest.mark.parametrize("field", [None, some_field()])
def test_a_light_goes_through_json(field):
    light = Exposure(np.array([0.9, 1.0, 1.1]), np.array([0.01, 0.0, 0.02]), 0.25, field)
    again = Exposure.restored(json.loads(json.dumps(light.state())))
    assert np.array_equal(again(PICTURE), light(PICTURE)) and again.state() == light.state()
