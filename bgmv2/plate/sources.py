"""Where plates come from: one picture of the clean background, brought to the size of the clip."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import torch

from bgmv2.errors import PlateError, VideoError
from bgmv2.types import Plate
from bgmv2.video.images import read_image
from bgmv2.video.probe import kind_of

# Cameras crop a little between photograph and video; by more than this, the plate shows another part of the scene.
ASPECT_TOLERANCE = 0.01


def load_plate(path: str | os.PathLike[str], width: int, height: int) -> Plate:
    """Read the clean background that was filmed without the subject, at the size of the clip.

    Args:
        path: a picture.
        width: of the clip, in pixels.
        height: of the clip, in pixels.

    Returns:
        The plate; a picture of another size but of the same shape, within 1 %, is scaled.

    Raises:
        ValueError: the size is not positive.
        PlateError: it is a video or a folder, or its shape differs from the clip's.
        VideoError: it is missing or cannot be read.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a clip has pixels, got {width = }, {height = }")
    path = Path(path)
    try:
        pixels = read_image(path)
    except VideoError:
        _refuse_motion(path)
        raise
    return Plate(torch.from_numpy(_sized(pixels, width, height, path)).permute(2, 0, 1).contiguous())


def _refuse_motion(path: Path) -> None:
    """Say why a video or a folder is no plate; does nothing if the path is neither."""
    try:
        kind = kind_of(path)
    except VideoError:  # missing or damaged: what `read_image` said of it is the better message
        return
    if kind in ("video", "folder"):
        raise PlateError(
            f"{path} is a {kind}, but --plate takes one picture: a frame filmed without the subject, from the same "
            f"camera position; if it should be seen behind the subject, give it as --backdrop"
        ) from None


def _sized(pixels: np.ndarray, width: int, height: int, path: Path) -> np.ndarray:
    """Scale a picture ``(h, w, 3)`` of integers to ``(height, width, 3)`` float32, 0..1."""
    old_height, old_width = pixels.shape[:2]
    if abs(old_width * height / (old_height * width) - 1) > ASPECT_TOLERANCE:
        raise PlateError(
            f"the plate {path} has {old_width}x{old_height} pixels, the clip {width}x{height}, which is another shape; "
            f"crop it to what the clip's camera saw, or take a frame of the clip without the subject "
            f"(a new background belongs to --backdrop)"
        )
    picture = np.multiply(pixels, 1 / np.iinfo(pixels.dtype).max, dtype=np.float32)
    if (old_width, old_height) == (width, height):
        return picture
    way = cv2.INTER_AREA if width < old_width else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, (width, height), interpolation=way), 0, 1)
