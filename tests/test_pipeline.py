"""The loop itself: frames are few at any time, threads end, and errors come out as they went in."""

from __future__ import annotations

import io
import threading
import time
import weakref
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tqdm import tqdm

import bgmv2
from bgmv2 import pipeline
from bgmv2.types import Frame, Matte, Plate, VideoInfo
from bgmv2.video import Sink, read_image, write_image

INFO = VideoInfo(32, 32, rate=Fraction(25), time_base=Fraction(1, 25))


class Census:
    """Counts the frames that are alive."""

    def __init__(self):
        self.alive = weakref.WeakSet()
        self.most = 0

    def add(self, frame):
        self.alive.add(frame)
        self.most = max(self.most, len(self.alive))


class Source:
    """Flat frames, all of them different; may break before one of them."""

    info = INFO

    def __init__(self, count, census, breaks_at=None):
        self.count, self.census, self.breaks_at, self.closed = count, census, breaks_at, False

    def __iter__(self):
        for index in range(self.count):
            if index == self.breaks_at:
                raise bgmv2.VideoError("the clip breaks off")
            frame = Frame(np.full((32, 32, 3), index % 256, np.uint8), index, INFO.time_base)
            self.census.add(frame)
            yield frame

    def close(self):
        self.closed = True


class Collector(Sink):
    """Looks at frames slowly, and lets them go; may raise at one of them."""

    def __init__(self, census, error=None, at=None):
        self.census, self.error, self.at = census, error, at
        self.seen, self.end = [], None

    def write(self, frame):
        if frame.pts == self.at:
            raise self.error
        self.census.add(frame)
        self.seen.append((frame.pts, int(frame.pixels.flat[0])))
        time.sleep(0.001)

    def close(self):
        self.end = "closed"

    def discard(self):
        self.end = "discarded"


