"""Frames of a clip to make a plate of: spread over a part of it, brought to the view and light of one of them."""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, PlateError, VideoError
from bgmv2.plate.align import Aligner
from bgmv2.plate.photometric import estimate
from bgmv2.plate.place import place_plate_and_cover
from bgmv2.plate.views import as_floats, as_integers, as_pixels, as_plate, detail, reduced
from bgmv2.progress import Pace, Progress
from bgmv2.types import Frame, Plate, StrPath
from bgmv2.video.open import is_rereadable, open_source
from bgmv2.video.probe import STDIN, check_readable, is_address, shown

# More frames say little more of the background; and so many bytes of them fit into any computer.
_MOST, _FEWEST, _BYTES = 48, 12, 1 << 30
# Up to so many frames are all decoded; in longer clips each frame is sought.
_DECODED = 3000
# What a clip announces of its length may be wrong by so many seconds before it is decoded as a whole.
_MARGIN = 10.0
# Whether the camera stood is seen at this long side: there, corners that moved by less, in pixels, stood still.
_SIDE, _CORNERS, _STILL = 640, 400, 0.35
# What they must be, as a share of all corners and in cells of a 4 x 4 grid; and in what share of the frames.
_STILL_SHARE, _STILL_CELLS, _STILL_FRAMES = 0.15, 4, 0.8
# A frame whose light differs by less, in code values of 8 bits, is left untouched.
_SAME = 1.5
# Light is measured at this long side.
_LIGHT_SIDE = 80


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames of one scene in one view.

    Args:
        pixels: ``(N, H, W, 3)`` RGB, uint8 or uint16.
        inside: ``(N, H, W)`` bool, where they show something.
        left_out: frames in which the view was not found.
        moved: the camera was found elsewhere in some of them.
    """

    pixels: np.ndarray
    inside: np.ndarray
    left_out: int = 0
    moved: bool = False


def most_frames(height: int, width: int, itemsize: int) -> int:
    """Tell how many frames of a size are kept at most, so that they take no more than a gibibyte."""
    return min(_MOST, max(_FEWEST, _BYTES // (height * width * 3 * itemsize)))


def check_twice_readable(clip: StrPath, wish: object) -> None:
    """Say now that no plate can be made of a clip.

    Args:
        clip: as `bgmv2.video.open.open_source` takes it.
        wish: how the plate should be made, for the message.

    Raises:
        PlateError: it cannot be read twice.
        VideoError: there is no clip.
    """
    if not is_rereadable(clip):
        if not is_address(clip) and os.fspath(clip) != STDIN:
            check_readable(Path(clip), wanted="clip")
        raise PlateError(
            f"{wish} looks through the clip before it is matted, but {shown(clip)} passes only once: save it first, or "
            f"give a picture as --plate"
        )


def length_of(clip: StrPath, read: ReadConfig) -> tuple[float, float]:
    """Measure how long a clip is and when its last frame comes, in seconds; what it announces is checked.

    Args:
        clip: that can be read twice, as `bgmv2.video.open.open_source` takes it.
        read: how it is read; which part counts for nothing.

    Raises:
        VideoError: it cannot be read.
    """
    whole = replace(read, start=0.0, end=None, frames=None)
    with _quiet(), closing(open_source(clip, whole)) as source:
        info = source.info
    assert info.start is not None
    announced = 0.0 if info.frames is None else float(info.frames / info.rate)
    for start in (announced - _MARGIN, 0.0):
        if start < 0:
            continue
        try:
            with _quiet(), closing(open_source(clip, replace(whole, start=start))) as source:
                instants = deque(source.instants(), maxlen=1)  # type: ignore[attr-defined]
        except VideoError:
            if not start:
                raise
            continue
        last = instants[0] - info.start
        return float(last + 1 / info.rate), float(last)
    raise AssertionError("the whole clip was read or refused")


def spread(clip: StrPath, read: ReadConfig, *, watch: Callable[[Progress], None] | None = None) -> Iterator[Frame]:
    """Take frames that are spread evenly over a part of a clip.

    Args:
        clip: that can be read twice, as `bgmv2.video.open.open_source` takes it.
        read: which part of it, and how.
        watch: is called with each frame that was looked at.

    Yields:
        At most `most_frames`, in order; at least one.

    Raises:
        VideoError: it cannot be read.
    """
    with _quiet(), closing(open_source(clip, read)) as source:
        info = source.info
        most = most_frames(info.height, info.width, 1 if info.bits == 8 else 2)
        if info.frames is None or info.frames <= _DECODED:
            yield from _thinned(_watched(source, info.frames, watch), most, announced=info.frames)
            return
    sought = _sought(clip, read, most, seconds=float(info.frames / info.rate))
    yield from _watched(sought, most, watch)


def _watched(frames: Iterable[Frame], total: int | None, watch: Callable[[Progress], None] | None) -> Iterator[Frame]:
    pace = Pace(total, doing="reading for the plate")
    for frame in frames:
        yield frame
        if watch is not None:
            watch(pace.step({}))


def _thinned(frames: Iterable[Frame], most: int, *, announced: int | None) -> list[Frame]:
    """Keep every so manieth frame; if there are more than was announced, every other one of those goes again."""
    step = max(1, math.ceil((announced or 0) / most))
    kept: list[Frame] = []
    for number, frame in enumerate(frames):
        if number % step:
            continue
        kept.append(frame)
        if len(kept) > most:
            kept, step = kept[::2], 2 * step
    return kept


def _sought(clip: StrPath, read: ReadConfig, most: int, *, seconds: float) -> Iterator[Frame]:
    """Look frames up by their instants; a clip may be shorter than it announces."""
    begin = read.start or 0.0
    for number in range(most):
        start = begin + seconds * (number + 0.5) / most
        try:
            with _quiet(), closing(open_source(clip, replace(read, start=start, end=None, frames=1))) as source:
                frame = next(iter(source))
        except VideoError:
            if not number:
                raise
            return
        yield frame


class _quiet(warnings.catch_warnings):  # noqa: N801
    """What reading warns of was said when the clip was opened first."""

    def __enter__(self) -> None:  # type: ignore[override]
        super().__enter__()
        warnings.simplefilter("ignore", Bgmv2Warning)


def together(
    frames: Iterable[Frame], *, middle: bool, name: StrPath, tell: Callable[[], None] = lambda: None
) -> Samples:
    """Bring frames to the view and the light of one of them, as far as they differ.

    Args:
        frames: of one scene, all of one size.
        middle: all come to the one in the middle; otherwise to the first.
        name: of the clip, for messages.
        tell: is called for each frame.

    Raises:
        PlateError: most frames do not show the view of that one.
    """
    pixels = np.stack([frame.pixels for frame in frames])
    chosen = len(pixels) // 2 if middle else 0
    reference = pixels[chosen]
    inside = np.ones(pixels.shape[:3], bool)
    stood = _stood(pixels, reference)
    moved = stood.mean() < _STILL_FRAMES
    keep = np.ones(len(pixels), bool)
    for index, picture in enumerate(pixels):
        if index != chosen and moved and not stood[index]:
            keep[index] = _moved(picture, inside[index], reference)
        elif index != chosen:
            _relit(picture, reference)
        tell()
    if keep.sum() < min(len(pixels), max(2, len(pixels) / 3)):
        raise PlateError(
            f"the camera of {shown(name)} moves so far that only {keep.sum()} of {len(pixels)} frames show one view: "
            f"film the scene without the subject, and make a plate of that with bgmv2 plate --mosaic"
        )
    if keep.all():
        return Samples(pixels, inside, 0, bool(moved))
    return Samples(pixels[keep], inside[keep], int((~keep).sum()), bool(moved))


def _stood(pixels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Tell which frames the camera took from where it took one of them, ``(N,)`` bool.

    A subject can fill most of the picture and have the best corners in it, so that a fit would follow the subject. But
    when the camera moves, next to nothing in the picture stands still.
    """
    view = detail(reduced(reference, _SIDE))
    corners = cv2.goodFeaturesToTrack(view, _CORNERS, 0.005, 8)
    if corners is None or len(corners) < 1 / _STILL_SHARE:
        return np.ones(len(pixels), bool)  # before a plain wall nothing can be brought to another view
    cells = (corners.reshape(-1, 2) * 4 / np.array(view.shape[::-1])).astype(int)
    stood = np.zeros(len(pixels), bool)
    for index, picture in enumerate(pixels):
        ends, followed, _ = cv2.calcOpticalFlowPyrLK(view, detail(reduced(picture, _SIDE)), corners, corners.copy())
        still = (followed.ravel() == 1) & (np.linalg.norm(ends - corners, axis=2).ravel() < _STILL)
        spread_out = len(np.unique(cells[still], axis=0)) >= _STILL_CELLS
        stood[index] = spread_out and still.mean() >= _STILL_SHARE
    return stood


def _relit(picture: np.ndarray, reference: np.ndarray) -> None:
    """Bring a picture to the light of another in place."""
    light = estimate(reduced(picture, _LIGHT_SIDE), reduced(reference, _LIGHT_SIDE))
    if light is not None:
        before = as_floats(picture)
        after = light(before)
        if np.abs(after - before).mean() > _SAME / 255:
            picture[...] = as_integers(after, picture.dtype)


def _moved(picture: np.ndarray, inside: np.ndarray, reference: np.ndarray) -> bool:
    """Bring a picture to the view and light of another in place, and where it shows something; False if not found."""
    plate = as_plate(picture)
    alignment = Aligner(plate, mode="every").align(reference)
    if alignment.status == "held":
        return False
    placed, covered = place_plate_and_cover(plate.bgr[None], alignment)
    picture[...] = as_integers(as_pixels(Plate(placed[0])), picture.dtype)
    inside[...] = (covered[0, 0] > 0.5).cpu().numpy()
    return True
