"""Alignment: where the camera of each frame saw the plate, so that a hand-held clip can be matted.

Corners of the plate are followed into each frame, at reduced size; the subject hides some of them, and a robust fit of
a homography leaves those out. Frames are compared with the plate, never with each other, so that no drift adds up.

**Convention**: a homography is ``(3, 3)``, float64, with 1 in its last place, and maps column vectors ``(x, y, 1)`` of
plate pixels to frame pixels at full resolution; x points right, y down, and the first pixel's centre is ``(0, 0)``.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import torch
from kornia.geometry.transform import warp_perspective

from bgmv2.config import AlignMode
from bgmv2.plate import photometric
from bgmv2.plate.photometric import SAME_LIGHT, Exposure
from bgmv2.types import Plate

Status = Literal["fixed", "found", "kept", "held"]

# Pictures are reduced to these long sides: for geometry, and for light, where averaging is welcome.
_LONG_SIDE, _LIGHT_SIDE = 640, 80
# Below this side there is nothing to find.
_SMALLEST = 32
_CORNERS, _FEATURES = 320, 1500
# When to stop moving a corner, by the number of steps or by their length in reduced pixels.
_PRECISE_ENOUGH = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 12, 0.02)
# Fewer matches than this, or in fewer cells of a 4 x 4 grid, can agree by chance or leave the far corner unknown.
_LEAST_INLIERS, _LEAST_CELLS = 16, 4
_LEAST_SHARE = 0.1
# A camera held by hand turns by a few degrees; what perspective and shear that brings, in units of half the long side.
_PERSPECTIVE_SPREAD = 0.02
# A camera that moved by less stood on a tripod; and it left the tripod only if it moved by more. In pixels, with the
# reduced picture's beside them, as nothing finer than a part of those can be measured.
_TRIPOD, _TRIPOD_LEFT = (0.5, 0.15), (0.75, 0.22)
# Between two frames no hand moves the picture by more than this share of its diagonal; if it seems so, more frames are
# asked to confirm it.
_JUMP, _CONFIRMATIONS = 0.03, 3
# The light of a clip drifts; single frames err. Small differences are followed slowly, large ones at once unless the
# plate was not found.
_LIGHT_SLOW, _LIGHT_FAST = 0.15, 0.08
# What the report's medians look back on, in frames: memory does not grow with the clip.
_REMEMBERED = 1000


@dataclass(frozen=True, eq=False)
class Alignment:
    """How to bring the plate to a frame: warp it by the homography, then `gain * plate + bias`.

    **Convention**: the homography maps plate pixels to frame pixels, see the module; gain and bias are per channel RGB,
    for pictures in 0..1.

    Args:
        homography: ``(3, 3)`` float64; exactly the identity if the camera did not move.
        gain: ``(3,)`` float64, 0.5..2.
        bias: ``(3,)`` float64.
        status: `fixed`: the plate stays where it is; `found`: measured in this frame; `kept`: measured in an earlier
            one, as was asked for; `held`: could not be measured here, so the last good one is used, or the identity.
        matches: corners of the plate that were sought in the frame.
        inliers: how many of them agree on the homography.
        residual: median distance of those from where it puts them, in pixels of the frame.
    """

    homography: np.ndarray
    gain: np.ndarray
    bias: np.ndarray
    status: Status
    matches: int = 0
    inliers: int = 0
    residual: float = 0.0


@dataclass(frozen=True)
class AlignReport:
    """What became of the frames so far.

    Args:
        fixed: frames for which the plate stayed where it is.
        found: frames in which the plate was found elsewhere.
        kept: frames that use the alignment of the first, as was asked for.
        held: frames in which it could not be found, so that the last good alignment was used.
        inliers: median number of agreeing corners where the plate was found, lately.
        residual: median of their distances in pixels, lately.
    """

    fixed: int = 0
    found: int = 0
    kept: int = 0
    held: int = 0
    inliers: float = 0.0
    residual: float = 0.0

    def __str__(self) -> str:
        """Say it in one line."""
        total = self.fixed + self.found + self.kept + self.held
        parts = [
            (self.found, "followed the camera"),
            (self.fixed, "stood still"),
            (self.kept, "kept the first alignment"),
            (self.held, "could not be matched and used the last good one"),
        ]
        said = ", ".join(f"{count} {what}" for count, what in parts if count) or "none yet"
        detail = f" (median of {self.inliers:.0f} matches, {self.residual:.2f} px off)" if self.inliers else ""
        return f"plate in {total} frames: {said}{detail}"


class _Fit(NamedTuple):
    homography: np.ndarray  # at the reduced size
    matches: int
    inliers: int
    residual: float  # in reduced pixels


class Aligner:
    """Finds the plate in the frames of one clip, in their order.

    Args:
        plate: the clean plate, sized like the clip, or its pixels ``(H, W, 3)`` RGB as uint8 or uint16.
        mode: `off` leaves the plate as it is; `first` aligns it once, to the first frame that tells how; `every`
            follows a camera that moves, and light that drifts.

    Raises:
        ValueError: the plate has another shape or type, or there is no such mode.

    Example::

        aligner = Aligner(plate, mode="every")
        for frame in source:
            alignment = aligner.align(frame.pixels)
            warped, covered = warp_plate(plate.bgr[None], torch.from_numpy(alignment.homography)[None])
    """

    def __init__(self, plate: Plate | np.ndarray, *, mode: AlignMode = "every"):
        if mode not in AlignMode.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"there are the modes off, first and every, got {mode = }")
        self._mode = mode
        self.plate = as_plate(plate)
        self._height, self._width = self.plate.bgr.shape[1:]
        small = reduced(as_pixels(self.plate), _LONG_SIDE)
        self._light = reduced(small, _LIGHT_SIDE)
        self._to_small = scaling((self._height, self._width), small.shape[:2])
        self._finder = _Finder(small) if mode != "off" and min(small.shape[:2]) >= _SMALLEST else None
        self._last = Alignment(np.eye(3), SAME_LIGHT.gain, SAME_LIGHT.bias, "fixed")
        self._is_known = mode == "off"
        self._is_lit = False
        self._rumour: np.ndarray | None = None
        self._confirmations = 0
        self._statuses: Counter[str] = Counter()
        self._evidence: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    @property
    def report(self) -> AlignReport:
        """What became of the frames so far."""
        inliers, residuals = zip(*self._evidence, strict=True) if self._evidence else ((0,), (0.0,))
        return AlignReport(**self._statuses, inliers=median(inliers), residual=median(residuals))

    @property
    def last(self) -> Alignment:
        """What was said of the latest frame."""
        return self._last

    def state(self) -> dict[str, Any]:
        """Return what the aligner remembers of the frames so far, all of which goes through JSON unchanged."""
        last = {name: x.tolist() if isinstance(x, np.ndarray) else x for name, x in vars(self._last).items()}
        return {
            "last": last,
            "known": self._is_known,
            "lit": self._is_lit,
            "rumour": None if self._rumour is None else self._rumour.tolist(),
            "confirmations": self._confirmations,
            "statuses": dict(self._statuses),
            "evidence": list(self._evidence),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another aligner of the same plate and mode did when it returned `state`."""
        arrays = {name: np.array(state["last"][name]) for name in ("homography", "gain", "bias")}
        self._last = Alignment(**{**state["last"], **arrays})
        self._is_known, self._is_lit = state["known"], state["lit"]
        self._rumour = None if state["rumour"] is None else np.array(state["rumour"])
        self._confirmations = state["confirmations"]
        self._statuses = Counter(state["statuses"])
        self._evidence = deque(map(tuple, state["evidence"]), maxlen=_REMEMBERED)

    def align(self, pixels: np.ndarray) -> Alignment:
        """Find the plate in the next frame. No picture makes this fail: what cannot be measured is held.

        Args:
            pixels: ``(H, W, 3)`` RGB, uint8 or uint16, sized like the plate.

        Returns:
            Where the plate is, and in which light.

        Raises:
            ValueError: the frame has another shape or type.
        """
        _check_pixels(pixels)
        if pixels.shape[:2] != (self._height, self._width):
            raise ValueError(
                f"frame and plate are alike in size, got {pixels.shape = } for {self._width} x {self._height}"
            )
        if self._mode == "off" or (self._mode == "first" and self._is_known):
            self._last = replace(self._last, status="fixed" if _is_identity(self._last.homography) else "kept")
        else:
            self._last = self._follow(pixels)
        self._statuses[self._last.status] += 1
        return self._last

    def _follow(self, pixels: np.ndarray) -> Alignment:
        last, was_known = self._last, self._is_known
        small = reduced(pixels, _LONG_SIDE)
        fit = self._locate(small)
        if fit is None:
            light = self._light_of(small, last.homography, doubtful=True)
            return replace(last, gain=light.gain, bias=light.bias, status="held", matches=0, inliers=0, residual=0.0)
        homography = _normalised(np.linalg.inv(self._to_small) @ fit.homography @ self._to_small)
        limit, reduced_limit = _TRIPOD_LEFT if was_known and _is_identity(last.homography) else _TRIPOD
        moved = movement(homography, np.eye(3), (self._height, self._width))
        if moved < max(limit, reduced_limit / self._to_small[0, 0]):
            homography = np.eye(3)
        residual = fit.residual / self._to_small[0, 0]
        self._is_known = True
        self._evidence.append((fit.inliers, residual))
        light = self._light_of(small, homography, doubtful=False)
        status: Status = "fixed" if _is_identity(homography) else "found"
        return Alignment(homography, light.gain, light.bias, status, fit.matches, fit.inliers, residual)

    def _locate(self, frame: np.ndarray) -> _Fit | None:
        """Find the plate near where it was, else anywhere; None if it is not there, or a jump is not confirmed yet."""
        if self._finder is None:
            return None
        view = _detail(frame)
        near = self._last.homography if self._rumour is None else self._rumour
        guess = self._to_small @ near @ np.linalg.inv(self._to_small)
        fit = self._finder.track(view, guess) if self._is_known else None
        if fit is None:
            fit = self._finder.search(view)
        if fit is None:
            return None
        if not self._is_known:
            return fit
        homography = np.linalg.inv(self._to_small) @ fit.homography @ self._to_small
        size = self._height, self._width
        jump = _JUMP * float(np.hypot(*size))
        if movement(homography, self._last.homography, size) > jump:
            again = self._rumour is not None and movement(homography, self._rumour, size) <= jump
            self._confirmations = self._confirmations + 1 if again else 1
            self._rumour = homography
            if self._confirmations < _CONFIRMATIONS:
                return None
        self._rumour, self._confirmations = None, 0
        return fit

    def _light_of(self, frame: np.ndarray, homography: np.ndarray, *, doubtful: bool) -> Exposure:
        size = self._light.shape[1::-1]
        to_light = scaling((self._height, self._width), self._light.shape[:2])
        small = to_light @ homography @ np.linalg.inv(to_light)
        plate = cv2.warpPerspective(self._light, small, size, borderMode=cv2.BORDER_REPLICATE)
        covered = cv2.warpPerspective(np.ones(size[::-1], np.uint8), small, size) > 0
        last = Exposure(self._last.gain, self._last.bias)
        light = photometric.estimate(plate, reduced(frame, _LIGHT_SIDE), covered, near=last)
        if light is None:
            return last
        if not self._is_lit:
            self._is_lit = True
            return light
        difference = float(np.abs(light.gain + light.bias - last.gain - last.bias).max())
        return last.towards(light, _LIGHT_SLOW if doubtful else min(1.0, _LIGHT_SLOW + difference / _LIGHT_FAST))


