"""Alignment: where the camera of each frame saw the plate, so that a hand-held clip can be matted.

Corners of the plate are followed into each frame, at reduced size; the subject hides some of them, and a robust fit of
a homography leaves those out. All pixels that have structure refine it. Frames are compared with the plate, never with
each other, so that no drift adds up; from frame to frame only a guess is handed on, and where the subject was.

**Convention**: a homography maps plate pixels to frame pixels at full resolution, see `bgmv2.plate.geometry`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import cv2
import numpy as np

from bgmv2.config import AlignMode
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.finder import Finder, Fit
from bgmv2.plate.geometry import is_identity, movement, normalised, scaling, shift
from bgmv2.plate.hidden import hidden_of
from bgmv2.plate.light import LightMeter
from bgmv2.plate.views import as_pixels, as_plate, check_pixels, detail, reduced, reduced_size
from bgmv2.types import Plate

Status = Literal["fixed", "found", "kept", "held"]

# Pictures are reduced to this long side.
_LONG_SIDE = 640
# Below this side there is nothing to find.
_SMALLEST = 32
# A camera that moved by less stood on a tripod; and it left the tripod only if it moved by more. In pixels, with the
# reduced picture's beside them, as nothing finer than a part of those can be measured.
_TRIPOD, _TRIPOD_LEFT = (0.5, 0.15), (0.75, 0.22)
# Where half of the plate's structure is seen again to within so many code values, that is the place: where it is, it is
# two to four, elsewhere some thirty.
_SURE = 10.0
# Otherwise, between two frames no hand moves the picture by more than this share of its diagonal, and no pan over a
# mosaic by more than the second; if it seems so, more frames are asked to confirm it.
_JUMP, _MOSAIC_JUMP, _CONFIRMATIONS = 0.03, 0.15, 3
# What the report's medians look back on, in frames: memory does not grow with the clip.
_REMEMBERED = 1000


@dataclass(frozen=True, eq=False)
class Alignment:
    """How to bring the plate to a frame: warp it by homography and mesh, then give it the frame's light.

    **Convention**: the homography maps plate pixels to frame pixels, see `bgmv2.plate.geometry`; the mesh, if there is
    one, then moves them on, see `bgmv2.plate.mesh`.

    Args:
        homography: ``(3, 3)`` float64; exactly the identity if the camera did not move.
        light: of the frame against the plate's.
        status: `fixed`: the plate stays where it is; `found`: measured in this frame; `kept`: measured in an earlier
            one, as was asked for; `held`: could not be measured here, so the last good one is used; before there is
            any, the identity, or the middle of a mosaic.
        matches: corners of the plate that were sought in the frame.
        inliers: how many of them agree.
        residual: median distance of those from where it puts them, in pixels of the frame.
        mesh: ``(rows, columns, 2)`` float32, what the homography leaves: by so many pixels x and y of the frame the
            plate is to be moved there; None if it leaves nothing that is worth it.
        reason: why the frame was held, or what could not be done; empty if all is well.
    """

    homography: np.ndarray
    light: Exposure
    status: Status
    matches: int = 0
    inliers: int = 0
    residual: float = 0.0
    mesh: np.ndarray | None = None
    reason: str = ""

    @property
    def moves(self) -> bool:
        """Whether the plate is brought anywhere at all."""
        return self.mesh is not None or not is_identity(self.homography)

    @property
    def bend(self) -> float:
        """How far the mesh moves anything at most, in pixels of the frame."""
        return 0.0 if self.mesh is None else float(np.linalg.norm(self.mesh, axis=2).max())


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
        plate: the clean plate, or its pixels ``(H, W, 3)`` RGB as uint8 or uint16.
        mode: `off` leaves the plate as it is; `first` aligns it once, to the first frame that tells how; `every`
            follows a camera that moves, and light that drifts.
        size: ``(H, W)`` of the frames; None if they are sized like the plate. Of a plate of another size, a mosaic,
            every frame is thought to show a part; what cannot be found is placed where the last one was, at first in
            the middle.

    Raises:
        ValueError: the plate has another shape or type, or there is no such mode or size.

    Example::

        aligner = Aligner(plate, mode="every")
        for frame in source:
            alignment = aligner.align(frame.pixels)
            placed, covered = place_plate_and_cover(plate.bgr[None], alignment)
    """

    def __init__(self, plate: Plate | np.ndarray, *, mode: AlignMode = "every", size: tuple[int, int] | None = None):
        if mode not in AlignMode.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"there are the modes off, first and every, got {mode = }")
        self._mode = mode
        self.plate = as_plate(plate)
        whole = self.plate.bgr.shape[1], self.plate.bgr.shape[2]
        self._size = whole if size is None else size
        if min(self._size) < 1:
            raise ValueError(f"frames have pixels, got {size = }")
        self._is_mosaic = self._size != whole
        small = reduced(as_pixels(self.plate), round(min(1.0, _LONG_SIDE / max(self._size)) * max(whole)))
        self._small = reduced_size(self._size, _LONG_SIDE)
        self._plate_to_small = scaling(whole, small.shape[:2])
        self._to_small = scaling(self._size, self._small)
        seen = None if self.plate.seen is None else _shrunk(self.plate.seen[0].cpu().numpy(), small.shape[:2])
        self._meter = LightMeter(small, seen)
        is_sought = mode != "off" and min(self._small) >= _SMALLEST
        self._finder = Finder(small, self._small, seen) if is_sought else None
        middle = shift((np.array(self._size[::-1]) - np.array(whole[::-1])) / 2)
        self._last = Alignment(middle, SAME_LIGHT, "fixed")
        self._before: np.ndarray | None = None
        self._hidden: np.ndarray | None = None
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
        last = {**vars(self._last), "homography": self._last.homography.tolist(), "mesh": _told(self._last.mesh)}
        del last["light"]  # which is the meter's
        return {
            "last": last,
            "light": self._meter.state(),
            "known": self._is_known,
            "before": _told(self._before),
            "hidden": None if self._hidden is None else self._hidden.astype(int).tolist(),
            "rumour": _told(self._rumour),
            "confirmations": self._confirmations,
            "statuses": dict(self._statuses),
            "evidence": list(self._evidence),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another aligner of the same plate and mode did when it returned `state`."""
        self._meter.restore(state["light"])
        told = state["last"]
        arrays = {"homography": _heard(told["homography"]), "mesh": _heard(told["mesh"], np.float32)}
        self._last = Alignment(**{**told, **arrays}, light=self._meter.last)
        self._is_known = state["known"]
        self._before, self._rumour = _heard(state["before"]), _heard(state["rumour"])
        self._hidden = _heard(state["hidden"], bool)
        self._confirmations = state["confirmations"]
        self._statuses = Counter(state["statuses"])
        self._evidence = deque(map(tuple, state["evidence"]), maxlen=_REMEMBERED)

    def align(self, pixels: np.ndarray) -> Alignment:
        """Find the plate in the next frame. No picture makes this fail: what cannot be measured is held.

        Args:
            pixels: ``(H, W, 3)`` RGB, uint8 or uint16, of the size that was given at first.

        Returns:
            Where the plate is, and in which light.

        Raises:
            ValueError: the frame has another shape or type.
        """
        check_pixels(pixels)
        if pixels.shape[:2] != self._size:
            height, width = self._size
            raise ValueError(f"frame and plate are alike in size, got {pixels.shape = } for {width} x {height}")
        if self._mode == "off" or (self._mode == "first" and self._is_known):
            is_fixed = self._mode == "off" or is_identity(self._last.homography)
            self._last = replace(self._last, status="fixed" if is_fixed else "kept")
        else:
            self._last = self._follow(pixels)
        self._statuses[self._last.status] += 1
        return self._last

    def _follow(self, pixels: np.ndarray) -> Alignment:
        last, was_known = self._last, self._is_known
        small = reduced(pixels, _LONG_SIDE)
        view = detail(small)
        fit, reason = self._locate(view)
        if fit is None:
            light = self._meter.measure(small, self._reduce(last.homography), doubtful=True)
            self._before = self._hidden = None
            return replace(last, light=light, status="held", matches=0, inliers=0, residual=0.0, reason=reason)
        homography = normalised(self._enlarge(fit.homography))
        mesh = self._bent(view, fit)
        if mesh is None and not self._is_mosaic and self._stands_still(homography, was_known=was_known):
            homography = np.eye(3)
        residual = fit.residual / self._to_small[0, 0]
        # A guess is made of two measurements in a row.
        self._before = last.homography if was_known and last.status != "held" else None
        self._is_known = True
        self._evidence.append((fit.inliers, residual))
        light = self._meter.measure(small, self._reduce(homography), doubtful=False)
        status: Status = "fixed" if is_identity(homography) else "found"
        return Alignment(homography, light, status, fit.matches, fit.inliers, residual, mesh, reason)

    def _bent(self, view: np.ndarray, fit: Fit) -> np.ndarray | None:
        """What the homography leaves, in pixels of the frame; and remember where the subject is."""
        assert self._finder is not None
        scale = np.diag(self._to_small)[:2].astype(np.float32)
        start = None if self._last.mesh is None or self._last.status == "held" else self._last.mesh * scale
        mesh, left = self._finder.bend(view, fit, start=start, hidden=self._hidden)
        self._hidden = None if left is None else hidden_of(left, self._small)
        return None if mesh is None else mesh / scale

    def _stands_still(self, homography: np.ndarray, *, was_known: bool) -> bool:
        """Tell whether the camera is on its tripod."""
        limit, reduced_limit = _TRIPOD_LEFT if was_known and is_identity(self._last.homography) else _TRIPOD
        return movement(homography, np.eye(3), self._size) < max(limit, reduced_limit / self._to_small[0, 0])

    def _locate(self, view: np.ndarray) -> tuple[Fit | None, str]:
        """Find the plate near where it was, else anywhere.

        Returns:
            None if it is not there, or a jump is not confirmed yet; and why, or what is wrong with it.
        """
        if self._finder is None:
            return None, "too small a picture"
        fit = self._track(self._finder, view) or self._finder.search(view)
        if fit is None:
            return None, "no part of the plate was recognised"
        reason = "" if fit.refined is not None else "corners only"
        if self._is_known and not _is_sure(fit) and self._jumps(self._enlarge(fit.homography)):
            return None, "a jump that is not confirmed yet"
        self._rumour, self._confirmations = None, 0
        return fit, reason

    def _track(self, finder: Finder, view: np.ndarray) -> Fit | None:
        """Look where the plate should be if the camera goes on as it did, then where it was."""
        if not self._is_known:
            return None
        if self._rumour is not None:
            return finder.track(view, self._reduce(self._rumour))
        onward = self._onward()
        fit = None if onward is None else finder.track(view, self._reduce(onward), self._hidden)
        return fit or finder.track(view, self._reduce(self._last.homography))

    def _onward(self) -> np.ndarray | None:
        """Where the plate is if the camera goes on as it did between the last two frames that were measured."""
        last = self._last.homography
        return None if self._before is None else normalised(last @ np.linalg.inv(self._before) @ last)

    def _jumps(self, homography: np.ndarray) -> bool:
        """Tell whether the plate is where no hand can have moved it, unless several frames say so."""
        jump = (_MOSAIC_JUMP if self._is_mosaic else _JUMP) * float(np.hypot(*self._size))
        near = (self._last.homography, self._onward())
        if any(movement(homography, one, self._size) <= jump for one in near if one is not None):
            return False
        again = self._rumour is not None and movement(homography, self._rumour, self._size) <= jump
        self._confirmations = self._confirmations + 1 if again else 1
        self._rumour = homography
        return self._confirmations < _CONFIRMATIONS

    def _reduce(self, homography: np.ndarray) -> np.ndarray:
        """Bring a homography of full pictures to the reduced size."""
        return self._to_small @ homography @ np.linalg.inv(self._plate_to_small)

    def _enlarge(self, homography: np.ndarray) -> np.ndarray:
        """Undo `_reduce`."""
        return np.linalg.inv(self._to_small) @ homography @ self._plate_to_small


def _is_sure(fit: Fit) -> bool:
    """Tell whether a plate is surely where it was found, however far that is from where it was."""
    return fit.refined is not None and float(np.median(np.abs(fit.refined.misses))) < _SURE


def _shrunk(seen: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Reduce ``(H, W)`` bool; a pixel was seen if all of it was."""
    return cv2.resize(seen.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0.999


def _told(array: np.ndarray | None) -> list | None:
    """Bring an array into JSON's form."""
    return None if array is None else array.tolist()


def _heard(told: list | None, kind: type = np.float64) -> np.ndarray | None:
    """Undo `_told`."""
    return None if told is None else np.array(told, kind)
