"""Garbage and holdout mattes: pictures or videos in black and white with which a person overrules alpha."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch

from bgmv2.errors import VideoError
from bgmv2.plate.sources import ASPECT_TOLERANCE
from bgmv2.types import Frame
from bgmv2.video.images import list_images, read_image, read_opacity
from bgmv2.video.open import is_sequence
from bgmv2.video.probe import kind_of
from bgmv2.video.timeline import Timeline

# Lossy codecs tint grey by some percent; a picture with more colour than this was not meant as a matte.
_GREY_WITHIN, _GREY_SHARE = 0.1, 0.01


class Mask(Protocol):
    """A matte at each instant of the clip."""

    def at(self, seconds: float, src: torch.Tensor) -> torch.Tensor:
        """Return the matte of one instant.

        Args:
            seconds: when, from the clip's beginning; never less than in the call before.
            src: ``(B, 3, H, W)`` frame.

        Returns:
            ``(B, 1, H, W)``, 0..1, of src's type and on its device; not to be written into.
        """
        ...

    def close(self) -> None:
        """Release the file; may be called twice."""
        ...


def open_mask(path: str | os.PathLike[str], *, width: int, height: int, rate: Fraction | None = None) -> Mask:
    """Open a matte.

    White is 1, black 0, grey in between. Where the file is transparent the matte is black, so that white paint on an
    empty layer is a matte, too. A matte of another size but of the clip's shape, within 1 %, is scaled. A video begins
    with the clip, shows at each instant what is on then, whatever the two frame rates, and keeps its last frame.

    Args:
        path: a picture, a video, or numbered pictures as `bgmv2.video.open.open_source` takes them.
        width: of the clip, in pixels.
        height: of the clip, in pixels.
        rate: of the clip, in frames per second, which numbered pictures share; None for the default.

    Raises:
        VideoError: it is missing, unreadable, coloured, or of another shape.
    """
    if not is_sequence(path):
        kind = kind_of(path)
        if kind == "picture":
            pixels, opacity = read_image(path), read_opacity(path)
            return StillMask(_to_mask(pixels, path, opacity=opacity, width=width, height=height))
        if kind != "video":
            raise VideoError(f"{os.fspath(path)} is a {kind}, but a matte is a picture or a video, black and white")
    return VideoMask(path, width=width, height=height, rate=rate)


def mask_for(picture: Path, masks: str | os.PathLike[str]) -> Path:
    """Find the matte of one picture of many: in a folder the file of the same name, else the one that serves all.

    Raises:
        VideoError: the folder holds none of that name.
    """
    folder = Path(masks)
    if not folder.is_dir():
        return folder
    found = [file for file in list_images(folder) if file.stem == picture.stem]
    if not found:
        raise VideoError(
            f"{folder} holds no matte for {picture.name}: call it {picture.stem}.png; black changes nothing"
        )
    return found[0]


class StillMask:
    """One matte for all frames.

    Args:
        mask: ``(1, H, W)``, 0..1.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self._mask = mask

    def at(self, seconds: float, src: torch.Tensor) -> torch.Tensor:
        """Return the matte; see `Mask.at`."""
        self._mask = self._mask.to(src)  # moves only the first time
        return self._mask.expand(len(src), 1, *src.shape[2:])

    def close(self) -> None:
        """Do nothing: there is no open file."""


class VideoMask:
    """A matte that moves.

    Args:
        path: of a video or numbered pictures.
        width: of the clip, in pixels.
        height: of the clip, in pixels.
        rate: of numbered pictures, in frames per second.
    """

    def __init__(self, path: str | os.PathLike[str], *, width: int, height: int, rate: Fraction | None = None) -> None:
        self._path = path
        self._width, self._height = width, height
        self._timeline = Timeline(path, end="hold", rate=rate)
        self._frame: Frame | None = None
        try:
            self._still = self._developed(0.0)  # refused now rather than when the first frame is there
        except BaseException:
            self.close()
            raise

    def at(self, seconds: float, src: torch.Tensor) -> torch.Tensor:
        """Return the matte that is on; see `Mask.at`.

        Raises:
            VideoError: the video breaks off, or is coloured.
        """
        self._still = self._developed(seconds)
        return self._still.at(seconds, src)

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._timeline.close()

    def _developed(self, seconds: float) -> StillMask:
        frame = self._timeline.at(seconds)
        if frame is self._frame:
            return self._still
        self._frame = frame
        return StillMask(_to_mask(frame.pixels, self._path, width=self._width, height=self._height))


def _to_mask(
    pixels: np.ndarray,
    path: str | os.PathLike[str],
    *,
    opacity: np.ndarray | None = None,
    width: int,
    height: int,
) -> torch.Tensor:
    """Bring ``(h, w, 3)`` integers to ``(1, height, width)`` float32 in 0..1."""
    h, w = pixels.shape[:2]
    if abs(w * height / (h * width) - 1) > ASPECT_TOLERANCE:
        raise VideoError(
            f"the matte {os.fspath(path)} has {w}x{h} pixels, the clip {width}x{height}, which is another shape; "
            f"draw it on a frame of the clip"
        )
    top = np.iinfo(pixels.dtype).max
    color = np.ptp(pixels.astype(np.int32), axis=2) > _GREY_WITHIN * top
    if opacity is not None:
        color &= opacity > 0
    if color.mean() > _GREY_SHARE:
        raise VideoError(f"the matte {os.fspath(path)} has colours, but it should be white, black, and grey in between")
    mask = pixels.mean(axis=2, dtype=np.float32) / top
    if opacity is not None:
        mask *= opacity.astype(np.float32) / np.iinfo(opacity.dtype).max
    if (h, w) != (height, width):
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if height < h else cv2.INTER_LINEAR)
    return torch.from_numpy(np.clip(mask, 0, 1))[None]
