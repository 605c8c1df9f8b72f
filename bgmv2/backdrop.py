"""What goes behind the subject: the plate out of focus, a colour, a picture or a video."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from bgmv2.compose import BLUR, blurred, from_integers, parse_color
from bgmv2.config import CompositeConfig, FitMode
from bgmv2.errors import BackdropError, VideoError
from bgmv2.types import Frame
from bgmv2.video.images import read_image, read_opacity
from bgmv2.video.open import is_sequence
from bgmv2.video.probe import kind_of
from bgmv2.video.timeline import Timeline

CHOICES = "a backdrop is blur, a colour such as #00b140 or green, or the path of a picture or video"
_BLUR = re.compile(r"blur(?::(\d+\.?\d*|\.\d+)(px|%)?)?", re.ASCII | re.IGNORECASE)


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


def open_backdrop(
    spec: str,
    *,
    width: int,
    height: int,
    rate: Fraction | None = None,
    composite: CompositeConfig = CompositeConfig(),
) -> Backdrop:
    """Open the backdrop that a person asked for.

    A video begins with the clip and shows at each instant what is on then, whatever the two frame rates. Where a
    picture is transparent, the plate is seen through it; the transparency of videos and EXR is passed over.

    Args:
        spec: ``blur`` for the plate out of focus, ``blur:20`` for a Gaussian's standard deviation of 20 pixels, and
            ``blur:3%`` for that share of the height; a colour as `bgmv2.compose.parse_color` reads it; or the path of a
            picture, a video, or numbered pictures as `bgmv2.video.open.open_source` takes them. A file that is called
            like a colour is given as ``./green``.
        width: of the clip, in pixels.
        height: of the clip, in pixels.
        rate: of the clip, in frames per second, which numbered pictures share; None for the default.
        composite: its `backdrop_fit`, `backdrop_end` and `backdrop_offset` count.

    Returns:
        The backdrop.

    Raises:
        ValueError: the size is not positive.
        BackdropError: it is none of these, or the file is missing, unreadable, or shorter than the offset.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a backdrop's size is positive, got {width = }, {height = }")
    if spec.partition(":")[0].lower() == "blur":
        return BlurredPlate(_parse_blur(spec, height))
    try:
        return Still(parse_color(spec).view(3, 1, 1))
    except BackdropError as error:
        no_color = str(error)
    path = Path(spec)
    # What has a suffix or a folder was meant as a path, all else as a colour.
    is_path = bool(path.suffix) or len(path.parts) > 1
    is_numbered = (is_path or path.is_dir()) and is_sequence(spec)
    if not spec or not (is_numbered or os.path.exists(spec)):
        raise BackdropError(f"{f'there is no file {spec}' if is_path else no_color} ({CHOICES})")
    try:
        kind = "video" if is_numbered else kind_of(path)
        if kind == "picture":
            return Still(_fitted(read_image(path), width, height, composite.backdrop_fit, opacity=read_opacity(path)))
        if kind != "video":
            raise BackdropError(f"{spec} is a {kind} ({CHOICES})")
        return Clip(path, width=width, height=height, rate=rate, composite=composite)
    except VideoError as error:
        raise BackdropError(f"{error} ({CHOICES})") from error


def _parse_blur(spec: str, height: int) -> float:
    """Read ``blur``, ``blur:20``, ``blur:20px`` or ``blur:3%``; the strength is a share of the height."""
    match = _BLUR.fullmatch(spec)
    if match is None:
        raise BackdropError(
            f"'{spec}' is no blur; write blur, blur:20 for 20 pixels, or blur:3% of the picture's height"
        )
    if match[1] is None:
        return BLUR
    strength = float(match[1]) / (100 if match[2] == "%" else height)
    if strength > 1:
        raise BackdropError(f"'{spec}' is wider than the picture is high, {height} pixels; blur:5% is a wide one")
    return strength


def is_path(spec: str) -> bool:
    """Tell a backdrop that is a file, or should be, from a colour and the plate out of focus."""
    if spec.partition(":")[0].lower() == "blur":
        return False
    try:
        parse_color(spec)
    except BackdropError:
        return True
    return False


