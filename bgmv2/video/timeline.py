"""Which frame of a clip is on at each instant of another one, whatever the two frame rates."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction

from bgmv2.config import EndMode, ReadConfig
from bgmv2.types import Frame
from bgmv2.video.open import is_sequence, open_source

# Some containers round their timestamps to milliseconds; a frame that is due by less is on.
TOLERANCE = 1e-3


class Timeline:
    """A clip as it plays beside another; one decoded frame ahead is all it holds.

    Args:
        path: as `bgmv2.video.open.open_source` takes it.
        end: at its end it begins again, `loop`, or keeps its last frame, `hold`.
        offset: seconds into the clip at which it begins; a negative number makes it wait, with its first frame in view.
        rate: frames per second of numbered pictures; None for the default. Clips have their own.

    Raises:
        VideoError: it cannot be read, or ends before the offset.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, end: EndMode, offset: float = 0.0, rate: Fraction | None = None
    ) -> None:
        self._path = path
        self._read = ReadConfig(rate=rate if is_sequence(path) else None)
        self._wait = max(0.0, -offset)
        self._source = open_source(path, replace(self._read, start=offset) if offset > 0 else self._read)
        self._frames = self._played(end)
        self._next: tuple[float, Frame] | None = None
        self._frame: Frame | None = None

    def at(self, seconds: float) -> Frame:
        """Return the frame that is on.

        Args:
            seconds: from where both clips begin; never less than in the call before.

        Raises:
            VideoError: the clip breaks off.
        """
        if self._frame is None:
            self._frame = next(self._frames)[1]  # a source without any frame cannot be opened
            self._next = next(self._frames, None)
        while self._next is not None and self._next[0] <= seconds - self._wait + TOLERANCE:
            self._frame = self._next[1]
            self._next = next(self._frames, None)
        return self._frame

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._frames.close()
        self._source.close()

    def _played(self, end: EndMode) -> Generator[tuple[float, Frame], None, None]:
        """Yield frames, each with the instant at which it comes on."""
        begin = 0.0
        while True:
            start = self._source.info.start
            zero = None if start is None else float(start)
            for frame in self._source:
                zero = frame.seconds if zero is None else zero
                on = begin + frame.seconds - zero
                yield on, frame
            self._source.close()
            if end == "hold":
                return
            begin = on + float(1 / self._source.info.rate)
            self._source = open_source(self._path, self._read)
