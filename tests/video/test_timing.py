from dataclasses import dataclass
from fractions import Fraction

import pytest

from bgmv2.config import ReadConfig
from bgmv2.video.timing import Span, in_order


@dataclass
class Shown:
    """All that `in_order` looks at of a frame."""

    pts: int | None


def ordered(*times, rhythm=40, beginning=0):
    warnings = []
    frames = [Shown(time) for time in times]
    timed = list(in_order(frames, beginning=beginning, rhythm=rhythm, warn=warnings.append))
    assert [frame for frame, _ in timed] == frames
    return [pts for _, pts in timed], warnings


@pytest.mark.parametrize("times", [(), (7,), (0, 40, 80), (-80, -40, 1, 2, 9000), (1500, 1501, 1502)])
def test_instants_that_increase_are_kept(times):
    assert ordered(*times) == (list(times), [])


@pytest.mark.parametrize(
    ("times", "mended"),
    [
        # Twice the same: the frames around it keep theirs.
        ((0, 40, 40, 80, 120), [0, 40, 60, 80, 120]),
        # No room between the neighbours: what follows gives way as little as it must.
        ((0, 1, 1, 2, 300), [0, 1, 41, 81, 300]),
        # Of two that are swapped, one is believed; then a spike, and a jump back for good.
        ((0, 40, 30, 120), [0, 15, 30, 120]),
        ((0, 40, 9000, 120, 160), [0, 40, 80, 120, 160]),
        ((1000, 1040, 0, 40, 80), [1000, 1040, 1080, 1120, 1160]),
        # Spikes at the end have nobody who contradicts.
        ((0, 40, 9000), [0, 40, 9000]),
    ],
)
def test_instants_that_do_not_increase_are_mended(times, mended):
    result, warnings = ordered(*times)
    assert result == mended
    assert warnings == (["whose times do not increase"] if result != list(times) else [])


@pytest.mark.parametrize(
    ("times", "mended"),
    [
        ((None, None, None), [5, 45, 85]),
        ((None, 45, 85), [5, 45, 85]),
        ((0, None, 80), [0, 40, 80]),
        ((0, None, 20, 40), [0, 10, 20, 40]),
        ((0, None, None, 200), [0, 40, 80, 200]),
    ],
)
def test_instants_that_are_missing_follow_the_rhythm(times, mended):
    assert ordered(*times, beginning=5) == (mended, ["without a time"])


def test_whatever_comes_in_increases():
    for seed in range(200):
        times = [None if (seed * k) % 7 == 3 else (seed * k * k) % 1000 - 500 for k in range(20)]
        result, _ = ordered(*times)
        assert all(earlier < later for earlier, later in zip(result, result[1:], strict=False))


def test_spans_that_meet_share_no_frame_and_lose_none():
    rate = Fraction(24000, 1001)
    for cut in (0.042, 0.0417, 1.0, 2.002, 1.9999999):
        first = Span.of(ReadConfig(end=cut), Fraction(10))
        second = Span.of(ReadConfig(start=cut), Fraction(10))
        for index in range(100):
            seconds = 10 + index / rate
            assert first.is_after(seconds) != second.is_before(seconds)


def test_a_rounded_instant_means_its_frame():
    span = Span.of(ReadConfig(start=0.042), Fraction(0))
    assert not span.is_before(Fraction(1001, 24000))
    assert span.is_before(Fraction(0))


@pytest.mark.parametrize(
    ("read", "frames", "guess"),
    [
        ({}, 100, 100),
        ({}, None, None),
        ({"start": 1}, 100, 75),
        ({"start": 1, "end": 3}, 100, 50),
        ({"end": 3}, None, 75),
        ({"frames": 7}, 100, 7),
        ({"frames": 700}, 100, 100),
        ({"start": 50}, 100, 1),
    ],
)
def test_the_guess_for_the_progress_bar(read, frames, guess):
    config = ReadConfig(**read)
    assert Span.of(config, Fraction(2)).hint(config, frames, Fraction(25), Fraction(2)) == guess


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"start": -1}, "0 seconds or later"),
        ({"start": float("nan")}, "0 seconds or later"),
        ({"end": float("inf")}, "0 seconds or later"),
        ({"end": 0}, "after the start, got 0 to 0"),
        ({"start": 2, "end": 2}, "after the start, got 2 to 2"),
        ({"frames": 0}, "at least 1 frame"),
        ({"rate": Fraction(0)}, "above 0"),
        ({"rate": Fraction(1001)}, "up to 1000"),
        ({"raw": "rgb24"}, "such as rgb24:1280x720"),
        ({"raw": "rgb24:0x720"}, "such as rgb24:1280x720"),
        ({"raw": "rgb24:1280x720 -f x"}, "such as rgb24:1280x720"),
        ({"deinterlace": "bob"}, "there are auto, off"),
    ],
)
def test_what_cannot_be_asked_for(values, said):
    with pytest.raises(ValueError, match=said):
        ReadConfig(**values)
