"""A part of a clip holds what the whole clip holds there: the same frames at the same instants."""

from fractions import Fraction

import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.errors import VideoError
from bgmv2.video import VideoReader

OPEN_GOP = {"g": "6", "bf": "3", "x264-params": "open-gop=1"}
CLIPS = {
    "mp4": {"name": "a.mp4", "options": {"g": "6", "bf": "3"}},
    "open GOP, mp4": {"name": "a.mp4", "options": OPEN_GOP},
    "open GOP, mkv": {"name": "a.mkv", "options": OPEN_GOP},
    "open GOP, ts": {"name": "a.ts", "options": OPEN_GOP},
    "HEVC": {
        "name": "a.mp4",
        "codec": "libx265",
        "options": {"x265-params": "keyint=6:bframes=3:open-gop=1:log-level=none"},
    },
    # No picture but the first is whole: rows of blocks are renewed one after the other.
    "intra refresh": {"name": "a.mkv", "options": {"g": "6", "x264-params": "intra-refresh=1"}},
    "MPEG-2": {"name": "a.mpg", "codec": "mpeg2video", "options": {"g": "6", "bf": "2", "b": "4M"}},
    "AVI": {"name": "a.avi", "codec": "mpeg4", "options": {"g": "6", "b": "2M"}},
    "one key frame": {"name": "a.mp4", "options": {"g": "600"}},
    "variable, begins late": {
        "name": "a.mp4",
        "times": [1500 + 40 * index + index % 7 for index in range(24)],
        "options": {"g": "6", "bf": "3"},
    },
    "variable, begins late, ts": {
        "name": "a.ts",
        "times": [1500 + 40 * index + index % 7 for index in range(24)],
        "options": {"g": "6", "bf": "3"},
    },
}


def read(path, **choices):
    with VideoReader(path, ReadConfig(**choices)) as reader:
        return reader.info, list(reader)


def same(part, frames):
    return len(part) == len(frames) and all(
        one.pts == other.pts and (one.pixels == other.pixels).all() for one, other in zip(part, frames, strict=True)
    )


@pytest.mark.parametrize("kind", CLIPS)
def test_any_part_of_any_clip(make_clip, kind):
    path = make_clip(**({"count": 24} if "times" not in CLIPS[kind] else {}), **CLIPS[kind])
    info, whole = read(path)
    with VideoReader(path) as reader:
        beginning = Fraction(reader._container.start_time or 0, 1_000_000)
    for first in range(0, 24, 2):
        start = float(whole[first].pts * info.time_base - beginning)
        trimmed, part = read(path, start=max(start, 0), frames=3)
        assert same(part, whole[first : first + 3]), first
        # What is said of the clip stays.
        assert (trimmed.rate, trimmed.color, trimmed.time_base) == (info.rate, info.color, info.time_base)
        assert 1 <= trimmed.frames <= 3


def test_parts_that_meet_are_the_whole(make_clip):
    path = make_clip("a.mkv", count=30, rate=Fraction(24000, 1001), options={"g": "8", "bf": "2"})
    _, whole = read(path)
    cuts = [None, 0.125, 0.5, 0.51, 1.0, None]
    parts = [read(path, start=start, end=end)[1] for start, end in zip(cuts, cuts[1:], strict=False)]
    assert same([frame for part in parts for frame in part], whole)
    assert [len(part) for part in parts] == [3, 9, 1, 11, 6]


def test_the_end_and_the_number_of_frames(make_clip):
    path = make_clip("a.mp4", count=20)
    _, whole = read(path)
    assert same(read(path, end=0.4)[1], whole[:10])
    assert same(read(path, end=100)[1], whole)
    assert same(read(path, frames=7)[1], whole[:7])
    assert same(read(path, start=0.2, end=0.4, frames=100)[1], whole[5:10])
    info, _ = read(path, start=0.2, end=0.4)
    assert (info.start, info.end, info.frames) == (Fraction(1, 5), Fraction(2, 5), 5)
    assert read(path, frames=7)[0].end is None


def test_a_start_behind_the_end(make_clip):
    for name in ("a.mp4", "a.avi"):
        path = make_clip(name, codec="mpeg4", count=10)
        with pytest.raises(VideoError) as caught:
            read(path, start=3)
        assert str(caught.value) == (
            f"{path} ends before the start that was asked for, 3 s: its last frame is shown at 0.360 s"
        )


def test_damage_behind_the_end_does_not_matter(make_clip):
    path = make_clip("a.mkv", codec="ffv1", count=20)
    whole = read(path)[1]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 8 // 10])
    assert same(read(path, end=0.4)[1], whole[:10])
    assert same(read(path, frames=12)[1], whole[:12])
    with VideoReader(path) as reader:
        frames = []
        with pytest.raises(VideoError, match="breaks off"):
            frames.extend(reader)
    # All that came before it is given out first.
    assert len(frames) >= 14 and same(frames, whole[: len(frames)])


def test_a_part_is_not_decoded_from_the_beginning(make_clip, monkeypatch):
    path = make_clip("a.mp4", count=100, options={"g": "10"})
    seen = []
    check = VideoReader._check_frame
    monkeypatch.setattr(VideoReader, "_check_frame", lambda *args: (seen.append(1), check(*args)))
    _, (frame,) = read(path, start=3.6, frames=1)
    assert frame.seconds == pytest.approx(3.6)
    assert len(seen) < 40


def test_a_clip_without_any_frame_there(make_clip):
    """Between two frames that are far apart, nothing begins."""
    path = make_clip("a.mkv", times=[0, 40, 2000])
    with pytest.raises(VideoError, match="nothing of .*a.mkv is shown between 0.5 and 1 s"):
        read(path, start=0.5, end=1)
    assert np.array_equal([frame.pts for frame in read(path, start=0.5)[1]], [2000])
