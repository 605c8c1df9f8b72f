"""Light that differs from place to place: smooth fields over a picture, and bands along its rows or columns.

**Convention**: a field is the natural logarithm of what the light is multiplied by, ``(rows, columns, 3)``, a coarse
grid over the pixels of a frame, wherever the plate lies in it. Edges of the grid are edges of the frame; between the
centres of its cells it goes on bilinearly, beyond the outermost it stays.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.polynomial.legendre import legvander

# Rows and columns of a field; so many because lamps that flicker draw narrow bands.
GRID = (36, 36)
# Smooth fields are polynomials, which hold a vignette and a lamp's glow, but few shadows of subjects. What is known of
# them before looking: their spread by their degree, from 1 on, in logarithms.
_SPREAD = (0.25, 0.25, 0.1, 0.06)
# Waves of flicker: with 100 flashes a second, a shutter that rolls for a thirtieth shows three and their overtones.
_WAVES, _WAVE_SPREAD = 14, 0.1
# Bands count if two halves of the picture, dealt in so many strips, show them alike: so much in common, and so strong.
_STRIPS, _COMMON, _FAINT = 16, (0.5, 0.8), (0.003, 0.006)


def resized(field: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a field over a frame of this size, ``(height, width, 3)`` float32."""
    return cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=8)
def polynomials(height: int, width: int) -> np.ndarray:
    """Legendre polynomials ``(K, height * width)`` float32 at the centres of a picture's pixels, from degree 1 on."""
    y, x = (legvander((2 * np.arange(n) + 1) / n - 1, len(_SPREAD)) for n in (height, width))
    return np.stack([np.outer(y[:, i], x[:, j]).ravel() for i, j in _orders()]).astype(np.float32)


def fit_smooth(basis: np.ndarray, logs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Fit polynomials to logarithms of light where there is evidence; elsewhere they are held near an even field.

    Args:
        basis: ``(K, N)``, of `polynomials`.
        logs: ``(N, 3)``; their mean belongs to exposure and does not count.
        weight: ``(N,)``, inverse variance of each.

    Returns:
        ``(K, 3)``.
    """
    prior = np.array([_SPREAD[i + j - 1] for i, j in _orders()]) ** -2.0
    weighted = basis * weight
    ones, total = weighted.sum(axis=1), max(float(weight.sum()), 1e-9)
    normal = weighted @ basis.T - np.outer(ones, ones) / total + np.diag(prior)
    right = weighted @ logs - np.outer(ones, weight @ logs) / total
    return np.linalg.solve(normal, right.astype(np.float64))


def smooth(coefficients: np.ndarray) -> np.ndarray:
    """Evaluate polynomials ``(K, 3)`` as a field."""
    return (polynomials(*GRID).T @ coefficients).reshape(*GRID, 3)


def fit_bands(logs: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Fit what is common to whole rows, or columns: the bands that flickering lamps draw while a shutter rolls.

    Args:
        logs: ``(h, w, 3)`` of the ratio of light that is left to explain.
        weight: ``(h, w)``, inverse variance of each.

    Returns:
        A field, or None if two halves of the picture do not agree on any bands.
    """
    rows = _rows(logs, weight)
    columns = _rows(logs.swapaxes(0, 1), weight.T)  # a phone that is held upright reads out columns
    parts = (None if rows is None else rows[:, None], None if columns is None else columns[None])
    found = [np.broadcast_to(part, (*GRID, 3)) for part in parts if part is not None]
    return sum(found[1:], found[0]) if found else None


def _rows(logs: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Fit bands along rows, ``(GRID[0], 3)``."""
    height, width = weight.shape
    half = np.arange(width) * _STRIPS // width % 2 == 0
    grey = (weight * logs.mean(axis=2))[..., None]
    one, other = (_profile(grey[:, part].sum(axis=1), weight[:, part].sum(axis=1), height) for part in (half, ~half))
    common = float((one * other).mean())
    share = common / max(1e-12, float((one**2 + other**2).mean() / 2))
    trust = _ramp(share, *_COMMON) * _ramp(max(0.0, common) ** 0.5, *_FAINT)
    if trust == 0:
        return None
    return trust * _profile((weight[..., None] * logs).sum(axis=1), weight.sum(axis=1), GRID[0])


def _profile(sums: np.ndarray, weight: np.ndarray, length: int) -> np.ndarray:
    """Fit waves to rows of which weighted sums ``(h, C)`` and their weights ``(h,)`` are known; ``(length, C)``."""
    waves = _waves(len(weight))
    normal = (waves * weight[:, None]).T @ waves + _WAVE_SPREAD**-2 * np.eye(_WAVES)
    return _waves(length) @ np.linalg.solve(normal, waves.T @ (sums - weight[:, None] * _mean(sums, weight)))


def _mean(sums: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return sums.sum(axis=0) / max(float(weight.sum()), 1e-9)


def _ramp(x: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (x - low) / (high - low)))


@lru_cache(maxsize=8)
def _waves(length: int) -> np.ndarray:
    """Cosines ``(length, _WAVES)`` along a side, none of them even."""
    return np.cos(np.pi * np.outer((np.arange(length) + 0.5) / length, 1 + np.arange(_WAVES)))


def _orders() -> list[tuple[int, int]]:
    """Powers of y and x, by their sum."""
    return [(i, total - i) for total in range(1, len(_SPREAD) + 1) for i in range(total + 1)]
