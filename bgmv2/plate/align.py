"""Alignment: where the camera of each frame saw the plate, so that a hand-held clip can be matted.

Corners of the plate are followed into each frame, at reduced size; the subject hides some of them, and a robust fit of
a homography leaves those out. Frames are compared with the plate, never with each other, so that no drift adds up.

**Convention**: a homography maps plate pixels to frame pixels at full resolution, see `bgmv2.plate.geometry`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np

from bgmv2.config import AlignMode
from bgmv2.plate.finder import Finder, Fit
from bgmv2.plate.geometry import is_identity, movement, normalised, scaling
from bgmv2.plate.light import LightMeter
from bgmv2.plate.photometric import SAME_LIGHT, Exposure
from bgmv2.plate.views import as_pixels, as_plate, check_pixels, detail, reduced
from bgmv2.types import Plate

Status = Literal["fixed", "found", "kept", "held"]

# Pictures are reduced to this long side.
_LONG_SIDE = 640
# Below this side there is nothing to find.
_SMALLEST = 32
# A camera that moved by less stood on a tripod; and it left the tripod only if it moved by more. In pixels, with the
# reduced picture's beside them, as nothing finer than a part of those can be measured.
_TRIPOD, _TRIPOD_LEFT = (0.5, 0.15), (0.75, 0.22)
# Between two frames no hand moves the picture by more than this share of its diagonal; if it seems so, more frames are
# asked to confirm it.
_JUMP, _CONFIRMATIONS = 0.03, 3
# What the report's medians look back on, in frames: memory does not grow with the clip.
_REMEMBERED = 1000


@dataclass(frozen=True, eq=False)
class Alignment:
    """How to bring the plate to a frame: warp it by the homography, then give it the frame's light.

    **Convention**: the homography maps plate pixels to frame pixels, see `bgmv2.plate.geometry`.

    Args:
        homography: ``(3, 3)`` float64; exactly the identity if the camera did not move.
        light: of the frame against the plate's.
        status: `fixed`: the plate stays where it is; `found`: measured in this frame; `kept`: measured in an earlier
            one, as was asked for; `held`: could not be measured here, so the last good one is used, or the identity.
        matches: corners of the plate that were sought in the frame.
        inliers: how many of them agree on the homography.
        residual: median distance of those from where it puts them, in pixels of the frame.
    """

    homography: np.ndarray
    light: Exposure
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
        self._meter = LightMeter(small)
        self._to_small = scaling((self._height, self._width), small.shape[:2])
        self._finder = Finder(small) if mode != "off" and min(small.shape[:2]) >= _SMALLEST else None
        self._last = Alignment(np.eye(3), SAME_LIGHT, "fixed")
        self._is_known = mode == "off"
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
        last = {**vars(self._last), "homography": self._last.homography.tolist()}
        del last["light"]  # which is the meter's
        return {
            "last": last,
            "light": self._meter.state(),
            "known": self._is_known,
            "rumour": None if self._rumour is None else self._rumour.tolist(),
            "confirmations": self._confirmations,
            "statuses": dict(self._statuses),
            "evidence": list(self._evidence),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another aligner of the same plate and mode did when it returned `state`."""
        self._meter.restore(state["light"])
        told = {**state["last"], "homography": np.array(state["last"]["homography"])}
        self._last = Alignment(**told, light=self._meter.last)
        self._is_known = state["known"]
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
        check_pixels(pixels)
        if pixels.shape[:2] != (self._height, self._width):
            raise ValueError(
                f"frame and plate are alike in size, got {pixels.shape = } for {self._width} x {self._height}"
            )
        if self._mode == "off" or (self._mode == "first" and self._is_known):
            self._last = replace(self._last, status="fixed" if is_identity(self._last.homography) else "kept")
        else:
            self._last = self._follow(pixels)
        self._statuses[self._last.status] += 1
        return self._last

    def _follow(self, pixels: np.ndarray) -> Alignment:
        last, was_known = self._last, self._is_known
        small = reduced(pixels, _LONG_SIDE)
        fit = self._locate(small)
        if fit is None:
            light = self._meter.measure(small, self._reduce(last.homography), doubtful=True)
            return replace(last, light=light, status="held", matches=0, inliers=0, residual=0.0)
        homography = normalised(self._enlarge(fit.homography))
        limit, reduced_limit = _TRIPOD_LEFT if was_known and is_identity(last.homography) else _TRIPOD
        moved = movement(homography, np.eye(3), (self._height, self._width))
        if moved < max(limit, reduced_limit / self._to_small[0, 0]):
            homography = np.eye(3)
        residual = fit.residual / self._to_small[0, 0]
        self._is_known = True
        self._evidence.append((fit.inliers, residual))
        light = self._meter.measure(small, self._reduce(homography), doubtful=False)
        status: Status = "fixed" if is_identity(homography) else "found"
        return Alignment(homography, light, status, fit.matches, fit.inliers, residual)

    def _locate(self, frame: np.ndarray) -> Fit | None:
        """Find the plate near where it was, else anywhere; None if it is not there, or a jump is not confirmed yet."""
        if self._finder is None:
            return None
        view = detail(frame)
        near = self._last.homography if self._rumour is None else self._rumour
        guess = self._reduce(near)
        fit = self._finder.track(view, guess) if self._is_known else None
        if fit is None:
            fit = self._finder.search(view)
        if fit is None:
            return None
        if not self._is_known:
            return fit
        homography = self._enlarge(fit.homography)
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

    def _reduce(self, homography: np.ndarray) -> np.ndarray:
        """Bring a homography of full pictures to the reduced size."""
        return self._to_small @ homography @ np.linalg.inv(self._to_small)

    def _enlarge(self, homography: np.ndarray) -> np.ndarray:
        """Undo `_reduce`."""
        return np.linalg.inv(self._to_small) @ homography @ self._to_small
