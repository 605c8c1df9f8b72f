"""Homographies, and what is asked of them.

**Convention**: a homography is ``(3, 3)``, float64, with 1 in its last place, and maps column vectors ``(x, y, 1)`` of
plate pixels to frame pixels at full resolution; x points right, y down, and the first pixel's centre is ``(0, 0)``.
"""

from __future__ import annotations

import numpy as np

# A camera held by hand turns by a few degrees; what perspective and shear that brings, in units of half the long side.
# Over a mosaic it turns as far as the mosaic goes.
PERSPECTIVE_SPREAD, MOSAIC_SPREAD = 0.02, 0.5


def scaling(full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
    """Return the matrix that maps pixels of a picture to those of its reduced copy; pixel edges map to pixel edges."""
    x, y = small[1] / full[1], small[0] / full[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def centred(height: int, width: int) -> np.ndarray:
    """Return the matrix that maps pixels to units of half the long side from the middle: well conditioned for fits."""
    half = max(width, height) / 2
    return np.array([[1 / half, 0, -(width - 1) / 2 / half], [0, 1 / half, -(height - 1) / 2 / half], [0, 0, 1]])


def movement(a: np.ndarray, b: np.ndarray, size: tuple[int, ...]) -> float:
    """Return how far apart two homographies put what one shows in the corners of a frame ``(H, W)``, in pixels."""
    corners = corners_of(*size)
    return float(np.linalg.norm(project(a @ np.linalg.inv(b), corners) - corners, axis=1).max())


def corners_of(height: int, width: int) -> np.ndarray:
    """Return the centres of a picture's corner pixels ``(4, 2)``, clockwise from the first."""
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points ``(N, 2)`` by a homography."""
    x, y, w = homography @ np.c_[points, np.ones(len(points))].T
    return np.stack([x / w, y / w], axis=1)


def shift(by: np.ndarray) -> np.ndarray:
    """Return the homography that adds ``(x, y)``."""
    return np.array([[1, 0, by[0]], [0, 1, by[1]], [0, 0, 1]])


def looked_up(cells: np.ndarray, points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return what a grid ``(rows, columns)`` over a picture of a size ``(h, w)`` says at points ``(N, 2)``."""
    return cells.ravel()[cells_of(points, cells.shape, size)]


def cells_of(points: np.ndarray, shape: tuple[int, ...], size: tuple[int, ...]) -> np.ndarray:
    """Return in which cells of a grid ``(rows, columns)`` over a picture ``(h, w)`` points lie, counted row by row.

    Points ``(N, 2)`` beyond the picture's edges are counted to the nearest cells.
    """
    rows, columns = shape
    x = np.clip((points[:, 0] * (columns / size[1])).astype(int), 0, columns - 1)
    y = np.clip((points[:, 1] * (rows / size[0])).astype(int), 0, rows - 1)
    return y * columns + x


def normalised(homography: np.ndarray) -> np.ndarray:
    """Scale a homography so that its last place is 1."""
    return homography / homography[2, 2]


def is_identity(homography: np.ndarray) -> bool:
    """Tell whether nothing moves at all."""
    return bool(np.array_equal(homography, np.eye(3)))
