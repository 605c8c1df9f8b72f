"""The rate is held by cheaper settings, and quality does not go up and down; the clock is made up."""

from __future__ import annotations

import numpy as np
import pytest

from bgmv2.budget import Governor, Setting, affordable, bytes_for, pixels_for, scale_for, scale_text, settings_for

HD = settings_for(1080, 1920)


def cost(setting, load=1.0):
    """Seconds: what is fixed, what follows the coarse picture, and what follows the refined pixels."""
    return load * (0.01 + 0.1 * (setting.scale / HD[0].scale) ** 2 + 0.08 * setting.pixels / HD[0].pixels)


def simulate(governor, load=lambda _: 1.0, count=2000, *, noise=0.0, seed=1):
    """Let a machine of some load work; return the settings of all frames, as numbers of `HD`, and their seconds."""
    rng = np.random.default_rng(seed)
    levels, seconds = [], []
    for index in range(count):
        levels.append(HD.index(governor.setting))
        seconds.append(cost(governor.setting, load(index)) * np.exp(rng.normal(0, noise)))
        governor.step(seconds[-1])
    return np.array(levels), np.array(seconds)


def changes(levels):
    return int(np.count_nonzero(np.diff(levels)))


def test_settings_get_cheaper_step_by_step():
    assert HD[0] == Setting(scale_for(1080, 1920), pixels_for(1080, 1920)) == Setting(1 / 3, 129_600)
    assert [cost(setting) for setting in HD] == sorted((cost(setting) for setting in HD), reverse=True)
    assert len(set(HD)) == len(HD) >= 7
    assert HD[1] == Setting(1 / 3, 64_800) and HD[2] == Setting(0.25, 64_800)
    assert len(settings_for(4, 4)) >= 1


@pytest.mark.parametrize(
    ("height", "width", "parts"),
    [(4, 4, 2), (720, 1280, 2), (1281, 4, 3), (1080, 1920, 3), (1920, 1080, 3), (1440, 2560, 4), (2160, 3840, 6)],
)
def test_the_base_sees_so_many_times_less_that_a_side_has_at_most_640_pixels(height, width, parts):
    assert scale_for(height, width) == 1 / parts and max(height, width) / parts <= 640


def test_scales_are_written_as_flags_take_them():
    assert [scale_text(scale) for scale in (0.5, 1 / 3, 0.1875)] == ["1/2", "1/3", "3/16"]


def test_what_is_chosen_stays():
    chosen = settings_for(1080, 1920, scale=0.5)
    assert {setting.scale for setting in chosen} == {0.5} and len(chosen) == 5
    chosen = settings_for(1080, 1920, pixels=80_000)
    assert {setting.pixels for setting in chosen} == {80_000} and chosen[-1].scale < 0.1
    assert settings_for(1080, 1920, scale=0.125, pixels=80_000) == [Setting(0.125, 80_000)]


def test_no_scale_is_less_than_was_asked_for():
    assert {setting.scale for setting in settings_for(720, 1280, least=0.5)} == {0.5, 0.375, 0.25}
    assert {setting.scale for setting in settings_for(720, 1280, least=1.0)} == {0.5}


def test_what_fits_is_left_alone():
    assert set(simulate(Governor(4, HD))[0]) == {0}


@pytest.mark.parametrize("rate", [4, 6, 8, 12, 20, 30])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_rate_is_held_soon_and_for_good_with_the_best_that_can(rate, noise):
    levels, seconds = simulate(Governor(rate, HD), noise=noise)
    assert seconds[40:].mean() <= 1 / rate
    assert all(cost(HD[level]) <= 1 / rate for level in levels[300:])
    best = next(index for index, setting in enumerate(HD) if cost(setting) <= 0.95 / rate)
    assert best <= np.median(levels[300:]) <= best + 1
    assert changes(levels) <= best + 6


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_nothing_to_and_fro(seed):
    rate = 0.97 / cost(HD[3])  # it hardly fits
    levels, _ = simulate(Governor(rate, HD), count=6000, noise=0.15, seed=seed)
    assert changes(levels[1000:]) <= 8


def test_what_cannot_be_held_ends_with_the_cheapest():
    governor = Governor(1000, HD)
    assert simulate(governor, count=200)[0][-1] == len(HD) - 1


def test_far_too_slow_is_mended_within_a_few_frames():
    levels, seconds = simulate(Governor(20, HD), count=100)
    assert seconds[25:].mean() < 1 / 20 and np.all(np.diff(levels[:30]) >= 0)


def test_quality_comes_back_when_the_machine_is_free_again():
    levels, _ = simulate(Governor(5, HD), lambda index: 3.0 if index < 300 else 0.6)
    assert levels[299] > 0 and levels[-1] == 0
    assert np.all(np.diff(levels[300:]) <= 0)


def test_quality_does_not_pump_between_two_settings():
    """One is too dear and the next has room; a load that comes and goes makes it tempting again and again."""
    levels, _ = simulate(Governor(6, HD), lambda index: 1.3 if index // 60 % 2 else 0.7, 12_000)
    early, late = changes(levels[:3000]), changes(levels[-3000:])
    assert late <= 8 and late <= early


@pytest.mark.parametrize("hiccup", range(4, 16))
def test_a_short_load_lowers_the_quality_for_a_while_only(hiccup):
    rate = 0.6 / cost(HD[0])
    levels, _ = simulate(Governor(rate, HD), lambda index: 3.0 if 50 <= index < 50 + hiccup else 1.0, 1500)
    assert levels[-1] == 0


def test_what_held_for_long_is_tried_again_soon():
    governor = Governor(0.6 / cost(HD[1]), HD[1:])
    waits = []
    for _ in range(6):  # a load of 40 frames after 9,000 calm ones
        levels, _ = simulate(governor, lambda index: 3.0 if index < 40 else 1.0, 9040)
        waits.append(int(np.flatnonzero(levels[40:] == 1)[0]))
    assert max(waits) <= 4 * min(waits) + 100


def test_a_frame_that_took_long_once_changes_nothing():
    assert set(simulate(Governor(4, HD), lambda index: 8.0 if index % 50 == 20 else 1.0)[0]) == {0}


@pytest.mark.parametrize(("rate", "settings"), [(0, HD), (-1, HD), (25, [])])
def test_nonsense_is_refused(rate, settings):
    with pytest.raises(ValueError, match="a rate is positive"):
        Governor(rate, settings)


def test_what_is_chosen_fits_into_half_the_memory():
    needed = [bytes_for(1080, 1920, setting) for setting in HD]
    assert needed == sorted(needed, reverse=True)
    for setting, need in zip(HD, needed, strict=True):
        assert affordable(1080, 1920, HD, memory=2 * need) == setting
    assert affordable(1080, 1920, HD, memory=1000) == HD[-1]
    less = bytes_for(1080, 1920, HD[0], half=True)
    assert less < needed[0] and affordable(1080, 1920, HD, memory=2 * less, half=True) == HD[0]
