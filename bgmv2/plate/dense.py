"""Dense refinement: a homography made exact by all pixels of the plate that have structure.

The plate's pixels are compared with the frame's by the inverse compositional form of Gauss-Newton, in which slopes are
taken from the plate alone and so are computed once; pixels that disagree, as the subject's do, are left out by weights.
Corners that were followed one by one give the start, so that no pyramid is needed here.

Source: Baker and Matthews, *Lucas-Kanade 20 Years On: A Unifying Framework*, IJCV 2004.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.plate.geometry import MOSAIC_SPREAD, PERSPECTIVE_SPREAD, centred, looked_up, normalised, shift

# The strongest of each cell's pixels are kept, so that they lie everywhere that has structure; below a slope in code
# values per pixel there is mostly noise.
_CELL, _BEST, _LEAST_SLOPE = 40, 90, 4.0
# Fewer pixels than this, or less than this share of those in view, tell nothing.
_LEAST_PIXELS, _LEAST_SHARE = 300, 0.15
# When to stop, by the number of steps or by their length in pixels.
_STEPS, _SMALL_STEP = 4, 0.01
# Tukey's weight vanishes from so many standard deviations on; those of pixels that agree lie within these code values.
_TUKEY, _LEAST_SIGMA, _LARGEST_SIGMA = 4.685, 3.0, 12.0
# Neighbouring pixels err together, so that many are worth as much as one.
_WORTH = 1 / 8
# Corners are followed to a pixel or, through a lens that bends, some: what goes farther was led astray.
_FARTHEST = 4.0


class Refined(NamedTuple):
    """What refinement made of a homography, all at the reduced size and of the plate's pixels that the frame shows.

    Args:
        homography: ``(3, 3)`` float64.
        at: ``(N, 2)`` float32, where it puts them.
        pixels: ``(N,)``, which of `Dense.points` they are.
        misses: ``(N,)`` float32, by how much the frame exceeds the plate, in code values of the structure.
        weights: ``(N,)`` float32, 0..1, how far each is believed.
    """

    homography: np.ndarray
    at: np.ndarray
    pixels: np.ndarray
    misses: np.ndarray
    weights: np.ndarray


class Dense:
    """A plate's pixels that have structure, to which frames are fitted.

    Args:
        view: ``(h, w)`` uint8, the structure of the plate, see `bgmv2.plate.views.detail`.
        size: ``(h, w)`` of the frames' views; smaller than the plate's if that is a mosaic.
        mask: ``(h, w)`` uint8, 0 where the plate's pixels are made up; None if they are not.
    """

    def __init__(self, view: np.ndarray, size: tuple[int, ...], mask: np.ndarray | None = None):
        self._size = size
        self._spread = PERSPECTIVE_SPREAD if view.shape == size else MOSAIC_SPREAD
        soft = softened(view)
        x, y = (cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for dx in (1, 0))
        slope = np.hypot(x, y)
        chosen = _strongest(slope if mask is None else slope * (mask > 0))
        self.values, self.slopes = soft[chosen], np.stack([x[chosen], y[chosen]], axis=1)
        self.points = np.argwhere(chosen)[:, ::-1].astype(np.float32)  # (N, 2), x and y

    def refine(self, view: np.ndarray, guess: np.ndarray, hidden: np.ndarray | None = None) -> Refined | None:
        """Improve a homography that is right within a pixel or so.

        Args:
            view: ``(h, w)`` uint8, the structure of the frame.
            guess: ``(3, 3)``.
            hidden: ``(rows, columns)`` bool over the frame, where the subject hides the plate.

        Returns:
            The better one; None if the pixels do not tell, or lead away from the guess.
        """
        height, width = self._size
        start = _projected(guess, self.points)
        x, y = start.T
        shown = np.flatnonzero((x >= 1) & (y >= 1) & (x <= width - 2) & (y <= height - 2))
        start, points, values, slopes = start[shown], self.points[shown], self.values[shown], self.slopes[shown]
        open_ = np.ones(len(start), bool) if hidden is None else ~looked_up(hidden, start, self._size)
        least = max(_LEAST_PIXELS, _LEAST_SHARE * np.count_nonzero(open_))
        if np.count_nonzero(open_) < least:
            return None
        soft, homography = softened(view), guess
        # What the frame shows of a mosaic is brought to the middle of the units.
        unit = centred(height, width) @ shift(start.mean(axis=0) - points.mean(axis=0))
        trusted, targets = points[open_], values[open_]
        jacobian = _jacobian(_projected(unit, trusted), slopes[open_] / np.float32(unit[0, 0]))
        for _ in range(_STEPS):
            misses = sampled(soft, _projected(homography, trusted)) - targets
            sigma, weights = weighed(misses)
            if np.count_nonzero(weights) < least:
                return None
            step = self._step(unit, homography, jacobian, misses, weights / np.float32(sigma**2))
            homography = normalised(homography @ step)
            length = np.abs(_projected(step, points[::64]) - points[::64]).max()
            if length < _SMALL_STEP or not length < _FARTHEST:
                break
        at = _projected(homography, points)
        if not np.abs(at - start).max() < _FARTHEST:  # or it is no number
            return None
        misses = sampled(soft, at) - values
        sigma, _ = weighed(misses[open_])
        return Refined(homography, at, shown, misses, believed(misses, sigma))

    def _step(
        self, unit: np.ndarray, homography: np.ndarray, jacobian: np.ndarray, misses: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """Solve for the movement of the plate, ``(3, 3)``, that a homography is to be multiplied by."""
        weighted = jacobian * (weights * np.float32(_WORTH))[:, None]
        normal, right = (weighted.T @ jacobian).astype(np.float64), (misses @ weighted).astype(np.float64)
        # What is expected before looking, see `PERSPECTIVE_SPREAD`, of the homography after this step.
        inner = normalised(centred(*self._size) @ homography @ np.linalg.inv(unit))
        doubts = _doubts(_changes(inner)) / self._spread
        normal += doubts.T @ doubts
        right += doubts.T @ (_doubts(inner.ravel()[:8]) / self._spread)
        solved = np.linalg.lstsq(normal, -right, rcond=None)[0]
        return np.linalg.inv(unit) @ (np.eye(3) + np.append(solved, 0).reshape(3, 3)) @ unit


def sampled(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Look up a picture between its pixels, at ``(N, 2)`` x and y; ``(N,)`` float32."""
    # OpenCV takes no more than 32767 in a row, and not none.
    rows = max(1, -(-len(points) // 4096))
    padded = np.zeros((rows * 4096, 2), np.float32)
    padded[: len(points)] = points
    x, y = (np.ascontiguousarray(part).reshape(rows, 4096) for part in padded.T)
    values = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.ravel()[: len(points)].astype(np.float32)


def weighed(misses: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the standard deviation of the misses ``(N,)`` that agree, and how far each is believed, ``(N,)``."""
    sigma = float(np.clip(1.4826 * np.median(np.abs(misses)), _LEAST_SIGMA, _LARGEST_SIGMA))
    return sigma, believed(misses, sigma)


def believed(misses: np.ndarray, sigma: float) -> np.ndarray:
    """Return Tukey's weights of misses, 0..1."""
    return np.maximum(1 - (misses / np.float32(_TUKEY * sigma)) ** 2, 0) ** 2


def softened(view: np.ndarray) -> np.ndarray:
    """Take out what only one pixel in a row shows: between pixels it cannot be told."""
    return cv2.GaussianBlur(view, (0, 0), 0.8).astype(np.float32)


def _projected(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Do what `project` does with ``(N, 2)`` float32, to a ten-thousandth of a pixel, in half the time."""
    matrix = homography.astype(np.float32)
    mapped = points @ matrix[:2, :2].T + matrix[:2, 2]
    return mapped / (points @ matrix[2, :2] + matrix[2, 2])[:, None]


def _jacobian(at: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """How pixels change with the plate's own movement, by its h11 h12 h13 h21 h22 h23 h31 h32, ``(N, 8)``."""
    (u, v), (x, y) = at.T, slopes.T
    along = x * u + y * v
    return np.stack([x * u, x * v, x, y * u, y * v, y, -along * u, -along * v], axis=1)


def _strongest(slope: np.ndarray) -> np.ndarray:
    """Choose each cell's pixels of the largest slope; ``(h, w)`` bool."""
    chosen = np.zeros(slope.shape, bool)
    chosen[2:-2, 2:-2] = slope[2:-2, 2:-2] > _LEAST_SLOPE
    for top in range(0, slope.shape[0], _CELL):
        for left in range(0, slope.shape[1], _CELL):
            cell = slice(top, top + _CELL), slice(left, left + _CELL)
            if np.count_nonzero(chosen[cell]) > _BEST:
                chosen[cell] &= slope[cell] >= np.partition(slope[cell][chosen[cell]], -_BEST)[-_BEST]
    return chosen


def _changes(inner: np.ndarray) -> np.ndarray:
    """How the first eight places of a homography, whose last is 1, change with those of a movement before it."""
    one = np.eye(3)
    change = inner[:, None, :, None] * one[:, None] - inner[:, :, None, None] * (inner[2][:, None] * one[2])
    return change.reshape(9, 9)[:8, :8]


def _doubts(places: np.ndarray) -> np.ndarray:
    """What a camera that only shifts, turns and zooms leaves at 0, ``(4, ...)``: shear and perspective."""
    return np.stack([places[0] - places[4], places[1] + places[3], places[6], places[7]])
