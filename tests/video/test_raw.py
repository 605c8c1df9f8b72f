"""Bare frames on standard output."""

import os
import sys

import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video import open_sink
from bgmv2.video.raw import RawSink

INFO = VideoInfo(8, 6)


def noise(shape, dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3), (6, 8, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_frames_come_one_after_the_other(capfdbinary, shape, dtype):
    pixels = noise(shape, dtype)
    with open_sink("-", INFO, alpha=shape[2:] == (4,)) as sink:
        assert isinstance(sink, RawSink)
        sink.write(Frame(pixels))
        sink.write(Frame(pixels[::-1]))
    out = np.frombuffer(capfdbinary.readouterr().out, np.dtype(dtype).newbyteorder("<")).reshape(2, *shape)
    assert (out[0] == pixels).all() and (out[1] == pixels[::-1]).all()
    sink.close()
    with pytest.raises(ValueError, match="closed"):
        sink.write(Frame(pixels))


def test_premultiplied(capfdbinary):
    pixels = noise((6, 8, 4), np.uint8)
    with open_sink("-", INFO, alpha=True, encode=EncodeConfig(alpha_mode="premultiplied")) as sink:
        sink.write(Frame(pixels))
    out = np.frombuffer(capfdbinary.readouterr().out, np.uint8).reshape(6, 8, 4)
    assert np.abs(out[..., :3] - pixels[..., :3] * (pixels[..., 3:] / 255)).max() <= 0.5
    assert (out[..., 3] == pixels[..., 3]).all()


def test_a_terminal_is_refused(monkeypatch):
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()
    try:
        with os.fdopen(follower, "w") as terminal:
            monkeypatch.setattr(sys, "__stdout__", terminal)
            with pytest.raises(OutputError, match=r"no terminal can show; pipe .*-video_size 8x6"):
                RawSink(INFO)
    finally:
        os.close(leader)


def test_a_reader_that_ends_early_is_one_clear_error(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as dead:
        monkeypatch.setattr(sys, "__stdout__", dead)
        sink = RawSink(INFO)
        with pytest.raises(OutputError, match="has ended before all frames were out"):
            sink.write(Frame(noise((6, 8), np.uint8)))
    sink.discard()


def test_closed_standard_output(monkeypatch):
    monkeypatch.setattr(sys, "__stdout__", open(os.devnull, "w"))
    sys.__stdout__.close()
    with pytest.raises(OutputError, match="standard output is closed"):
        RawSink(INFO)
