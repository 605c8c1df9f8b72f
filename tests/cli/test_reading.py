"""What can be given as a clip, and which part of it is taken, through the command."""

from __future__ import annotations

import io
import os
import sys
import threading
from contextlib import ExitStack
from fractions import Fraction

import av
import pytest

from bgmv2.cli.options import parse_rate, parse_scale, parse_time
from bgmv2.video import VideoReader, write_image

SIZE = (96, 64)


def instants(path):
    with VideoReader(path) as reader:
        return [frame.pts * frame.time_base for frame in reader]


def at(*indices, rate=25):
    return [Fraction(index) / rate for index in indices]


@pytest.fixture
def shots(scene):
    with VideoReader(scene.clip) as reader:
        return [frame.pixels for frame in reader]


@pytest.fixture
def pictures(scene, shots):
    """The shot as numbered pictures."""
    folder = scene.folder / "shots"
    folder.mkdir()
    for number, pixels in enumerate(shots, start=1001):
        write_image(folder / f"shot.{number}.png", pixels)
    return folder


@pytest.fixture
def piped(monkeypatch):
    """Bytes on standard input."""
    with ExitStack() as stack:

        def put(data):
            reading, writing = os.pipe()

            def feed():
                with os.fdopen(writing, "wb") as file:
                    file.write(data)

            thread = threading.Thread(target=feed)
            thread.start()
            stack.callback(thread.join)
            stdin = stack.enter_context(io.TextIOWrapper(os.fdopen(reading, "rb")))
            monkeypatch.setattr(sys, "stdin", stdin)

        yield put


@pytest.mark.parametrize(
    ("words", "indices"),
    [
        (("--start", "0.2", "--end", "00:00:00.320"), range(5, 8)),
        (("--start", "0:00.08", "--frames", "3"), range(2, 5)),
    ],
)
def test_a_part_of_the_clip(convert, scene, words, indices):
    answer = convert("-o", scene.out / "com.mkv", *words)
    assert (answer.code, answer.err) == (0, "")
    times = instants(scene.out / "com.mkv")
    assert [time - times[0] for time in times] == at(*range(len(indices)))


def test_a_part_that_is_not_there(convert, scene):
    before = scene.snapshot()
    answer = convert("-o", scene.out / "com.mp4", "--start", "7")
    assert "clip.mp4 ends before the start that was asked for, 7 s: its last frame is shown at 0.360 s" in answer.error
    assert scene.snapshot() == before


@pytest.mark.parametrize("name", ["shots", "shots/shot.####.png"])
def test_numbered_pictures(convert, scene, pictures, name):
    answer = convert("-o", scene.out / "com.mp4", "--rate", "23.976", clip=scene.folder / name)
    assert (answer.code, answer.err) == (0, "")
    assert instants(scene.out / "com.mp4") == at(*range(10), rate=Fraction(24000, 1001))


def test_numbered_pictures_are_safe(convert, scene, pictures):
    before = scene.snapshot()
    for clip in (pictures, pictures / "shot.####.png"):
        assert "is read, so" in convert("--rgba", pictures, "--overwrite", clip=clip).error
    assert scene.snapshot() == before


def test_a_missing_picture(convert, scene, pictures):
    (pictures / "shot.1004.png").unlink()
    before = scene.snapshot()
    assert "number 1004 is missing" in convert("-o", scene.out / "com.mp4", clip=pictures).error
    assert scene.snapshot() == before


def test_a_clip_on_standard_input(convert, scene, shots, piped, make_clip):
    piped(make_clip("in.mkv", pictures=shots, size=SIZE).read_bytes())
    answer = convert("-o", scene.out / "com.mp4", clip="-")
    assert (answer.code, answer.err) == (0, "")
    assert instants(scene.out / "com.mp4") == at(*range(10))


def test_raw_frames_on_standard_input(convert, scene, shots, piped):
    piped(b"".join(pixels.tobytes() for pixels in shots))
    answer = convert("-o", scene.out / "com.mp4", "--raw", "rgb24:96x64", "--rate", "30000/1001", clip="-")
    assert (answer.code, answer.err) == (0, "")
    assert instants(scene.out / "com.mp4") == at(*range(10), rate=Fraction(30000, 1001))


def test_raw_frames_that_end_midway(convert, scene, shots, piped):
    before = scene.snapshot()
    piped(b"".join(pixels.tobytes() for pixels in shots)[:-1])
    answer = convert("-o", scene.out / "com.mp4", "--raw", "rgb24:96x64", clip="-")
    assert "a frame of rgb24:96x64 came in only in part" in answer.error
    assert scene.snapshot() == before


def test_an_address_where_nobody_answers(convert, scene):
    before = scene.snapshot()
    answer = convert("-o", scene.out / "com.mp4", clip="rtsp://user:word@127.0.0.1:9/1")
    assert "rtsp://127.0.0.1:9/1 cannot be read: connection refused" in answer.error
    assert scene.snapshot() == before


def test_an_interlaced_clip(convert, scene, shots):
    path = scene.folder / "fields.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index, pixels in enumerate(shots[:3]):
            frame = av.VideoFrame.from_ndarray(pixels).reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    warning = convert("-o", scene.out / "com.mp4", clip=path).warning
    assert "fields.mkv is interlaced, so its frames are made whole (bwdif)" in warning
    answer = convert("-o", scene.out / "as_it_is.mp4", "--deinterlace", "off", clip=path)
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90.5", 90.5), (".25s", 0.25), ("1:30", 90), ("01:02:03.004", 3723.004), ("100:00:00", 360_000)],
)
def test_instants(text, seconds):
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        ("24000/1001", Fraction(24000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(("text", "scale"), [("0.25", 1 / 4), ("1/3", 1 / 3), ("1/2", 0.5)])
def test_scales(text, scale):
    assert parse_scale(text) == scale


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--scale", "half", "'half' is no scale; write it like 0.25 or 1/3"),
        ("--scale", "1/0", "'1/0' is no scale"),
        ("--scale", "2/3", "scale lies above 0 and up to 0.5"),
        ("--start", "soon", "an instant is seconds or HH:MM:SS.mmm, such as 90.5 or 00:01:30.5: 'soon'"),
        ("--start", "1:75", "an instant is seconds"),
        ("--end", "-1", "an instant is seconds"),
        ("--end", "0", "the end lies after the start, got 0 to 0.0 seconds"),
        ("--frames", "0", "at least 1 frame is taken, got 0"),
        ("--rate", "fast", "a frame rate is a number or a ratio, such as 24, 23.976 or 24000/1001: 'fast'"),
        ("--rate", "1/0", "a frame rate is a number or a ratio"),
        ("--rate", "0", "above 0 and up to 1000, got 0"),
        ("--raw", "rgb24", "such as rgb24:1280x720, got rgb24"),
        ("--deinterlace", "on", "invalid choice: 'on'"),
    ],
)
def test_a_value_that_makes_no_sense_is_wrong_usage(convert, scene, flag, value, said):
    before = scene.snapshot()
    assert said in convert("-o", scene.out / "com.mp4", f"{flag}={value}").usage
    assert scene.snapshot() == before
