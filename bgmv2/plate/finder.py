"""Finding: the plate's corners and features at reduced size, sought in a frame of that size."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.plate.geometry import corners_of, project
from bgmv2.plate.views import detail

_CORNERS, _FEATURES = 320, 1500
# When to stop moving a corner, by the number of steps or by their length in reduced pixels.
_PRECISE_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02)
# Fewer matches than this, or in fewer cells of a 4 x 4 grid, can agree by chance or leave the far corner unknown.
_LEAST_INLIERS, _LEAST_CELLS = 16, 4
_LEAST_SHARE = 0.1
# A camera held by hand turns by a few degrees; what perspective and shear that brings, in units of half the long side.
_PERSPECTIVE_SPREAD = 0.02


class Fit(NamedTuple):
    """Where the plate was found, all at the reduced size.

    Args:
        homography: ``(3, 3)`` float64.
        matches: corners of the plate that were sought.
        inliers: how many of them agree.
        residual: median distance of those from where it puts them, in pixels.
    """

    homography: np.ndarray
    matches: int
    inliers: int
    residual: float


class Finder:
    """The plate's corners and features at reduced size, and how to find them in a frame of that size."""

    def __init__(self, plate: np.ndarray):
        self._view = detail(plate)
        self._size = self._view.shape[1::-1]
        corners = cv2.goodFeaturesToTrack(self._view, _CORNERS, 0.005, 8)
        self._corners = np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)
        self._detector = cv2.ORB.create(_FEATURES, fastThreshold=10)
        self._keypoints, self._descriptors = self._detector.detectAndCompute(self._view, None)

    def track(self, view: np.ndarray, guess: np.ndarray) -> Fit | None:
        """Follow the plate's corners from where a guess puts them; good to a tenth of a pixel and better."""
        width, height = self._size
        expected = project(guess, self._corners)
        inside = ((expected > 2) & (expected < np.array([width - 3, height - 3]))).all(axis=1)
        if np.count_nonzero(inside) < _LEAST_INLIERS:
            return None
        start = np.ascontiguousarray(expected[inside], np.float32)
        # The plate is warped first, so that the windows that are compared are not turned against each other.
        plate = cv2.warpPerspective(self._view, guess, self._size, borderMode=cv2.BORDER_REPLICATE)
        end, is_followed, _ = cv2.calcOpticalFlowPyrLK(
            plate, view, start, start.copy(), winSize=(21, 21), maxLevel=2, criteria=_PRECISE_ENOUGH
        )
        followed = is_followed.ravel() == 1
        return self._fit(self._corners[inside][followed], end[followed], threshold=1.0)

    def search(self, view: np.ndarray) -> Fit | None:
        """Match the plate's features wherever they are, then track from there."""
        keypoints, descriptors = self._detector.detectAndCompute(view, None)
        if self._descriptors is None or descriptors is None or len(descriptors) < 2:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(self._descriptors, descriptors, k=2)
        good = [best for best, second in pairs if best.distance < 0.8 * second.distance]
        source = np.array([self._keypoints[match.queryIdx].pt for match in good], np.float32).reshape(-1, 2)
        target = np.array([keypoints[match.trainIdx].pt for match in good], np.float32).reshape(-1, 2)
        coarse = self._fit(source, target, threshold=3.0)
        for guess in ([] if coarse is None else [coarse.homography]) + [np.eye(3)]:
            fit = self.track(view, guess)
            if fit is not None:
                return fit
        return None

    def _fit(self, source: np.ndarray, target: np.ndarray, *, threshold: float) -> Fit | None:
        """Fit a homography to matches of which many are wrong; None if they do not tell one, or an impossible one."""
        if len(source) < _LEAST_INLIERS:
            return None
        try:
            _, mask = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=1000, confidence=0.999)
        except cv2.error:  # what it says of points that all lie on a line depends on the version
            return None
        chosen = np.zeros(len(source), bool) if mask is None else mask.ravel() == 1
        least = max(_LEAST_INLIERS, _LEAST_SHARE * len(source))
        if np.count_nonzero(chosen) < least:
            return None
        homography, distance = self._polish(source, target, chosen, threshold)
        chosen = distance < threshold
        cells = np.unique((source[chosen] * 4 / np.array(self._size)).astype(int), axis=0)
        if np.count_nonzero(chosen) < least or len(cells) < _LEAST_CELLS or not self._is_plausible(homography):
            return None
        return Fit(homography, len(source), int(np.count_nonzero(chosen)), float(np.median(distance[chosen])))

    def _polish(
        self, source: np.ndarray, target: np.ndarray, chosen: np.ndarray, threshold: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit all good matches by least squares; where they leave it open, the camera only shifted, turned and zoomed.

        Returns:
            The homography, and the distance of each match from it in pixels.
        """
        width, height = self._size
        half = max(width, height) / 2
        unit = np.array([[1 / half, 0, -(width - 1) / 2 / half], [0, 1 / half, -(height - 1) / 2 / half], [0, 0, 1]])
        (x, y), (u, v) = project(unit, source).T, project(unit, target).T
        zero, one = np.zeros_like(x), np.ones_like(x)
        rows = np.stack(
            [[x, y, one, zero, zero, zero, -x * u, -y * u], [zero, zero, zero, x, y, one, -x * v, -y * v]], axis=0
        ).transpose(2, 0, 1)  # (N, 2, 8)
        wanted = np.stack([u, v], axis=1)
        # Unknowns are h11 h12 h13 h21 h22 h23 h31 h32: no perspective, h11 = h22 and h12 = -h21.
        prior = np.array([[1, 0, 0, 0, -1, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0], [0] * 6 + [1, 0], [0] * 7 + [1]]).T
        weight = chosen.astype(np.float64)
        homography, distance = np.eye(3), np.zeros(len(x))
        for _ in range(3):
            spread = max(0.05, 1.5 * float(np.median(distance[weight > 0]))) / half / _PERSPECTIVE_SPREAD
            normal = np.einsum("nki,nkj,n->ij", rows, rows, weight) + spread**2 * prior @ prior.T
            right = np.einsum("nki,nk,n->i", rows, wanted, weight)
            solved = np.linalg.lstsq(normal, right, rcond=None)[0]
            homography = np.linalg.inv(unit) @ np.append(solved, 1).reshape(3, 3) @ unit
            distance = np.linalg.norm(project(homography, source) - target, axis=1)
            weight = np.clip(1 - (distance / threshold) ** 2, 0, None) ** 2
            if np.count_nonzero(weight) < _LEAST_INLIERS:
                break
        return homography, distance

    def _is_plausible(self, homography: np.ndarray) -> bool:
        """Tell whether a camera could have seen the plate so: upright, whole, and at least half in the picture."""
        width, height = self._size
        if not np.isfinite(homography).all():
            return False
        corners = corners_of(height, width)
        depth = np.c_[corners, np.ones(4)] @ homography[2]
        if depth.min() <= 0.5 * depth.max():
            return False
        quad = project(homography, corners).astype(np.float32)
        sides = np.roll(quad, -1, axis=0) - quad
        turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
        area = cv2.contourArea(quad) / (width * height)
        if (turns <= 0).any() or not 0.25 < area < 4:
            return False
        shift = np.abs(quad.mean(axis=0) - corners.mean(axis=0))
        upright = sides[0, 0] > abs(sides[0, 1])
        return bool((shift < np.array([width, height]) / 2).all() and upright)
