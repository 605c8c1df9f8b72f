"""Focus and noise: how much fine detail a picture has, measured so that two pictures of one scene can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bgmv2.plate.views import as_floats

# Pixels of a tile's side. Tiles are what is compared: fine detail varies too much from pixel to pixel.
TILE = 32
# Fine detail is what a blur of 1 pixel takes; coarse detail is between blurs of 3 and 9 pixels, which no small loss of
# focus takes, so that it tells what contrast there is.
_FINE, _COARSE, _COARSEST, _STEP = 1.0, 3.0, 9.0, 4
# What white noise of variance 1 has of fine detail: the energy of a pixel less a Gaussian about it.
_NOISE = 1 - 2 / (2 * np.pi * _FINE**2) + 1 / (4 * np.pi * _FINE**2)
# The share of tiles that are taken for flat: what is in them is noise.
_FLAT = 0.1


@dataclass(frozen=True, eq=False)
class Detail:
    """What a picture has of detail, in tiles.

    Args:
        fine: ``(h, w)`` mean energy of fine detail, without the noise.
        coarse: ``(h, w)`` mean energy of coarse detail.
        noise: standard deviation, for a picture in 0..1.
    """

    fine: np.ndarray
    coarse: np.ndarray
    noise: float


def measure_detail(pixels: np.ndarray) -> Detail:
    """Measure a picture.

    Args:
        pixels: ``(H, W, 3)`` RGB: uint8, uint16, or float32 in 0..1; at least one tile large.
    """
    # Floats first: grey of integers is rounded, which is noise.
    grey = cv2.cvtColor(as_floats(pixels), cv2.COLOR_RGB2GRAY)
    fine = _tiles(np.square(grey - cv2.GaussianBlur(grey, (0, 0), _FINE)), TILE)
    small = cv2.resize(grey, (grey.shape[1] // _STEP, grey.shape[0] // _STEP), interpolation=cv2.INTER_AREA)
    near, far = (cv2.GaussianBlur(small, (0, 0), sigma / _STEP) for sigma in (_COARSE, _COARSEST))
    coarse = _tiles(np.square(near - far), TILE // _STEP)[: fine.shape[0], : fine.shape[1]]
    # Clipped tiles have no noise, and would hide it.
    mean = _tiles(grey, TILE)
    lively = fine[(mean > 0.04) & (mean < 0.96)]
    variance = float(np.quantile(lively, _FLAT)) / _NOISE if lively.size else 0.0
    return Detail(np.maximum(fine - variance * _NOISE, 0), coarse, variance**0.5)


def _tiles(x: np.ndarray, side: int) -> np.ndarray:
    """Average ``(H, W)`` over tiles; what is left over at the right and below is dropped."""
    rows, columns = x.shape[0] // side, x.shape[1] // side
    return x[: rows * side, : columns * side].reshape(rows, side, columns, side).mean(axis=(1, 3))
