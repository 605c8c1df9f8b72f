"""Finding: the plate's corners and features at reduced size, sought in a frame of that scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.plate.dense import Dense, Refined
from bgmv2.plate.geometry import (
    MOSAIC_SPREAD,
    PERSPECTIVE_SPREAD,
    centred,
    corners_of,
    looked_up,
    normalised,
    project,
    shift,
)
from bgmv2.plate.mesh import Bender
from bgmv2.plate.views import detail

# For a plate of the frame's size; a mosaic has as many more as it is larger, up to a limit.
_CORNERS, _FEATURES, _MOST_FEATURES = 320, 1500, 6000
# When to stop moving a corner, by the number of steps or by their length in reduced pixels.
_PRECISE_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02)
# Fewer matches than this, or in fewer cells of a 4 x 4 grid, can agree by chance or leave the far corner unknown.
_LEAST_INLIERS, _LEAST_CELLS = 16, 4
_LEAST_SHARE = 0.1
# How many places of the plate a frame may resemble before it is given up.
_HYPOTHESES = 3
# A frame's near side may be so much nearer to the plate than its far side: by how a hand tilts, and over a mosaic.
_LEAST_DEPTH, _LEAST_MOSAIC_DEPTH = 0.5, 0.2
# How much of the plate a frame may show, in frames.
_AREAS, _MOSAIC_AREAS = (0.25, 4.0), (0.1, 10.0)


class Fit(NamedTuple):
    """Where the plate was found, all at the reduced size.

    Args:
        homography: ``(3, 3)`` float64.
        matches: corners of the plate that were sought.
        inliers: how many of them agree.
        residual: median distance of those from where it puts them, in pixels.
        refined: what all pixels said of it; None if they did not tell, and the corners alone were asked.
        corners: ``(N, 4)``, where it puts the plate's corners, and where they were followed to.
    """

    homography: np.ndarray
    matches: int
    inliers: int
    residual: float
    refined: Refined | None = None
    corners: np.ndarray | None = None


class Finder:
    """The plate's corners and features at reduced size, and how to find them in a frame of that scale.

    Args:
        plate: ``(h, w, 3)`` float32 in 0..1.
        size: ``(h, w)`` of the frames at the same scale; smaller than the plate if that is a mosaic.
        seen: ``(h, w)`` bool, where the plate shows the scene; None means everywhere.
    """

    def __init__(self, plate: np.ndarray, size: tuple[int, ...], seen: np.ndarray | None = None):
        self._view = detail(plate)
        self._size = size[1], size[0]
        self._is_mosaic = plate.shape[:2] != size
        larger = plate.shape[0] * plate.shape[1] / (size[0] * size[1])
        mask = None if seen is None else cv2.erode(seen.astype(np.uint8), np.ones((9, 9), np.uint8))
        corners = cv2.goodFeaturesToTrack(self._view, round(_CORNERS * larger), 0.005, 8, mask=mask)
        self._corners = np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)
        self._detector = cv2.ORB.create(_FEATURES, fastThreshold=10)
        detector = cv2.ORB.create(min(_MOST_FEATURES, round(_FEATURES * larger)), fastThreshold=10)
        self._keypoints, self._descriptors = detector.detectAndCompute(self._view, mask)
        self._dense = Dense(self._view, size, mask)
        self._bender = Bender(self._dense, self._view, size)

    def track(self, view: np.ndarray, guess: np.ndarray, hidden: np.ndarray | None = None) -> Fit | None:
        """Follow the plate's corners from where a guess puts them, and refine what they tell.

        Args:
            view: ``(h, w)`` uint8, the structure of the frame, see `bgmv2.plate.views.detail`.
            guess: ``(3, 3)``, right within some ten pixels.
            hidden: ``(rows, columns)`` bool over the frame, where the subject hides the plate, as far as is known.

        Returns:
            Where the plate is, to some hundredths of a pixel; None if it is not there.
        """
        width, height = self._size
        expected = project(guess, self._corners)
        x, y = expected.T
        inside = np.flatnonzero((x > 2) & (y > 2) & (x < width - 3) & (y < height - 3))
        if hidden is not None:
            inside = inside[~looked_up(hidden, expected[inside], (height, width))]
        if len(inside) < _LEAST_INLIERS:
            return None
        start = np.ascontiguousarray(expected[inside], np.float32)
        # The plate is warped first, so that the windows that are compared are not turned against each other.
        plate = cv2.warpPerspective(self._view, guess, self._size, borderMode=cv2.BORDER_REPLICATE)
        end, is_followed, _ = cv2.calcOpticalFlowPyrLK(
            plate, view, start, start.copy(), winSize=(21, 21), maxLevel=2, criteria=_PRECISE_ENOUGH
        )
        followed = is_followed.ravel() == 1
        fit, _ = self._fit(self._corners[inside][followed], end[followed], threshold=1.0)
        if fit is None:
            return None
        refined = self._dense.refine(view, fit.homography, hidden)
        if refined is None or not self._is_plausible(refined.homography):
            return fit
        corners = np.c_[project(refined.homography, self._corners[inside][followed]), end[followed]]
        return fit._replace(homography=refined.homography, refined=refined, corners=corners)

    def bend(
        self, view: np.ndarray, fit: Fit, *, start: np.ndarray | None, hidden: np.ndarray | None
    ) -> tuple[np.ndarray | None, Refined | None]:
        """Fit a mesh to what the homography of a fit leaves, see `bgmv2.plate.mesh.Bender.bend`."""
        if fit.refined is None or fit.corners is None:
            return None, None
        return self._bender.bend(view, fit.refined, fit.corners, start=start, hidden=hidden)

    def search(self, view: np.ndarray) -> Fit | None:
        """Match the plate's features wherever they are, then track from there; the best of several places is taken."""
        fits = [self.track(view, guess) for guess in self._guesses(view)]
        return max((fit for fit in fits if fit is not None), key=lambda fit: fit.inliers, default=None)

    def _guesses(self, view: np.ndarray) -> Iterator[np.ndarray]:
        """Where the plate may be, by its features."""
        keypoints, descriptors = self._detector.detectAndCompute(view, None)
        if self._descriptors is not None and descriptors is not None and len(descriptors) > 1:
            pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(self._descriptors, descriptors, k=2)
            good = [best for best, second in pairs if best.distance < 0.8 * second.distance]
            source = np.array([self._keypoints[match.queryIdx].pt for match in good], np.float32).reshape(-1, 2)
            target = np.array([keypoints[match.trainIdx].pt for match in good], np.float32).reshape(-1, 2)
            for _ in range(_HYPOTHESES):
                fit, chosen = self._fit(source, target, threshold=3.0)
                if fit is None:
                    break
                yield fit.homography
                source, target = source[~chosen], target[~chosen]
        if not self._is_mosaic:
            yield np.eye(3)

    def _fit(self, source: np.ndarray, target: np.ndarray, *, threshold: float) -> tuple[Fit | None, np.ndarray]:
        """Fit a homography to matches of which many are wrong, and tell which agree.

        The fit is None if they do not tell one, or an impossible one.
        """
        none = np.zeros(len(source), bool)
        if len(source) < _LEAST_INLIERS:
            return None, none
        try:
            _, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=1000, confidence=0.999)
        except cv2.error:  # what it says of points that all lie on a line depends on the version
            return None, none
        chosen = none if mask is None else mask.ravel() == 1
        least = max(_LEAST_INLIERS, _LEAST_SHARE * len(source))
        if np.count_nonzero(chosen) < least:
            return None, chosen
        homography, distance = self._polish(source, target, chosen, threshold)
        chosen = distance < threshold
        cells = np.unique((target[chosen] * 4 / np.array(self._size)).astype(int), axis=0)
        if np.count_nonzero(chosen) < least or len(cells) < _LEAST_CELLS or not self._is_plausible(homography):
            return None, chosen
        return Fit(homography, len(source), int(np.count_nonzero(chosen)), float(np.median(distance[chosen]))), chosen

    def _polish(
        self, source: np.ndarray, target: np.ndarray, chosen: np.ndarray, threshold: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit all good matches by least squares; where they leave it open, the camera only shifted, turned and zoomed.

        Returns:
            The homography, and the distance of each match from it in pixels.
        """
        width, height = self._size
        # The plate's part that the frame shows is brought to the middle, wherever in a mosaic it is.
        away = shift(target[chosen].mean(axis=0) - source[chosen].mean(axis=0))
        unit = centred(height, width)
        (x, y), (u, v) = project(unit @ away, source).T, project(unit, target).T
        zero, one = np.zeros_like(x), np.ones_like(x)
        rows = np.stack(
            [[x, y, one, zero, zero, zero, -x * u, -y * u], [zero, zero, zero, x, y, one, -x * v, -y * v]], axis=0
        )
        rows = rows.transpose(2, 0, 1).reshape(-1, 8)  # two for each match
        wanted = np.stack([u, v], axis=1).ravel()
        # Unknowns are h11 h12 h13 h21 h22 h23 h31 h32: no perspective, h11 = h22 and h12 = -h21.
        prior = np.array([[1, 0, 0, 0, -1, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0], [0] * 6 + [1, 0], [0] * 7 + [1]]).T
        expected = MOSAIC_SPREAD if self._is_mosaic else PERSPECTIVE_SPREAD
        weight = chosen.astype(np.float64)
        homography, distance = np.eye(3), np.zeros(len(x))
        for _ in range(3):
            spread = max(0.05, 1.5 * float(np.median(distance[weight > 0]))) * unit[0, 0] / expected
            weighted = rows * np.repeat(weight, 2)[:, None]
            normal = weighted.T @ rows + spread**2 * prior @ prior.T
            solved = np.linalg.lstsq(normal, wanted @ weighted, rcond=None)[0]
            homography = normalised(np.linalg.inv(unit) @ np.append(solved, 1).reshape(3, 3) @ unit @ away)
            distance = np.linalg.norm(project(homography, source) - target, axis=1)
            weight = np.clip(1 - (distance / threshold) ** 2, 0, None) ** 2
            if np.count_nonzero(weight) < _LEAST_INLIERS:
                break
        return homography, distance

    def _is_plausible(self, homography: np.ndarray) -> bool:
        """Tell whether a camera could have seen the plate so: upright, whole, and with the plate in its middle."""
        width, height = self._size
        if not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-6:
            return False
        back = np.linalg.inv(homography)
        corners = corners_of(height, width)
        depth = (np.c_[corners, np.ones(4)] @ back[2]) * np.sign(back[2, 2])
        if depth.min() <= (_LEAST_MOSAIC_DEPTH if self._is_mosaic else _LEAST_DEPTH) * depth.max():
            return False
        quad = project(back, corners)
        sides = np.roll(quad, -1, axis=0) - quad
        turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
        least, largest = _MOSAIC_AREAS if self._is_mosaic else _AREAS
        if (turns <= 0).any() or not least < cv2.contourArea(quad.astype(np.float32)) / (width * height) < largest:
            return False
        middle = quad.mean(axis=0)
        inside = (middle > 0).all() and (middle < np.array(self._view.shape[::-1])).all()
        return bool(inside and sides[0, 0] > abs(sides[0, 1]))
