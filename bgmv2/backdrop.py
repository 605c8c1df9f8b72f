"""What goes behind the subject: the plate out of focus, a colour, a picture or a video."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from bgmv2.compose import blurred, parse_color
from bgmv2.errors import BackdropError, VideoError
from bgmv2.types import Frame
from bgmv2.video.images import read_image
from bgmv2.video.open import open_source
from bgmv2.video.probe import kind_of

CHOICES = "a backdrop is blur, a colour such as #00b140 or green, or the path of a picture or video"
# Some containers round their timestamps to milliseconds; a frame that is due by less is on.
TOLERANCE = 1e-3


class Backdrop(Protocol):
    """What stands behind the subject at each instant."""

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the backdrop of one instant.

        Args:
            seconds: when, from the clip's zero; never less than in the call before.
            bgr: ``(3, H, W)`` or ``(B, 3, H, W)`` plate as it stands in the frame, 0..1.

        Returns:
            ``(3, H, W)`` or bgr's shape, 0..1, of bgr's type and on its device; not to be written into.
        """
        ...

    def close(self) -> None:
        """Release the file; may be called twice."""
        ...


def open_backdrop(spec: str, *, width: int, height: int) -> Backdrop:
    """Open the backdrop that a person asked for.

    Pictures and videos are scaled to fill the frame, and what stands out is cut off evenly. A video starts with the
    clip, shows at each instant what is on then, whatever the two frame rates, and begins again at its end.

    Args:
        spec: ``blur`` for the plate out of focus; a colour as `bgmv2.compose.parse_color` reads it; or the path of a
            picture or video. A file that is called like a colour is given as ``./green``.
        width: of the clip, in pixels.
        height: of the clip, in pixels.

    Returns:
        The backdrop; a video is opened at the first call of `Backdrop.at`.

    Raises:
        ValueError: the size is not positive.
        BackdropError: it is none of these, or the file is missing or unreadable.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a backdrop's size is positive, got {width = }, {height = }")
    if spec == "blur":
        return BlurredPlate()
    try:
        return Still(parse_color(spec).view(3, 1, 1))
    except BackdropError as error:
        no_color = str(error)
    path = Path(spec)
    if not spec or not os.path.exists(spec):
        # What has a suffix or a folder was meant as a path, all else as a colour.
        reason = f"there is no file {spec}" if path.suffix or len(path.parts) > 1 else no_color
        raise BackdropError(f"{reason} ({CHOICES})")
    try:
        kind = kind_of(path)
        if kind == "picture":
            return Still(_to_tensor(_cover(read_image(path), width, height)))
    except VideoError as error:
        raise BackdropError(f"{error} ({CHOICES})") from error
    if kind != "video":
        raise BackdropError(f"{spec} is a {kind} ({CHOICES})")
    return Clip(path, width=width, height=height)


class BlurredPlate:
    """The plate out of focus; without the subject in it, no halo surrounds the subject."""

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the blurred plate; see `Backdrop.at`."""
        return blurred(bgr)

    def close(self) -> None:
        """Do nothing: there is no file."""


class Still:
    """A colour or a picture.

    Args:
        picture: ``(3, H, W)``, or ``(3, 1, 1)`` for a colour, 0..1.
    """

    def __init__(self, picture: torch.Tensor) -> None:
        self._picture = picture

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the picture; see `Backdrop.at`.

        Raises:
            ValueError: the plate has another size than the picture.
        """
        if self._picture.shape[1:] not in (bgr.shape[-2:], (1, 1)):
            raise ValueError(f"the backdrop was opened for another size, got {bgr.shape = }, {self._picture.shape = }")
        self._picture = self._picture.to(bgr)  # moves only the first time
        return self._picture.expand(3, *bgr.shape[-2:])

    def close(self) -> None:
        """Do nothing: there is no open file."""


class Clip:
    """A video, over and over; one decoded frame ahead is all it holds.

    Args:
        path: of the video.
        width: of the pictures to deliver, in pixels.
        height: of the pictures to deliver, in pixels.
    """

    def __init__(self, path: str | os.PathLike[str], *, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._frames = _looped(path)
        self._next: tuple[float, Frame] | None = None
        self._frame: Frame | None = None
        self._still: Still | None = None

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the frame that is on; see `Backdrop.at`.

        Raises:
            VideoError: the video breaks off.
            ValueError: the plate has another size than was said.
        """
        if self._next is None:
            self._next = next(self._frames)
        while self._frame is None or self._next[0] <= seconds + TOLERANCE:
            self._frame, self._still = self._next[1], None
            self._next = next(self._frames)
        if self._still is None:
            self._still = Still(_to_tensor(_cover(self._frame.pixels, self._width, self._height)))
        return self._still.at(seconds, bgr)

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._frames.close()


def _looped(path: str | os.PathLike[str]) -> Generator[tuple[float, Frame], None, None]:
    """Yield a video's frames without end, each with the instant at which it comes on."""
    begin = 0.0
    while True:
        with closing(open_source(path)) as source:
            frames = iter(source)
            first = next(frames)  # a source without any frame cannot be opened
            zero = first.seconds
            for frame in chain([first], frames):
                on = begin + frame.seconds - zero
                yield on, frame
            begin = on + float(1 / source.info.rate)


def _cover(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Cut the largest centred piece of the wanted proportions, and scale it to the wanted size."""
    h, w = pixels.shape[:2]
    piece_w = max(1, min(w, round(h * width / height)))
    piece_h = max(1, min(h, round(w * height / width)))
    top, left = (h - piece_h) // 2, (w - piece_w) // 2
    piece = pixels[top : top + piece_h, left : left + piece_w]
    if (piece_h, piece_w) == (height, width):
        return piece
    # Averaging is free of moiré but looks like tiles where it has to enlarge.
    return cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA if piece_h > height else cv2.INTER_CUBIC)


def _to_tensor(pixels: np.ndarray) -> torch.Tensor:
    """Bring ``(H, W, 3)`` integers to ``(3, H, W)`` float32 in 0..1."""
    top = np.iinfo(pixels.dtype).max
    rows = torch.from_numpy(np.require(pixels, requirements=["C", "W"]))
    return rows.permute(2, 0, 1).contiguous().float() / top
