"""Where pictures go: a virtual camera, a recording, or both; what fails in one of them does not stop the other."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, StrPath, VideoInfo
from bgmv2.video.open import open_sink
from bgmv2.video.virtual import VirtualCamera

if TYPE_CHECKING:
    from typing_extensions import Self

# Recordings count time in these, as MPEG does.
_TICK = Fraction(1, 90000)
# What is recorded is brought to the disk every so many pictures, so that memory does not grow.
_SEGMENT = 240
# A recording shares the machine with the matting.
_ENCODE = EncodeConfig(preset="superfast")


class Outputs:
    """Takes pictures of one size, whenever they come.

    Args:
        size: width and height.
        rate: pictures a second, about.
        virtual: the virtual camera; None does without.
        record: path of the recording; None records nothing.
        overwrite: a recording that is there already may be replaced.

    Raises:
        OutputError: nothing can be recorded there.

    Attributes:
        virtual: as it was given.
        trouble: why the recording was given up; empty if it was not.
    """

    def __init__(
        self,
        size: tuple[int, int],
        rate: float,
        *,
        virtual: VirtualCamera | None = None,
        record: StrPath | None = None,
        overwrite: bool = False,
    ) -> None:
        self.virtual = virtual
        self.trouble = ""
        self._zero: float | None = None
        self._last = -1
        self._count = 0
        self._sink = None
        with ExitStack() as stack:
            if virtual is not None:
                stack.callback(virtual.close)
            if record is not None:
                fps = Fraction(rate).limit_denominator(1001)
                info = VideoInfo(*size, rate=fps, time_base=_TICK)
                self._sink = open_sink(record, info, encode=replace(_ENCODE, overwrite=overwrite))
            self._stack = stack.pop_all()

    @property
    def records(self) -> bool:
        """Whether a recording is made."""
        return self._sink is not None

    def show(self, picture: np.ndarray, seconds: float) -> None:
        """Take a picture, ``(H, W, 3)`` uint8, that is to be seen from now on."""
        self.repeat(picture)
        if self._sink is None:
            return
        self._zero = seconds if self._zero is None else self._zero
        pts = max(self._last + 1, round((seconds - self._zero) / _TICK))
        try:
            self._sink.write(Frame(picture, pts, _TICK))
            self._last, self._count = pts, self._count + 1
            if self._count % _SEGMENT == 0:
                self._sink.checkpoint()
        except OutputError as error:
            self.trouble = str(error)
            self._sink.discard()
            self._sink = None

    def repeat(self, picture: np.ndarray) -> None:
        """Show the virtual camera a picture that it may have seen before: programs take one that is silent for gone."""
        if self.virtual is not None:
            self.virtual.send(picture)

    def close(self) -> None:
        """Finish the recording, also after an error elsewhere, and release the virtual camera.

        Raises:
            OutputError: the recording cannot be finished.
        """
        with self._stack:
            sink, self._sink = self._sink, None
            if sink is not None and self._count:
                sink.close()
            elif sink is not None:
                sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
