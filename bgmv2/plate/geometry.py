"""Homographies, and what is asked of them.

**Convention**: a homography is ``(3, 3)``, float64, with 1 in its last place, and maps column vectors ``(x, y, 1)`` of
plate pixels to frame pixels at full resolution; x points right, y down, and the first pixel's centre is ``(0, 0)``.
"""

from __future__ import annotations

import numpy as np


def scaling(full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
    """Return the matrix that maps pixels of a picture to those of its reduced copy; pixel edges map to pixel edges."""
    x, y = small[1] / full[1], small[0] / full[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def movement(a: np.ndarray, b: np.ndarray, size: tuple[int, ...]) -> float:
    """Return how far apart two homographies put the corners of a picture of a size ``(H, W)``, at most, in pixels."""
    corners = corners_of(*size)
    return float(np.linalg.norm(project(a, corners) - project(b, corners), axis=1).max())


def corners_of(height: int, width: int) -> np.ndarray:
    """Return the centres of a picture's corner pixels ``(4, 2)``, clockwise from the first."""
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points ``(N, 2)`` by a homography."""
    x, y, w = homography @ np.c_[points, np.ones(len(points))].T
    return np.stack([x / w, y / w], axis=1)


def normalised(homography: np.ndarray) -> np.ndarray:
    """Scale a homography so that its last place is 1."""
    return homography / homography[2, 2]


def is_identity(homography: np.ndarray) -> bool:
    """Tell whether nothing moves at all."""
    return bool(np.array_equal(homography, np.eye(3)))
