"""Write bare frames to standard output, for another program to read."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import numpy as np

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.sink import Sink, as_ordered, cannot_write


class RawSink(Sink):
    """Frames without a container, one after the other, in FFmpeg's formats rgb24, rgba or gray.

    Clips of more than 8 bits come as rgb48le, rgba64le or gray16le. What is written cannot be taken back.

    Args:
        info: size of the frames to come.
        encode: how transparency is written.

    Raises:
        OutputError: standard output is closed, or a terminal.
    """

    def __init__(self, info: VideoInfo, *, encode: EncodeConfig | None = None) -> None:
        self._info = info
        self._encode = encode or EncodeConfig()
        self._file: BinaryIO | None = None
        try:
            # Of its own, so that nobody else's buffer is mixed in, and nobody else flushes into a closed pipe.
            descriptor = os.dup(sys.__stdout__.fileno() if sys.__stdout__ is not None else 1)
        except (OSError, ValueError) as error:
            raise OutputError("standard output is closed, so - cannot be written; give the name of a file") from error
        self._file = open(descriptor, "wb", buffering=0)
        if self._file.isatty():
            self.discard()
            raise OutputError(
                "- writes raw frames, which no terminal can show; pipe them into another program: bgmv2 ... | ffmpeg "
                f"-f rawvideo -pixel_format rgb24 -video_size {info.width}x{info.height} -framerate {info.rate} -i -"
            )

    def write(self, frame: Frame) -> None:
        """Write one frame.

        Args:
            frame: RGB, straight RGBA or grey.

        Raises:
            ValueError: the sink is closed.
            OutputError: nobody reads any more, or the disk is full.
        """
        if self._file is None:
            raise ValueError("standard output is closed, so it takes no more frames")
        pixels = as_ordered(frame.pixels, self._encode)
        if pixels.dtype == np.uint16:
            pixels = pixels.astype("<u2")
        rest = memoryview(np.ascontiguousarray(pixels).data).cast("B")
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BrokenPipeError as error:
            self.discard()
            raise OutputError("the program that reads standard output has ended before all frames were out") from error
        except OSError as error:
            self.discard()
            raise cannot_write("standard output", error) from error

    def close(self) -> None:
        """Say that this was all; does nothing the second time."""
        self.discard()

    def discard(self) -> None:
        """Stop; what is written remains."""
        if self._file is not None:
            self._file.close()
            self._file = None
