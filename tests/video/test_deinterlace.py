"""Interlaced clips, made by MPEG-2 and ProRes: a bar that moves from field to field."""

import warnings
from fractions import Fraction
from itertools import groupby
from operator import itemgetter

import av
import numpy as np
import pytest
from av.filter import Graph

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video import VideoReader

WIDTH, HEIGHT = 64, 48
QUALITY = {
    "mpeg2video": {"qmin": "1", "b": "8M"},
    "libx264": {"crf": "1", "bf": "0"},
    "prores_ks": {},
}


def at_field(number):
    """What the camera sees when it takes a field."""
    luma = np.full((HEIGHT, WIDTH), 40, np.uint8)
    left = (4 + 3 * number) % (WIDTH - 8)
    luma[:, left : left + 8] = 200
    return luma


def woven(index, order):
    """A frame of two fields; a progressive one shows what the first saw."""
    first, second = at_field(2 * index), at_field(2 * index + 1)
    luma = first.copy()
    if order != "prog":
        luma[1 if order == "tff" else 0 :: 2] = second[1 if order == "tff" else 0 :: 2]
    return luma


def marked(order, pixel_format):
    """A filter that writes on each frame which field was first."""
    graph = Graph()
    source = graph.add_buffer(width=WIDTH, height=HEIGHT, format=pixel_format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
    return graph


def interlaced_clip(path, orders, *, codec="mpeg2video", pixel_format="yuv420p", times=None):
    """Encode frames of the given field orders; where the order changes, a new encoder goes on."""
    numbered = zip(times or range(len(orders)), range(len(orders)), orders, strict=True)
    with av.open(str(path), "w") as container:
        film = container.add_stream(codec, rate=25)
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, pixel_format
        for part, (order, frames) in enumerate(groupby(numbered, key=itemgetter(2))):
            encoder = film.codec_context if part == 0 else av.CodecContext.create(codec, "w")
            encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, pixel_format
            encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
            encoder.options = QUALITY[codec] | ({} if order == "prog" else {"flags": "+ildct+ilme"})
            graph = marked(order, pixel_format)
            packets = []
            for time, index, _ in frames:
                rgb = np.repeat(woven(index, order)[..., None], 3, axis=2)
                frame = av.VideoFrame.from_ndarray(rgb).reformat(format=pixel_format)
                frame.pts, frame.time_base = time, Fraction(1, 25)
                graph.vpush(frame)
                packets += encoder.encode(graph.vpull())
            for packet in packets + encoder.encode(None):
                packet.stream = film
                container.mux(packet)
    return path


def read(path, **choices):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with VideoReader(path, ReadConfig(**choices)) as reader:
            frames = list(reader)
    assert all(warning.category is Bgmv2Warning for warning in caught)
    return reader.info, frames, [str(warning.message) for warning in caught]


def error(frame, luma):
    """Mean difference in code values of a picture from grey luma."""
    white = 255 if frame.pixels.dtype == np.uint8 else 65535
    return np.abs(frame.pixels[..., 1] * (255 / white) - luma).mean()


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_frames_are_made_whole_at_the_instant_of_their_first_field(tmp_path, order):
    times = [3, 4, 5, 8, 9, 12]
    path = interlaced_clip(tmp_path / "a.mkv", [order] * 6, times=times)
    info, frames, (warning,) = read(path)
    assert "a.mkv is interlaced" in warning and "--deinterlace off" in warning and "\n" not in warning
    assert [frame.pts * frame.time_base * 25 for frame in frames] == times
    for index, frame in enumerate(frames):
        assert error(frame, at_field(2 * index)) < 1.5
        assert error(frame, woven(index, order)) > 5


def test_whole_frames_stay_as_they_are(tmp_path):
    path = interlaced_clip(tmp_path / "a.mkv", ["prog"] * 5)
    assert read(path)[2] == []


def test_the_clip_may_be_wrong(tmp_path):
    path = interlaced_clip(tmp_path / "a.mkv", ["tff"] * 5)
    _, frames, told = read(path, deinterlace="off")
    assert told == []
    assert max(error(frame, woven(index, "tff")) for index, frame in enumerate(frames)) < 1.5


@pytest.mark.parametrize(
    "orders",
    [
        ["prog"] * 3 + ["tff"] * 4,
        ["bff"] * 3 + ["prog"] * 3,
        ["prog"] * 2 + ["tff"] * 3 + ["prog"] * 2 + ["bff"] * 3,
    ],
)
def test_a_clip_of_both_kinds(tmp_path, orders):
    path = interlaced_clip(tmp_path / "a.ts", orders, codec="libx264")
    with av.open(str(path)) as container:
        assert [frame.interlaced_frame for frame in container.decode(video=0)] == [kind != "prog" for kind in orders]
    _, frames, told = read(path)
    _, plain, _ = read(path, deinterlace="off")
    assert len(told) == 1 and len(frames) == len(orders)
    for index, (order, frame) in enumerate(zip(orders, frames, strict=True)):
        assert error(frame, at_field(2 * index)) < 1.5
        if order == "prog":
            assert (frame.pixels == plain[index].pixels).all()


def test_ten_bits_stay_ten_bits(tmp_path):
    path = interlaced_clip(tmp_path / "a.mov", ["tff"] * 4, codec="prores_ks", pixel_format="yuv422p10le")
    info, frames, _ = read(path)
    assert info.bits == 10 and frames[0].pixels.dtype == np.uint16
    assert max(error(frame, at_field(2 * index)) for index, frame in enumerate(frames)) < 1


def test_a_part_of_a_clip_is_what_the_whole_clip_holds_there(tmp_path):
    """What moved is told from the frame before, which a trimmed clip does not show but must decode."""
    path = interlaced_clip(tmp_path / "a.mkv", ["tff"] * 10)
    whole = read(path)[1]
    for start in (1, 4, 9):
        _, part, _ = read(path, start=start / 25, frames=3)
        for frame, same in zip(part, whole[start : start + 3], strict=True):
            assert frame.pts == same.pts and (frame.pixels == same.pixels).all()


def test_one_frame_alone(tmp_path):
    path = interlaced_clip(tmp_path / "a.mkv", ["tff"])
    _, (frame,), told = read(path)
    assert len(told) == 1 and frame.pixels.shape == (HEIGHT, WIDTH, 3)


def test_half_pictures_of_hevc_are_refused(make_clip):
    halves = [np.repeat(woven(index // 2, "tff")[index % 2 :: 2, :, None], 3, axis=2) for index in range(6)]
    path = make_clip(
        "a.mkv",
        pictures=halves,
        size=(WIDTH, HEIGHT // 2),
        codec="libx265",
        rate=Fraction(50),
        options={"x265-params": "interlace=tff:log-level=none"},
    )
    with pytest.raises(VideoError, match="interlaced HEVC, whose half pictures"):
        read(path)