class BlurredPlate:
    """The plate out of focus; without the subject in it, no halo surrounds the subject.

    Args:
        strength: standard deviation of the blur, as a share of the height.
    """

    def __init__(self, strength: float = BLUR) -> None:
        self._strength = strength

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the blurred plate; see `Backdrop.at`."""
        return blurred(bgr, strength=self._strength)

    def close(self) -> None:
        """Do nothing: there is no file."""


class Still:
    """A colour or a picture.

    Args:
        picture: ``(3, H, W)``, or ``(3, 1, 1)`` for a colour, 0..1; or ``(4, H, W)`` with colours that are multiplied
            by the opacity behind them.
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
        if len(self._picture) == 4:
            return self._picture[:3] + (1 - self._picture[3:]) * bgr
        return self._picture.expand(3, *bgr.shape[-2:])

    def close(self) -> None:
        """Do nothing: there is no open file."""


class Clip:
    """A video, or numbered pictures.

    Args:
        path: of the video or the pictures.
        width: of the pictures to deliver, in pixels.
        height: of the pictures to deliver, in pixels.
        rate: of numbered pictures, in frames per second; None for the default.
        composite: its `backdrop_fit`, `backdrop_end` and `backdrop_offset` count.

    Raises:
        VideoError: it cannot be read, or ends before the offset.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        width: int,
        height: int,
        rate: Fraction | None = None,
        composite: CompositeConfig = CompositeConfig(),
    ) -> None:
        self._width, self._height, self._fit = width, height, composite.backdrop_fit
        self._timeline = Timeline(path, end=composite.backdrop_end, offset=composite.backdrop_offset, rate=rate)
        self._frame: Frame | None = None
        self._still: Still | None = None

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the frame that is on; see `Backdrop.at`.

        Raises:
            VideoError: the video breaks off.
            ValueError: the plate has another size than was said.
        """
        frame = self._timeline.at(seconds)
        if self._still is None or frame is not self._frame:
            self._frame, self._still = frame, Still(_fitted(frame.pixels, self._width, self._height, self._fit))
        return self._still.at(seconds, bgr)

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._timeline.close()


def _fitted(
    pixels: np.ndarray, width: int, height: int, fit: FitMode, *, opacity: np.ndarray | None = None
) -> torch.Tensor:
    """Bring a picture to the wanted size.

    Args:
        pixels: ``(h, w, 3)`` integers.
        width: of the result.
        height: of the result.
        fit: `fill` cuts what stands out evenly; `fit` leaves bars, black or, beside what has transparency, transparent;
            `stretch` changes its proportions.
        opacity: ``(h, w)`` integers; None if nothing is transparent.

    Returns:
        ``(3, height, width)`` float32 in 0..1, or with `opacity` ``(4, height, width)``, multiplied by it.
    """
    if opacity is not None:
        # Straight colours would bleed out of what is transparent.
        share = opacity[..., None].astype(np.float32) / np.iinfo(opacity.dtype).max
        pixels = np.dstack([pixels * (share / np.iinfo(pixels.dtype).max), share])
    h, w = pixels.shape[:2]
    if fit == "fill":
        piece_w = max(1, min(w, round(h * width / height)))
        piece_h = max(1, min(h, round(w * height / width)))
        top, left = (h - piece_h) // 2, (w - piece_w) // 2
        pixels = pixels[top : top + piece_h, left : left + piece_w]
    if fit == "fit":
        inner_w = max(1, min(width, round(w * height / h)))
        inner_h = max(1, min(height, round(h * width / w)))
        top, left = (height - inner_h) // 2, (width - inner_w) // 2
        canvas = np.zeros((height, width, pixels.shape[2]), pixels.dtype)
        canvas[top : top + inner_h, left : left + inner_w] = _scaled(pixels, inner_w, inner_h)
    else:
        canvas = _scaled(pixels, width, height)
    if opacity is not None:
        return torch.from_numpy(canvas).permute(2, 0, 1).clamp(0, 1)
    return from_integers(canvas)


def _scaled(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    if pixels.shape[:2] == (height, width):
        return pixels
    # Averaging is free of moiré but looks like tiles where it has to enlarge.
    shrinks = pixels.shape[0] * pixels.shape[1] > height * width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
