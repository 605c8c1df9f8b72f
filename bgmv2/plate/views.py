"""Pictures as alignment and light look at them: small, in floats, or as nothing but structure."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch

from bgmv2.types import Plate


def as_plate(plate: Plate | np.ndarray) -> Plate:
    """Take a plate as it is, or make one of ``(H, W, 3)`` RGB, uint8 or uint16.

    Raises:
        ValueError: the array has another shape or type.
    """
    if isinstance(plate, Plate):
        return plate
    check_pixels(plate)
    return Plate(torch.from_numpy(as_floats(plate)).permute(2, 0, 1))


def as_pixels(plate: Plate) -> np.ndarray:
    """Return a plate as ``(H, W, 3)`` float32 in 0..1."""
    return plate.bgr.permute(1, 2, 0).float().cpu().numpy()


def as_floats(pixels: np.ndarray) -> np.ndarray:
    """Return a picture of integers as float32 in 0..1; one of floats is in 0..1 already."""
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return np.multiply(pixels, 1 / top, dtype=np.float32)


def as_integers(picture: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Undo `as_floats`."""
    return np.rint(np.clip(picture, 0, 1) * np.float32(np.iinfo(dtype).max)).astype(dtype)


def check_pixels(pixels: np.ndarray) -> None:
    """Refuse what is no picture ``(H, W, 3)`` of uint8 or uint16 with a ValueError."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16) or not pixels.size:
        raise ValueError(f"pictures are (H, W, 3), uint8 or uint16, got {pixels.shape = }, {pixels.dtype = }")


def reduced_size(size: tuple[int, ...], long_side: int) -> tuple[int, int]:
    """Return ``(h, w)`` of a picture ``(H, W)`` that is shrunk to a long side at most."""
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def reduced(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """Shrink a picture to a long side at most; ``(h, w, 3)`` float32 in 0..1."""
    size = reduced_size(pixels.shape[:2], long_side)[::-1]
    return as_floats(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA))


def detail(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture in 0..1 to its local structure, 8 bit: no exposure, white balance or vignette remains."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    local = grey - cv2.blur(grey, (31, 31))
    contrast = np.sqrt(np.maximum(cv2.blur(local * local, (31, 31)), 0)) + 0.02
    return np.clip(128 + 50 * local / contrast, 0, 255).astype(np.uint8)
