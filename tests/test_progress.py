"""How fast, how long still, and that a bar is seen by people and lines by machines, and never the other way round."""

import io
import json

import pytest

from bgmv2.errors import VideoError
from bgmv2.progress import Bar, JsonLines, Pace, Progress, described


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(seconds, *, total=None, done=0):
    """One `Progress` for each frame, that many seconds after the one before."""
    clock = Clock()
    pace = Pace(total, done=done, clock=clock)
    for took in seconds:
        clock.now += took
        yield pace.step({"decode": 0.1, "matte": clock.now - 1000})


def test_frames_seconds_and_the_rest_are_told():
    *_, last = run([0.5] * 20, total=50)
    assert (last.frames, last.total, last.seconds) == (20, 50, 10)
    assert last.rate == pytest.approx(2) and last.left == pytest.approx(15)
    assert last.shares == {"decode": pytest.approx(0.01), "matte": 1}


def test_the_rate_is_that_of_the_recent_past():
    *_, last = run([20.0] + [0.1] * 400)
    assert last.rate == pytest.approx(10, rel=0.01)
    *_, last = run([0.1] * 400 + [2.0] * 40)
    assert last.rate == pytest.approx(0.5, rel=0.01)


def test_one_slow_frame_does_not_make_the_rate_jump():
    *_, before, after = run([0.1] * 400 + [1.0])
    assert before.rate == pytest.approx(10, rel=0.01) and after.rate > 9


def test_what_was_done_earlier_counts_as_done_but_not_as_speed():
    first, *_, last = run([0.5] * 10, total=300, done=240)
    assert first.frames == 241 and last.frames == 250
    assert last.rate == pytest.approx(2) and last.left == pytest.approx(25)


@pytest.mark.parametrize("progress", [Progress(5), Progress(0, 9), Progress(10, 9, rate=1.0)])
def test_the_rest_is_not_told_if_it_is_not_known(progress):
    assert progress.left is None


def test_the_first_frame_may_come_at_once():
    (only,) = run([0.0], total=3)
    assert (only.rate, only.left, only.shares) == (0, None, {"decode": 0, "matte": 0})


def test_the_bar_is_silent_where_there_is_no_terminal():
    stream = io.StringIO()
    with Bar(stream=stream) as bar:
        for progress in run([1.0] * 3):
            bar(progress)
        bar.done(frames=3)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("total", [30, None, 2])
def test_the_bar_says_frames_rate_and_stages_and_leaves_nothing_behind(total):
    stream = Terminal()
    with Bar("a.mp4", stream=stream) as bar:
        for progress in run([0.5] * 3, total=total):
            bar(progress)
            bar._bar.refresh()
        bar.done()
    shown = stream.getvalue()
    assert "a.mp4" in shown and " 2/s" in shown and "matte 100%" in shown and "decode 7%" in shown
    assert ("3/30 frames" in shown and "00:14 left" in shown) if total == 30 else "3" in shown
    assert shown.split("\r")[-2].strip(" \x1b[A") == "" and shown.split("\r")[-1] == ""


def test_the_bar_goes_when_the_run_fails():
    stream = Terminal()
    with pytest.raises(VideoError), Bar(stream=stream) as bar:
        bar(Progress(1, 2, 1.0))
        raise VideoError("broken")
    assert stream.getvalue().endswith("\r")


def test_a_run_in_words():
    assert described(Progress(10, 100, 5.0, {"decode": 0.5, "matte": 5.0}, 2.0)) == (
        "2/s, 00:45 left, matte 100%, decode 10%"
    )
    assert described(Progress(0)) == ""


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_machines_get_an_object_about_once_a_second_and_one_at_the_end():
    stream = io.StringIO()
    with JsonLines(stream, clip="ä.mp4") as watch:
        for progress in run([0.25] * 10, total=20):
            watch(progress)
        watch.done(written=["out.mp4"])
    said = lines(stream)
    assert [line["event"] for line in said] == ["progress"] * 3 + ["done"]
    assert [line["frames"] for line in said] == [1, 5, 9, 10]
    assert all(line["clip"] == "ä.mp4" and line["total"] == 20 for line in said)
    assert said[1] == {
        "event": "progress",
        "clip": "ä.mp4",
        "frames": 5,
        "total": 20,
        "seconds": 1.25,
        "rate": 4.0,
        "stages": {"decode": 0.1, "matte": 1.25},
        "left": 3.8,
    }
    assert said[-1]["written"] == ["out.mp4"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (VideoError("there is no\nclip"), "there is no clip"),
        (KeyboardInterrupt(), "interrupted"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_machines_are_told_why_it_ended(error, message):
    stream = io.StringIO()
    with pytest.raises(type(error)), JsonLines(stream):
        raise error
    assert lines(stream) == [{"event": "error", "message": message}]


def test_what_comes_before_the_frames_is_told_apart():
    """Steps of making a plate are no frames: they have a bar, and lines, of their own."""
    clock = Clock()
    steps, frames = Pace(2, doing="making the plate", clock=clock), Pace(3, clock=clock)
    told = [steps.step({}), steps.step({}), frames.step({}), frames.step({})]
    assert [progress.doing for progress in told] == ["making the plate"] * 2 + [""] * 2
    terminal = Terminal()
    with Bar("clip", stream=terminal) as bar:
        for progress in told:
            clock.now += 1
            bar(progress)
    shown = terminal.getvalue()
    assert "clip, making the plate" in shown and "/2 steps" in shown and "/3 frames" in shown
    stream = io.StringIO()
    with JsonLines(stream) as lines:
        for progress in told:
            lines(progress)
        lines.done()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("doing") for line in said] == ["making the plate", None, None]
    assert [line["event"] for line in said] == ["progress", "progress", "done"]