class _Finder:
    """The plate's corners and features at reduced size, and how to find them in a frame of that size."""

    def __init__(self, plate: np.ndarray):
        self._view = _detail(plate)
        self._size = self._view.shape[1::-1]
        corners = cv2.goodFeaturesToTrack(self._view, _CORNERS, 0.005, 8)
        self._corners = np.empty((0, 2), np.float32) if corners is None else corners.reshape(-1, 2)
        self._detector = cv2.ORB.create(_FEATURES, fastThreshold=10)
        self._keypoints, self._descriptors = self._detector.detectAndCompute(self._view, None)

    def track(self, view: np.ndarray, guess: np.ndarray) -> _Fit | None:
        """Follow the plate's corners from where a guess puts them; good to a tenth of a pixel and better."""
        width, height = self._size
        expected = _project(guess, self._corners)
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

    def search(self, view: np.ndarray) -> _Fit | None:
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

    def _fit(self, source: np.ndarray, target: np.ndarray, *, threshold: float) -> _Fit | None:
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
        return _Fit(homography, len(source), int(np.count_nonzero(chosen)), float(np.median(distance[chosen])))

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
        (x, y), (u, v) = _project(unit, source).T, _project(unit, target).T
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
            distance = np.linalg.norm(_project(homography, source) - target, axis=1)
            weight = np.clip(1 - (distance / threshold) ** 2, 0, None) ** 2
            if np.count_nonzero(weight) < _LEAST_INLIERS:
                break
        return homography, distance

    def _is_plausible(self, homography: np.ndarray) -> bool:
        """Tell whether a camera could have seen the plate so: upright, whole, and at least half in the picture."""
        width, height = self._size
        if not np.isfinite(homography).all():
            return False
        corners = _corners(height, width)
        depth = np.c_[corners, np.ones(4)] @ homography[2]
        if depth.min() <= 0.5 * depth.max():
            return False
        quad = _project(homography, corners).astype(np.float32)
        sides = np.roll(quad, -1, axis=0) - quad
        turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
        area = cv2.contourArea(quad) / (width * height)
        if (turns <= 0).any() or not 0.25 < area < 4:
            return False
        shift = np.abs(quad.mean(axis=0) - corners.mean(axis=0))
        upright = sides[0, 0] > abs(sides[0, 1])
        return bool((shift < np.array([width, height]) / 2).all() and upright)


