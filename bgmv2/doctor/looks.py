"""Looks: one frame laid on the plate, in its light, and how they differ.

**Convention**: all pictures of a look lie in the plate's own view, reduced, so that what stands in one place of the
scene stands in one place of all looks, wherever the camera went.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch

from bgmv2.doctor.sharpness import TILE, Detail, measure_detail
from bgmv2.matter import Matter
from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.check import agreement, belongs, is_blank, shows_scene
from bgmv2.plate.geometry import is_identity, movement, project, scaling
from bgmv2.plate.place import place_plate_and_cover
from bgmv2.plate.unseen import continue_subject
from bgmv2.plate.views import as_pixels, reduced
from bgmv2.types import Frame, Plate

# Long side of the pictures in which regions are sought, in pixels.
SIDE = 320
# Colours in 0..1 that differ by less are noise, compression or a soft shadow. Where the picture has edges, a part of
# their height comes on top, as alignment leaves something over.
_TOLERANCE, _EDGE = 0.06, 0.5
# Side of the squares whose shift is measured, in pixels of the frame; and how far they may seem to go.
_SQUARE, _FARTHEST = 64, 8.0
# Contrast from which on a place tells of focus and shift, as a standard deviation for pictures in 0..1.
_TEXTURE = 0.02
_LEAST_TILES = 6
# Fine detail, against coarse, that compression and resampling make or take as they like.
_LITTLE = 3e-4


@dataclass(frozen=True, eq=False)
class Look:
    """One frame laid on the plate.

    Args:
        seconds: when the frame is shown, from the clip's beginning.
        alignment: of the plate to the frame.
        moved: how far a corner of the plate is from where it stood, in pixels of the frame.
        frame: ``(h, w, 3)`` float32, 0..1; black where it does not show the plate.
        plate: ``(h, w, 3)`` float32, 0..1, in the frame's light.
        inside: ``(h, w)`` bool, where the frame shows the plate.
        differs: ``(h, w)`` bool, where they disagree.
        tolerance: ``(h, w)`` by how much a channel may differ there.
        share: of the picture that agrees, as `bgmv2.plate.check.agreement` measures it.
        belongs: the plate shows the scene of the frame, as far as can be told.
        blank: the frame shows nothing, as in a fade; then nothing can be told.
        coverage: share of the frame that the plate shows.
        stops: how much brighter the frame is than the plate, in EV.
        warmth: by what factor its red gained on its blue.
        noise: of the frame, as a standard deviation for pictures in 0..1.
        clipped: share of the frame that is burnt out.
        focus: sharpness of the plate against the frame's, 1 if they are alike; None if there is too little to tell.
        sharpness: ``(rows, columns)`` the same in tiles of the frame, not a number where it cannot be told; or None.
        shifts: ``(N, 2)`` how far squares of the background are from where the plate has them, in pixels.
        error: mean error that the network expects of its alpha; None if it was not asked.
        pha: ``(h, w)`` float32, its alpha; None if it was not asked.
        stray: mean alpha where frame and plate agree, away from where they differ; None if it was not asked.
    """

    seconds: float
    alignment: Alignment
    moved: float
    frame: np.ndarray
    plate: np.ndarray
    inside: np.ndarray
    differs: np.ndarray
    tolerance: np.ndarray
    share: float
    belongs: bool
    blank: bool
    coverage: float
    stops: float
    warmth: float
    noise: float
    clipped: float
    focus: float | None
    shifts: np.ndarray
    sharpness: np.ndarray | None = None
    error: float | None = None
    pha: np.ndarray | None = None
    stray: float | None = None

    @property
    def difference(self) -> np.ndarray:
        """``(h, w, 3)`` frame less plate, 0 where the frame does not show the plate."""
        return np.where(self.inside[..., None], self.frame - self.plate, 0)

    @property
    def numbers(self) -> Mapping[str, float | str | None]:
        """What was measured, for machines."""
        lengths = np.linalg.norm(self.shifts, axis=1)
        return {
            "seconds": round(self.seconds, 3),
            "status": self.alignment.status,
            "inliers": self.alignment.inliers,
            "residual": round(float(self.alignment.residual), 3),
            "moved": round(self.moved, 2),
            "share": round(self.share, 4),
            "coverage": round(self.coverage, 4),
            "differs": round(float(self.differs.mean()), 4),
            "stops": round(self.stops, 3),
            "warmth": round(self.warmth, 3),
            "noise": round(self.noise, 5),
            "focus": None if self.focus is None else round(self.focus, 3),
            "shift": round(float(np.median(lengths)), 3) if len(lengths) else None,
            "error": None if self.error is None else round(self.error, 5),
            "stray": None if self.stray is None else round(self.stray, 5),
        }


class Looker:
    """Looks at frames of one clip, each on its own.

    Args:
        plate: the clean plate; larger than the frames if it is a mosaic.
        size: of the frames, ``(width, height)``.
    """

    def __init__(self, plate: Plate, *, size: tuple[int, int]):
        self.plate = plate
        self._size = size[1], size[0]
        pixels = as_pixels(plate)
        self.picture = reduced(pixels, SIDE)
        self.scale = pixels.shape[1] / self.picture.shape[1]
        self._large = min(pixels.shape[:2]) >= 2 * _SQUARE
        self.detail: Detail | None = measure_detail(pixels) if self._large else None

    @cached_property
    def _unbiased(self) -> tuple[Aligner, dict[str, Any]]:
        """An aligner, and its state before it saw anything."""
        aligner = Aligner(self.plate, mode="every", size=self._size)
        return aligner, aligner.state()

    def align(self, frame: Frame) -> Alignment:
        """Find the plate in a frame."""
        aligner, state = self._unbiased
        # Frames that lie far apart tell nothing of each other: each is looked at as if it were the first.
        aligner.restore(state)
        return aligner.align(frame.pixels)

    def belongs(self, frame: Frame) -> bool:
        """Tell whether the plate shows the scene of a frame, in less time than a look takes."""
        return shows_scene(self.plate, frame.pixels, self.align(frame))

    def __call__(self, frame: Frame, *, seconds: float) -> Look:
        """Look at a frame, which is shown so many seconds from the clip's beginning."""
        pixels, alignment = frame.pixels, self.align(frame)
        bgr, covered = self._placed(alignment, pixels.shape[:2])
        placed, cover = bgr[0].permute(1, 2, 0).numpy(), covered[0, 0].numpy() > 0.5
        small = reduced(pixels, self._side(pixels.shape))
        back = self._back(alignment.homography, pixels.shape[:2], small.shape[:2])
        size = self.picture.shape[1::-1]

        shown = _moved(small, back, size)
        lit = _moved(reduced(np.ascontiguousarray(placed), max(small.shape[:2])), back, size)
        there = cv2.resize(cover.astype(np.uint8), small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        inside = cv2.erode(_moved(there, back, size), np.ones((3, 3), np.uint8), borderValue=0) > 0
        tolerance = _TOLERANCE + _EDGE * _edges(lit)
        differs = inside & (np.abs(shown - lit).max(axis=2) > tolerance)
        share = agreement(self.plate, pixels, alignment)
        stops, warmth = _light(alignment.light(self.picture), self.picture)
        look = Look(
            seconds=seconds,
            alignment=alignment,
            moved=movement(alignment.homography, np.eye(3), pixels.shape[:2]),
            frame=np.where(inside[..., None], shown, 0),
            plate=np.where(inside[..., None], lit, self.picture),
            inside=inside,
            differs=differs,
            tolerance=tolerance,
            share=share,
            belongs=belongs(share, alignment),
            blank=is_blank(pixels),
            coverage=float(cover.mean()),
            stops=stops,
            warmth=warmth,
            clipped=burnt(small),
            noise=0.0,
            focus=None,
            shifts=np.zeros((0, 2)),
        )
        if self.detail is None:
            return look
        return replace(look, **self._details(pixels, placed, cover, differs, alignment))

    def ask(self, matter: Matter, look: Look, frame: Frame) -> Look:
        """Add to a look what the network says of the frame."""
        bgr, covered = self._placed(look.alignment, frame.pixels.shape[:2])
        matte = matter.matte(frame.pixels, plate=bgr)
        whole = matte.pha if covered.all() else continue_subject(matte.pha, covered.to(matte.pha.device))
        small = reduced(whole[0, 0].cpu().numpy(), self._side(frame.pixels.shape))
        back = self._back(look.alignment.homography, frame.pixels.shape[:2], small.shape[:2])
        pha = np.where(look.inside, _moved(small, back, self.picture.shape[1::-1]), 0)
        far = look.inside & ~(cv2.dilate(look.differs.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0)
        stray = float(pha[far].mean()) if far.any() else 0.0
        return replace(look, error=float(matte.err.mean()), pha=pha, stray=stray)

    def _placed(self, alignment: Alignment, size: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """The plate as it stands in a frame of a size ``(H, W)``, and where it shows the scene."""
        return place_plate_and_cover(self.plate.bgr[None], alignment, self.plate.seen, (size[0], size[1]))

    def _side(self, shape: tuple[int, ...]) -> int:
        """To what long side frames are reduced, so that their pixels are as large as those of the reduced plate."""
        return max(1, round(SIDE * max(shape[:2]) / max(self.plate.bgr.shape[1:])))

    def _back(self, homography: np.ndarray, full: tuple[int, ...], small: tuple[int, ...]) -> np.ndarray:
        """The matrix from the reduced frame to the reduced plate."""
        if is_identity(homography) and full == tuple(self.plate.bgr.shape[1:]):
            return np.eye(3)
        to_plate = scaling(tuple(self.plate.bgr.shape[1:]), self.picture.shape[:2])
        return to_plate @ np.linalg.inv(homography) @ np.linalg.inv(scaling(full, small))

    def _details(
        self, pixels: np.ndarray, placed: np.ndarray, cover: np.ndarray, differs: np.ndarray, alignment: Alignment
    ) -> dict[str, Any]:
        """Noise, focus and shifts, at full resolution."""
        assert self.detail is not None
        detail = measure_detail(pixels)
        # Where the plate's tiles lie that the frame's tiles show.
        rows, columns = detail.fine.shape
        y, x = np.mgrid[0:rows, 0:columns]
        centres = np.stack([x.ravel(), y.ravel()], axis=1) * TILE + (TILE - 1) / 2
        source = project(np.linalg.inv(alignment.homography), centres)
        column, row = np.floor(source.T / TILE).astype(int)
        there = (column >= 0) & (row >= 0) & (column < self.detail.fine.shape[1]) & (row < self.detail.fine.shape[0])
        scale = np.array(self.picture.shape[1::-1]) / np.array(self.plate.bgr.shape[:0:-1])
        u, v = np.clip((source * scale).astype(int), 0, np.array(self.picture.shape[1::-1]) - 1).T
        near = cv2.dilate(differs.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        there &= ~near[v, u]
        column, row = np.where(there, column, 0), np.where(there, row, 0)
        textured = detail.coarse.ravel() > _TEXTURE**2
        chosen = there & textured
        one, two = (
            fine / np.maximum(coarse, _TEXTURE**2)
            for fine, coarse in (
                (self.detail.fine[row, column], self.detail.coarse[row, column]),
                (detail.fine.ravel(), detail.coarse.ravel()),
            )
        )
        # Where neither has fine detail, they are alike.
        sharpness = np.where(chosen, np.sqrt((one + _LITTLE) / (two + _LITTLE)), np.nan)
        focus = float(np.median(sharpness[chosen])) if np.count_nonzero(chosen) >= _LEAST_TILES else None
        shifts = _shifts(pixels, placed, cover, centres[chosen])
        sharpness = sharpness.reshape(rows, columns)
        return {"noise": detail.noise, "focus": focus, "sharpness": sharpness, "shifts": shifts}


def burnt(picture: np.ndarray) -> float:
    """The share of a picture ``(h, w, 3)`` in 0..1 in which some channel is at its end."""
    return float((picture > 0.985).any(axis=2).mean())


def _moved(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring a reduced frame to the plate's view of a size ``(w, h)``; what it does not show becomes 0."""
    return picture if is_identity(matrix) else cv2.warpPerspective(picture, matrix, size)


def _edges(picture: np.ndarray) -> np.ndarray:
    """By how much ``(h, w, 3)`` changes from pixel to pixel at most, ``(h, w)``."""
    kernel = np.ones((3, 3), np.uint8)
    return (cv2.dilate(picture, kernel) - cv2.erode(picture, kernel)).max(axis=2)


def _light(lit: np.ndarray, plain: np.ndarray) -> tuple[float, float]:
    """By how many stops, and by what factor of red against blue, the lit plate differs from the plate."""
    # Code values stand for about their power of 2.2 in light.
    after, before = (np.power(np.maximum(x, 1e-3), 2.2).mean(axis=(0, 1), dtype=np.float64) for x in (lit, plain))
    red, _, blue = after / before
    return float(np.log2(after.sum() / before.sum())), float(red / blue)


def _shifts(pixels: np.ndarray, placed: np.ndarray, cover: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """How far squares of the frame are from where the plate has them, ``(N, 2)``, where that can be told."""
    height, width = cover.shape
    found = []
    window = cv2.createHanningWindow((_SQUARE, _SQUARE), cv2.CV_32F)
    # Forty are enough, and spread.
    for cx, cy in centres[:: max(1, len(centres) // 40)]:
        x, y = round(cx - _SQUARE / 2), round(cy - _SQUARE / 2)
        if x < 0 or y < 0 or x + _SQUARE > width or y + _SQUARE > height:
            continue
        square = np.s_[y : y + _SQUARE, x : x + _SQUARE]
        if not cover[square].all():
            continue
        a, b = (np.ascontiguousarray(p[square][..., 1]).astype(np.float32) for p in (placed, pixels))
        (dx, dy), response = cv2.phaseCorrelate(a, b, window)
        if response > 0.25 and np.hypot(dx, dy) < _FARTHEST:
            found.append((dx, dy))
    return np.array(found, np.float64).reshape(-1, 2)
