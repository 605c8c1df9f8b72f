from fractions import Fraction

import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.errors import VideoError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video import timeline as timeline_module
from bgmv2.video import write_image
from bgmv2.video.timeline import Timeline


class FakeSource:
    """A clip whose frames are told apart by their grey level; counts what is open and how far it was read."""

    still_open = 0
    read = 0

    def __init__(self, times, rate, start):
        self.times = times
        base = Fraction(1, 1000)
        begin = None if start is None else Fraction(start).limit_denominator(1000) + times[0] * base
        self.info = VideoInfo(width=32, height=24, rate=Fraction(rate), time_base=base, start=begin)
        self.is_open = True
        FakeSource.still_open += 1

    def __iter__(self):
        for index, milliseconds in enumerate(self.times):
            if self.info.start is None or milliseconds >= self.info.start * 1000:
                FakeSource.read += 1
                yield Frame(np.full((24, 32, 3), 10 * (index + 1), np.uint8), milliseconds, self.info.time_base)

    def close(self):
        FakeSource.still_open -= self.is_open
        self.is_open = False


@pytest.fixture
def fake_clip(monkeypatch, tmp_path):
    def build(times, rate, end="loop", **options):
        FakeSource.still_open = FakeSource.read = 0
        monkeypatch.setattr(
            timeline_module, "open_source", lambda path, read: FakeSource(times, rate, (read or ReadConfig()).start)
        )
        return Timeline(tmp_path / "sea.mp4", end=end, **options)

    return build


def level(frame):
    return int(frame.pixels[0, 0, 0])


def test_variable_frame_rates_are_obeyed(fake_clip):
    clip = fake_clip([0, 100, 900, 950], rate=4)  # the last frame stays for 1/4 s: the turn takes 1.2 s
    expected = {0.0: 10, 0.05: 10, 0.1: 20, 0.5: 20, 0.899: 30, 0.92: 30, 1.1: 40, 1.19: 40, 1.2: 10, 1.3: 20, 2.1: 30}
    assert {t: level(clip.at(t)) for t in expected} == expected


def test_two_clips_start_together_even_if_their_clocks_do_not(fake_clip):
    clip = fake_clip([5000, 5500], rate=2)
    assert [level(clip.at(t)) for t in (-0.04, 0.0, 0.4, 0.5, 1.0, 1.5)] == [10, 10, 10, 20, 10, 20]


def test_times_rounded_to_milliseconds_drop_no_frame(fake_clip):
    clip = fake_clip([0, 33, 67, 100, 133, 167, 200], rate=30)
    shown = [level(clip.at(float(Fraction(i, 30)))) for i in range(14)]
    assert shown == [10, 20, 30, 40, 50, 60, 70] * 2


def test_a_slow_clip_skips_frames_of_a_fast_one_and_whole_turns(fake_clip):
    clip = fake_clip([0, 10, 20, 30], rate=100)
    assert [level(clip.at(t)) for t in (0.0, 0.03, 0.05, 1.02)] == [10, 40, 20, 30]


def test_the_last_frame_may_be_held(fake_clip):
    clip = fake_clip([0, 100, 200], rate=10, end="hold")
    assert [level(clip.at(t)) for t in (0.0, 0.1, 0.2, 0.3, 50.0)] == [10, 20, 30, 30, 30]
    assert FakeSource.still_open == 0  # what is held needs no file
    clip.close()
    assert FakeSource.still_open == 0


@pytest.mark.parametrize("first", [0, 3000])
@pytest.mark.parametrize(("end", "after"), [("loop", [10, 20]), ("hold", [40, 40])])
def test_a_clip_may_begin_in_its_midst(fake_clip, first, end, after):
    clip = fake_clip([first + t for t in (0, 100, 200, 300)], rate=10, end=end, offset=0.2)
    assert [level(clip.at(t)) for t in (0.0, 0.05, 0.1, 0.2, 0.3)] == [30, 30, 40, *after]


def test_a_clip_may_wait_on_its_first_frame(fake_clip):
    clip = fake_clip([0, 100], rate=10, offset=-0.3)
    assert [level(clip.at(t)) for t in (0.0, 0.2, 0.3, 0.39, 0.4, 0.5)] == [10, 10, 10, 10, 20, 10]


def test_one_frame_is_read_ahead_and_all_is_closed(fake_clip):
    clip = fake_clip([0, 100, 200, 300], rate=10)
    assert (FakeSource.still_open, FakeSource.read) == (1, 0)
    clip.at(0.0)
    assert (FakeSource.still_open, FakeSource.read) == (1, 2)
    clip.at(0.05)
    assert (FakeSource.still_open, FakeSource.read) == (1, 2)
    clip.at(1.0)
    assert FakeSource.still_open == 1  # not one for each turn
    clip.close()
    clip.close()
    assert FakeSource.still_open == 0


def test_a_clip_never_shown_is_closed_all_the_same(fake_clip):
    fake_clip([0], rate=10).close()
    assert FakeSource.still_open == 0


def test_real_clips_are_entered_by_time_and_begin_again_at_their_beginning(make_clip):
    levels = [40, 80, 120, 160, 200]
    shots = [np.full((48, 64, 3), grey, np.uint8) for grey in levels]
    path = make_clip("sea.mkv", pictures=shots, rate=Fraction(10), codec="ffv1", pixel_format="bgr0")
    clip = Timeline(path, end="loop", offset=0.3)
    assert [level(clip.at(t / 10)) for t in range(6)] == [160, 200, 40, 80, 120, 160]
    clip.close()
    with pytest.raises(VideoError, match="ends before the start that was asked for, 7 s"):
        Timeline(path, end="loop", offset=7.0)


def test_numbered_pictures_play_at_the_rate_that_is_given(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"sea.{index:04d}.png", np.full((24, 32, 3), 10 * (index + 1), np.uint8))
    for path in (tmp_path, tmp_path / "sea.####.png"):
        clip = Timeline(path, end="loop", rate=Fraction(50))
        assert [level(clip.at(t / 100)) for t in range(8)] == [10, 10, 20, 20, 30, 30, 10, 10]
        clip.close()