class EchoMatter:
    """Says that the frame is its own foreground and that all of it is subject; may raise at one frame."""

    device = torch.device("cpu")

    def __init__(self, error=None, at=None):
        self.error, self.at, self.count = error, at, 0

    def matte(self, src, *, plate):
        if self.count == self.at:
            raise self.error
        self.count += 1
        fgr = torch.from_numpy(src).permute(2, 0, 1)[None] / 255
        ones = torch.ones(1, 1, 32, 32)
        return Matte(ones, fgr, ones, ones[..., ::4, ::4])


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Convert with a made-up source, network and sinks; the files only have names."""

    def run(source, sinks, matter=None):
        monkeypatch.setattr(pipeline, "open_source", lambda path: source)
        monkeypatch.setattr(pipeline, "open_sink", lambda path, info, **_: sinks[Path(path).stem])
        monkeypatch.setattr(pipeline, "load_plate", lambda path, width, height: Plate(torch.zeros(3, height, width)))
        monkeypatch.setattr(pipeline, "check_plate", lambda *_: None)
        outputs = {role: tmp_path / f"{role}.mp4" for role in sinks}
        run = bgmv2.RunConfig(align="off")
        return bgmv2.convert(
            tmp_path / "clip", plate=tmp_path / "plate", run=run, matter=matter or EchoMatter(), **outputs
        )

    return run


def test_every_frame_arrives_once_and_in_order(stage):
    census = Census()
    sinks = {"com": Collector(census), "fgr": Collector(census)}
    report = stage(Source(50, census), sinks)
    for sink in sinks.values():
        assert sink.seen == [(index, index) for index in range(50)]
        assert sink.end == "closed"
    assert report.frames == 50 and report.alignment == "plate in 50 frames: 50 stood still"
    assert set(report.stages) == {"decode", "align", "matte", "encode"}
    assert all(0 <= seconds <= report.seconds for seconds in report.stages.values())
    assert str(report).startswith("50 frames in ") and str(report).endswith(report.alignment)


def test_memory_does_not_grow_with_the_clip(stage):
    """Few of the frames that were read, and of those that were made of them, are alive at any time."""
    read, made = Census(), Census()
    report = stage(Source(150, read), {"com": Collector(made)})
    assert report.frames == 150
    # Four queue before alignment, two before and two behind the network; each of four stages has one in its hands.
    assert read.most <= 4 + 2 + 2 + 4
    assert made.most <= 2
    assert len(read.alive) == len(made.alive) == 0


CUT = bgmv2.VideoError("the clip breaks off")
FULL = bgmv2.OutputError("the disk is full")
ODD = RuntimeError("the network has a bug")


@pytest.mark.parametrize(
    ("breaks_at", "matter", "sink", "error"),
    [
        (None, {}, {}, None),
        (0, {}, {}, CUT),
        (20, {}, {}, CUT),
        (None, {"error": ODD, "at": 0}, {}, ODD),
        (None, {"error": ODD, "at": 20}, {}, ODD),
        (None, {}, {"error": FULL, "at": 0}, FULL),
        (None, {}, {"error": FULL, "at": 20}, FULL),
        (None, {}, {"error": KeyboardInterrupt(), "at": 20}, KeyboardInterrupt()),
    ],
)
def test_threads_end_and_errors_come_out_as_they_went_in(stage, breaks_at, matter, sink, error):
    before = set(threading.enumerate())
    census = Census()
    source = Source(60, census, breaks_at)
    sinks = {"pha": Collector(census), "com": Collector(census, **sink)}
    if error is None:
        stage(source, sinks, EchoMatter(**matter))
    else:
        with pytest.raises(type(error), match=f"^{error}$"):
            stage(source, sinks, EchoMatter(**matter))
    assert set(threading.enumerate()) == before
    assert source.closed
    assert {sink.end for sink in sinks.values()} == {"closed" if error is None else "discarded"}
    if error is CUT:
        assert [pts for pts, _ in sinks["com"].seen] == list(range(breaks_at))  # all that came before the break


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stderr", [io.StringIO, Terminal])
def test_a_bar_is_for_terminals_only(stage, monkeypatch, tmp_path, stderr):
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # it would start a thread that outlives the test
    shown = stderr()
    monkeypatch.setattr("sys.stderr", shown)
    for path in (tmp_path / "1.png", tmp_path / "plate.png"):
        write_image(path, np.full((32, 32, 3), 90, np.uint8))
    bgmv2.convert_images(
        tmp_path / "1.png", plate=tmp_path / "plate.png", com=tmp_path / "com.png", matter=EchoMatter(), progress=True
    )
    if stderr is Terminal:
        assert "0/1 [" in shown.getvalue()
        assert shown.getvalue().split("\r")[-1].strip() == ""  # the bar goes away
    else:
        assert shown.getvalue() == ""


@pytest.fixture
def files(tmp_path, make_clip, picture):
    make_clip("clip.mp4", count=4, size=(64, 48))
    write_image(tmp_path / "plate.png", picture(0, 64, 48))
    return tmp_path


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_a_matter_is_used_as_it_is_and_for_many_clips(files, weights):
    matter = bgmv2.Matter(weights, "cpu")
    for name in ("a", "b"):
        report = bgmv2.convert(str(files / "clip.mp4"), plate=str(files / "plate.png"), pha=files / name, matter=matter)
        assert report.frames == 4
    for index in range(4):
        first, second = (read_image(files / name / f"{index:06d}.png") for name in ("a", "b"))
        assert (first == second).all()


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_a_clip_of_one_frame_and_a_picture_come_out_alike(files, weights, make_clip, picture):
    """What differs is the reading only, so the same picture is read from a lossless clip."""
    make_clip("one.mkv", pictures=[picture(5, 64, 48)], size=(64, 48), codec="ffv1", pixel_format="bgr0")
    write_image(files / "one.png", picture(5, 64, 48))
    matter = bgmv2.Matter(weights, "cpu")
    given = {"plate": files / "plate.png", "matter": matter, "backdrop": files / "plate.png"}
    bgmv2.convert(files / "one.mkv", com=files / "frames", **given)
    written = bgmv2.convert_images(files / "one.png", com=files / "com.png", **given)
    assert written == [files / "com.png"]
    frame, photo = read_image(files / "frames" / "000000.png"), read_image(files / "com.png")
    assert np.abs(frame.astype(int) - photo).max() <= 1


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_the_plate_is_moved_to_where_each_frame_shows_it(files, weights, make_clip):
    """A camera that has moved by whole pixels, and one that has not, see the same but at the edges."""
    generator = np.random.default_rng(0)
    room = cv2.resize(
        generator.integers(0, 256, (12, 16, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_NEAREST
    )
    moved = np.roll(room, (3, -2), axis=(0, 1))
    write_image(files / "room.png", room)
    options = {"size": (160, 120), "codec": "ffv1", "pixel_format": "bgr0"}
    clip = make_clip("moved.mkv", pictures=[moved] * 3, **options)
    matter = bgmv2.Matter(weights, "cpu")
    report = bgmv2.convert(clip, plate=files / "room.png", pha=files / "pha", matter=matter)
    assert "followed the camera" in report.alignment
    wanted = matter.matte(moved, plate=moved).pha[0, 0].numpy() * 255
    alpha = read_image(files / "pha" / "000002.png")[..., 0]
    inner = np.abs(alpha - wanted)[16:-16, 16:-16]
    assert inner.mean() < 4


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"scale": 0.7}, "up to 0.5, got 0.7"),
        ({"pixels": -1}, "not negative, got -1"),
        ({"threshold": 2.0}, "0..1, got 2.0"),
        ({"refine": "none"}, "got none"),
        ({"align": "last"}, "off, first, every, got last"),
        ({"precision": "int8"}, "got int8"),
    ],
)
def test_choices_out_of_range_are_refused_at_once(choice, said):
    with pytest.raises(ValueError, match=said):
        bgmv2.RunConfig(**choice)
