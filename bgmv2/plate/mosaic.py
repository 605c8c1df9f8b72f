"""A sweep over the empty scene, put together to one plate in which the frames of other clips find their place.

**Convention**: homographies here map the pixels of a frame to those of the mosaic's plane, which is the view of the
frame in the middle, continued to all sides. So every frame that the same camera takes from the same place lies in it by
one homography.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from bgmv2.config import ReadConfig
from bgmv2.errors import PlateError
from bgmv2.plate import temporal
from bgmv2.plate.align import Aligner
from bgmv2.plate.geometry import corners_of, normalised, project
from bgmv2.plate.samples import check_twice_readable, spread
from bgmv2.plate.sources import MadePlate
from bgmv2.plate.views import as_floats, as_integers
from bgmv2.progress import Pace, Progress
from bgmv2.types import StrPath
from bgmv2.video.probe import shown

# A flat picture of more than about 120 degrees grows without end; so does what is told of a mistake. In frames' widths
# and heights, and in areas of a frame.
_WIDEST, _LARGEST = 8.0, 24.0
# What an earlier frame adds to a view is worth looking at if it is so large a share.
_ADDS = 0.01
# The mosaic is blended in squares of this side.
_TILE = 256
# So many frames in a row that are not found end the sweep to that side.
_LOST = 4


@dataclass(frozen=True, eq=False)
class _Placed:
    """A frame in the mosaic.

    Args:
        pixels: ``(H, W, 3)``, in the light of the middle frame.
        homography: ``(3, 3)`` from its pixels to the mosaic's plane.
    """

    pixels: np.ndarray
    homography: np.ndarray

    def seen_from(self, view: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return what it shows of a view, and where; `view` maps the mosaic's plane to the view of a size (W, H)."""
        matrix = view @ self.homography
        whole = np.full(self.pixels.shape[:2], 255, np.uint8)
        # What is interpolated with nothing is left out.
        whole[[0, -1]] = whole[:, [0, -1]] = 0
        covered = cv2.warpPerspective(whole, matrix, size, flags=cv2.INTER_LINEAR) == 255
        return cv2.warpPerspective(self.pixels, matrix, size, flags=cv2.INTER_CUBIC), covered


def make_mosaic(
    clip: StrPath, *, read: ReadConfig = ReadConfig(), watch: Callable[[Progress], None] | None = None
) -> MadePlate:
    """Put the frames of a sweep together.

    Each frame is aligned to all that lies in place already, from the middle of the sweep to its ends, in which the
    oldest goes first: so errors add up over as few frames as the sweep is wide, not over as many as it has. Each pixel
    is the median of all frames that show it, in the light of the middle one.

    Args:
        clip: a sweep over the scene without the subject, from where the camera will stand; it can be read twice.
        read: which part of it, and how.
        watch: is called with each step that is done; what it raises ends the work.

    Raises:
        PlateError: frames do not overlap, or the sweep is too wide for a flat picture.
        VideoError: the clip cannot be read.
    """
    check_twice_readable(clip, "--mosaic")
    frames = [frame.pixels for frame in spread(clip, read, watch=watch)]
    pace = Pace(len(frames), doing="making the mosaic")

    def tell() -> None:
        if watch is not None:
            watch(pace.step({}))

    placed = _place(frames, tell)
    if len(placed) < max(2, len(frames) / 2):
        raise PlateError(
            f"only {len(placed)} of {len(frames)} frames of {shown(clip)} lie on each other: sweep slowly over the "
            f"empty scene, from one place, and in one take"
        )
    height, width = frames[0].shape[:2]
    quads = np.concatenate([project(one.homography, corners_of(height, width)) for one in placed])
    left, top = np.floor(quads.min(axis=0)).astype(int)
    right, bottom = np.ceil(quads.max(axis=0)).astype(int) + 1
    canvas = right - left, bottom - top
    if max(canvas[0] / width, canvas[1] / height) > _WIDEST or canvas[0] * canvas[1] > _LARGEST * width * height:
        raise PlateError(
            f"the sweep {shown(clip)} is too wide for one flat picture, which holds about 120 degrees at most: sweep "
            f"over less, or take a part of it (--start, --end)"
        )
    pixels, seen = _blended(placed, (int(left), int(top)), (int(canvas[0]), int(canvas[1])))
    return MadePlate(
        temporal.filled(pixels, seen),
        seen,
        frames=len(placed),
        left_out=len(frames) - len(placed),
        moved=True,
        frame_size=(width, height),
    )


def _place(frames: Sequence[np.ndarray], tell: Callable[[], None]) -> list[_Placed]:
    """Find where frames lie, from the middle outwards."""
    middle = len(frames) // 2
    placed = [_Placed(frames[middle], np.eye(3))]
    tell()
    for way in (range(middle + 1, len(frames)), range(middle - 1, -1, -1)):
        last, lost = placed[0], 0
        for index in way:
            found = _found(frames[index], last, placed) if lost < _LOST else None
            if found is None:
                lost += 1
            else:
                placed.append(found)
                last, lost = found, 0
            tell()
    return placed


def _found(frame: np.ndarray, last: _Placed, placed: Sequence[_Placed]) -> _Placed | None:
    """Find where a frame lies: by the one that was placed last, then by all that its view shows."""
    near = Aligner(frame, mode="every").align(last.pixels)
    if near.status == "held":
        return None
    guess = last.homography @ near.homography
    height, width = frame.shape[:2]
    if not _is_upright(guess, height, width):
        return None
    view, covered = np.zeros_like(frame), np.zeros((height, width), bool)
    for one in placed:
        shows, where = one.seen_from(np.linalg.inv(guess), (width, height))
        new = where & ~covered
        if new.mean() > _ADDS:
            view[new] = shows[new]
            covered |= new
    exact = Aligner(frame, mode="every").align(view)
    if exact.status == "held":
        return None
    homography = normalised(guess @ exact.homography)
    if not _is_upright(homography, height, width):
        return None
    return _Placed(as_integers(exact.light(as_floats(frame)), frame.dtype), homography)


def _is_upright(homography: np.ndarray, height: int, width: int) -> bool:
    """Tell whether a frame lies in front of the mosaic's plane, and not so far out that it is larger than that."""
    corners = corners_of(height, width)
    depth = (np.c_[corners, np.ones(4)] @ homography[2]) / homography[2, 2]
    if depth.min() <= 0.05:
        return False
    return float(np.ptp(project(homography, corners), axis=0).max()) < _WIDEST * max(height, width)


def _blended(
    placed: Sequence[_Placed], corner: tuple[int, int], canvas: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Take the median of all frames at each pixel of the mosaic, square by square; also where there is any."""
    pixels = np.zeros((canvas[1], canvas[0], 3), placed[0].pixels.dtype)
    seen = np.zeros(pixels.shape[:2], bool)
    for y in range(0, canvas[1], _TILE):
        for x in range(0, canvas[0], _TILE):
            size = min(_TILE, canvas[0] - x), min(_TILE, canvas[1] - y)
            view = np.array([[1, 0, -corner[0] - x], [0, 1, -corner[1] - y], [0, 0, 1]], np.float64)
            shown_here = [part for part in (one.seen_from(view, size) for one in placed) if part[1].any()]
            if shown_here:
                parts, votes = (np.stack(stack) for stack in zip(*shown_here, strict=True))
                here = np.s_[y : y + size[1], x : x + size[0]]
                pixels[here], seen[here] = temporal.median(parts, votes)
    return pixels, seen