def warp_plate(bgr: torch.Tensor, homography: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move plates to where the frames show them.

    What a frame shows beyond the plate's edges is filled with the edge's colours, never with the frame's own: a subject
    that stands there would read as background.

    **Convention**: `homography` maps plate pixels to frame pixels, see the module.

    Args:
        bgr: ``(B, 3, H, W)``.
        homography: ``(B, 3, 3)``; may stay on the CPU, which spares a wait for the device.

    Returns:
        ``(B, 3, H, W)`` of the kind of `bgr`, which is `bgr` itself if no plate moves; and ``(B, 1, H, W)``, 1 where
        the plate has pixels and 0 where its edge was extended.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if bgr.ndim != 4 or bgr.shape[1] != 3 or homography.shape != (len(bgr), 3, 3):
        raise ValueError(f"plates are (B, 3, H, W), homographies (B, 3, 3), got {bgr.shape = }, {homography.shape = }")
    covered = bgr.new_ones(len(bgr), 1, *bgr.shape[2:])
    moves = (homography.cpu() != torch.eye(3, dtype=homography.dtype)).any(dim=2).any(dim=1)
    if not moves.any() or min(bgr.shape[2:]) < 2:
        return bgr, covered
    which = moves.nonzero().flatten().to(bgr.device)
    matrix = homography.float().to(bgr.device)[which]  # not at once: MPS has no float64
    size = (bgr.shape[2], bgr.shape[3])
    # Half precision cannot tell neighbouring pixels apart in coordinates that run to thousands.
    moved = warp_perspective(bgr[which].float(), matrix, size, padding_mode="border", align_corners=True)
    seen = warp_perspective(covered[which].float(), matrix, size, mode="nearest", align_corners=True)
    return bgr.index_copy(0, which, moved.to(bgr.dtype)), covered.index_copy(0, which, seen.to(bgr.dtype))


def place_plate(bgr: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Bring a plate to where, and in which light, a frame shows it.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1.
        alignment: what `Aligner.align` said of the frame.

    Returns:
        ``(1, 3, H, W)``, 0..1, of the kind of `bgr`.
    """
    return place_plate_and_cover(bgr, alignment)[0]


def place_plate_and_cover(bgr: torch.Tensor, alignment: Alignment) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `place_plate` does, and tell as `warp_plate` does where the plate has pixels, ``(1, 1, H, W)``."""
    warped, covered = warp_plate(bgr, torch.from_numpy(alignment.homography)[None])
    gain, bias = (torch.from_numpy(x).float().to(bgr).view(3, 1, 1) for x in (alignment.gain, alignment.bias))
    return (warped * gain + bias).clamp(0, 1), covered


def as_plate(plate: Plate | np.ndarray) -> Plate:
    """Take a plate as it is, or make one of ``(H, W, 3)`` RGB, uint8 or uint16.

    Raises:
        ValueError: the array has another shape or type.
    """
    if isinstance(plate, Plate):
        return plate
    _check_pixels(plate)
    picture = np.multiply(plate, 1 / np.iinfo(plate.dtype).max, dtype=np.float32)
    return Plate(torch.from_numpy(picture).permute(2, 0, 1))


def as_pixels(plate: Plate) -> np.ndarray:
    """Return a plate as ``(H, W, 3)`` float32 in 0..1."""
    return plate.bgr.permute(1, 2, 0).float().cpu().numpy()


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16) or not pixels.size:
        raise ValueError(f"pictures are (H, W, 3), uint8 or uint16, got {pixels.shape = }, {pixels.dtype = }")


def reduced(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """Shrink a picture to a long side at most; ``(h, w, 3)`` float32 in 0..1."""
    height, width = pixels.shape[:2]
    scale = min(1.0, long_side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA)
    top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
    return np.multiply(small, 1 / top, dtype=np.float32)


def _detail(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture in 0..1 to its local structure, 8 bit: no exposure, white balance or vignette remains."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    local = grey - cv2.blur(grey, (31, 31))
    contrast = np.sqrt(np.maximum(cv2.blur(local * local, (31, 31)), 0)) + 0.02
    return np.clip(128 + 50 * local / contrast, 0, 255).astype(np.uint8)


def scaling(full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
    """Return the matrix that maps pixels of a picture to those of its reduced copy; pixel edges map to pixel edges."""
    x, y = small[1] / full[1], small[0] / full[0]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def movement(a: np.ndarray, b: np.ndarray, size: tuple[int, ...]) -> float:
    """Return how far apart two homographies put the corners of a picture of a size ``(H, W)``, at most, in pixels."""
    corners = _corners(*size)
    return float(np.linalg.norm(_project(a, corners) - _project(b, corners), axis=1).max())


def _corners(height: int, width: int) -> np.ndarray:
    return np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float64)


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points ``(N, 2)``."""
    x, y, w = homography @ np.c_[points, np.ones(len(points))].T
    return np.stack([x / w, y / w], axis=1)


def _normalised(homography: np.ndarray) -> np.ndarray:
    return homography / homography[2, 2]


def _is_identity(homography: np.ndarray) -> bool:
    return bool(np.array_equal(homography, np.eye(3)))
