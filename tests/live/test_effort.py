"""On a simulated clock: what a picture takes is made up."""

import numpy as np
import pytest

from bgmv2.live.effort import EFFORTS, Governor

COSTS = np.array([100, 80, 60, 50, 38, 30, 22, 12]) / 1000


def drive(governor, count, *, slowness=lambda number: 1.0, noise=0.1, seed=1):
    """Return the level of each picture and the seconds that it took."""
    rng = np.random.default_rng(seed)
    levels, seconds = [], []
    for number in range(count):
        cost = COSTS[governor.level] * slowness(number) * np.exp(rng.normal(0, noise))
        levels.append(governor.level)
        seconds.append(cost)
        governor.spent(cost)
    return np.array(levels), np.array(seconds)


def changes(levels):
    return int(np.count_nonzero(np.diff(levels)))


def test_efforts_go_from_the_best_to_the_cheapest():
    assert (EFFORTS[0].scale, EFFORTS[0].pixels) == (1, 1)
    for better, cheaper in zip(EFFORTS, EFFORTS[1:], strict=False):
        assert better.scale >= cheaper.scale and better.pixels >= cheaper.pixels and better != cheaper


@pytest.mark.parametrize("limit", [1, 0.09, 1 / 15, 1 / 25, 1 / 30, 1 / 60])
def test_the_rate_is_held_with_the_best_effort_that_can(limit):
    levels, seconds = drive(Governor(limit, len(COSTS)), 2000)
    best = int(np.argmax(limit >= COSTS))
    late = levels[500:]
    assert np.median(seconds[500:]) <= limit
    assert best <= np.median(late) <= best + 1


@pytest.mark.parametrize("seed", range(5))
def test_nothing_pumps(seed):
    # 38 ms against a limit of 40: noise alone must not move it to and fro.
    levels, _ = drive(Governor(1 / 25, len(COSTS)), 6000, noise=0.15, seed=seed)
    assert changes(levels[1000:]) <= 8


def test_the_cheapest_effort_is_kept_where_none_is_cheap_enough():
    levels, _ = drive(Governor(0.005, len(COSTS)), 500)
    assert set(levels[50:]) == {len(COSTS) - 1}


def test_far_too_slow_is_mended_within_a_few_pictures():
    levels, seconds = drive(Governor(1 / 30, len(COSTS)), 100)
    assert seconds[25:].mean() < 1 / 30
    assert np.all(np.diff(levels[:30]) >= 0)


def test_one_slow_picture_changes_nothing():
    levels, _ = drive(Governor(0.11, len(COSTS)), 400, noise=0.01, slowness=lambda n: 10.0 if n % 50 == 20 else 1.0)
    assert set(levels) == {0}


def test_it_comes_back_when_the_machine_has_time_again():
    def busy(number):
        return 3.0 if 300 <= number < 600 else 1.0

    levels, _ = drive(Governor(1 / 25, len(COSTS)), 2500, noise=0.02, slowness=busy)
    before, during, after = levels[200:300], levels[500:600], levels[-100:]
    assert np.median(during) > np.median(before)
    # 38 ms of 40 leave nothing to spare, so that the effort before is not risked again.
    assert np.median(after) <= np.median(before) + 1


def test_there_is_a_limit_and_something_to_choose():
    with pytest.raises(ValueError, match="limit is positive"):
        Governor(0.0)
    with pytest.raises(ValueError, match="an effort to take"):
        Governor(1.0, 0)
