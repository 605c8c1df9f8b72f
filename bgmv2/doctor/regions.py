"""Places where clip and plate disagree from beginning to end, and which of the two shows something there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from bgmv2.doctor.looks import Look

Side = Literal["plate", "clip", "both"]
# With fewer looks, a subject that stands still for a moment cannot be told from a thing.
LEAST_LOOKS = 3
# A place has settled if so many of the looks show the same there.
_SETTLED = 0.5
# Smaller regions are leaves, reflections and compression, larger ones are no things; as shares of the picture.
_LEAST_AREA, _LARGEST_AREA = 0.002, 0.6
# So many times stronger must the outline of a thing be in one picture to say that it is the other that lacks it.
_CLEARER = 1.4


@dataclass(frozen=True, eq=False)
class Region:
    """A place where most frames agree with each other, but not with the plate.

    Args:
        side: what shows something there: the `plate` (the thing is gone now), the `clip` (it came later), or `both`.
        area: share of the picture.
        box: ``(x, y, width, height)`` in pixels of the reduced plate.
        mask: ``(h, w)`` bool.
        stir: share of what is around it that differs, too, on average: little about a thing, much about a part of a
            subject.
    """

    side: Side
    area: float
    box: tuple[int, int, int, int]
    mask: np.ndarray
    stir: float


def settled_regions(looks: Sequence[Look]) -> list[Region]:
    """Find them, the largest first; none where there are too few looks to tell."""
    if len(looks) < LEAST_LOOKS:
        return []
    differences = np.stack([look.difference for look in looks])
    inside = np.stack([look.inside for look in looks])
    differs = np.stack([look.differs for look in looks])
    tolerance = np.median([look.tolerance for look in looks], axis=0)
    seen = inside.sum(axis=0)
    known = seen >= max(LEAST_LOOKS, len(looks) / 2)
    if inside.all():
        middle = np.median(differences, axis=0)
    else:
        masked = np.where(inside[..., None], differences, np.nan)
        masked[:, ~known] = 0
        middle = np.nanmedian(masked, axis=0)
    same = (np.abs(differences - middle).max(axis=3) < tolerance) & inside
    settled = known & (same.sum(axis=0) >= _SETTLED * np.maximum(seen, 1))
    other = settled & (np.abs(middle).max(axis=2) > tolerance)
    # A plant is full of holes; closed first, it is one thing.
    wide, narrow = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (7, 5))
    other = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_CLOSE, wide)
    other = cv2.morphologyEx(other, cv2.MORPH_OPEN, narrow)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(other)
    plate = np.median([look.plate for look in looks], axis=0).astype(np.float32)
    clip = np.clip(plate + middle, 0, 1).astype(np.float32)
    slopes = _slope(plate), _slope(clip)
    found = []
    for number in range(1, count):
        x, y, width, height, pixels = (int(value) for value in statistics[number])
        area = pixels / other.size
        if not _LEAST_AREA <= area <= _LARGEST_AREA:
            continue
        mask = labels == number
        stir = _stir(mask, inside, differs)
        found.append(Region(_side_of(mask, *slopes), area, (x, y, width, height), mask, stir))
    return sorted(found, key=lambda region: -region.area)


def _side_of(mask: np.ndarray, plate: np.ndarray, clip: np.ndarray) -> Side:
    """Tell which picture has the outline of a region, by how steep both are along it."""
    kernel = np.ones((5, 5), np.uint8)
    region = mask.astype(np.uint8)
    ring = cv2.dilate(region, kernel) - cv2.erode(region, kernel, borderValue=1) > 0
    in_plate, in_clip = float(plate[ring].mean()), float(clip[ring].mean())
    if in_plate > _CLEARER * in_clip:
        return "plate"
    return "clip" if in_clip > _CLEARER * in_plate else "both"


def _stir(mask: np.ndarray, inside: np.ndarray, differs: np.ndarray) -> float:
    """The share of a ring about a region that differs, over all looks ``(N, h, w)`` that show it."""
    region = mask.astype(np.uint8)
    far, near = (cv2.dilate(region, np.ones((side, side), np.uint8)) > 0 for side in (11, 5))
    ring = (far & ~near) & inside
    return float((differs & ring).sum() / max(1, ring.sum()))


def _slope(picture: np.ndarray) -> np.ndarray:
    """How steep a picture ``(h, w, 3)`` is, ``(h, w)``."""
    x, y = (cv2.Sobel(picture, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    return np.sqrt(x * x + y * y).max(axis=2)
