"""Which frames of a clip are looked at, and where it cuts to another scene.

A clip that is short, or can be read only once, is read from beginning to end; of a long one, frames are sought that
are spread over it, so that the time to look at a clip does not grow with its length.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bgmv2.config import ReadConfig
from bgmv2.errors import VideoError
from bgmv2.plate.views import reduced
from bgmv2.progress import counted
from bgmv2.types import Frame, StrPath, VideoInfo
from bgmv2.video.open import open_source

# Clips of fewer frames than these, of 1280 x 720 pixels or as many in all, are read whole: that takes some seconds.
_SHORT = 1500 * 1280 * 720
_THUMB = 48
# At a cut, this share of the picture changes by more than a tenth of white, beyond a change of its brightness;
# and so many times more than in the frames around.
_CUT_SHARE, _CUT_CHANGE, _CUT_PEAK = 0.35, 0.1, 4.0


@dataclass(frozen=True, eq=False)
class Sample:
    """A frame that is looked at.

    Args:
        frame: the frame.
        seconds: when it is shown, from the clip's beginning.
    """

    frame: Frame
    seconds: float


def is_short(info: VideoInfo) -> bool:
    """Tell a clip that is read whole in some seconds; one that does not say how long it is must be read to know."""
    return info.frames is None or info.frames * info.width * info.height <= _SHORT


def frame_at(clip: StrPath, read: ReadConfig, seconds: float) -> Frame | None:
    """Read the first frame that is shown at an instant, from the clip's beginning, or later; None if there is none.

    Whoever reads the clip as a whole is told what is wrong with it; here, nothing is said.
    """
    if read.end is not None and seconds >= read.end:
        return None
    with warnings.catch_warnings(), suppress(VideoError):
        warnings.simplefilter("ignore")
        with closing(open_source(clip, replace(read, start=seconds, frames=1))) as source:
            return next(iter(source), None)
    return None


def seek_samples(
    clip: StrPath, read: ReadConfig, info: VideoInfo, count: int, *, progress: bool = False
) -> list[Sample]:
    """Seek frames that are spread over a clip, the first of which is the clip's first.

    Args:
        clip: which can be read from anywhere.
        read: which part of it.
        info: of the clip.
        count: of frames; some fewer come if the clip is shorter than it says.
        progress: show a bar.
    """
    start = read.start or 0.0
    length = float((info.frames or 1) / info.rate)
    samples: list[Sample] = []
    zero = 0.0
    for index in counted(range(count), shown=progress, unit="frame", doing="looking"):
        instant = start + length * index / count
        frame = frame_at(clip, read, instant)
        if frame is None:
            continue
        if not samples:
            zero = frame.seconds - instant
        # Of a clip of few frames, the same may be found again.
        if not samples or frame.seconds - zero > samples[-1].seconds:
            samples.append(Sample(frame, frame.seconds - zero))
    return samples


def walk_samples(
    frames: Iterable[Frame], info: VideoInfo, read: ReadConfig, count: int, *, progress: bool = False
) -> tuple[list[Sample], list[float]]:
    """Read a clip to its end: take frames that are spread over it, and find its cuts.

    Args:
        frames: all of them.
        info: of the clip.
        read: which part of it they are.
        count: of samples, about; one from each scene comes on top.
        progress: show a bar.

    Returns:
        The samples, and the instants at which other scenes begin, in seconds from the clip's beginning.
    """
    step = max(1, -(-info.frames // count)) if info.frames else 1
    samples: list[Sample] = []
    extras: list[Sample] = []
    finder = CutFinder()
    zero = None
    looked_at = counted(frames, shown=progress, unit="frame", total=info.frames, doing="looking")
    for index, frame in enumerate(looked_at):
        zero = frame.seconds - (read.start or 0.0) if zero is None else zero
        sample = Sample(frame, frame.seconds - zero)
        if finder.add(frame.pixels, sample.seconds):
            extras.append(sample)
        if index % step == 0:
            samples.append(sample)
            # How many are to come is not always known, or true: then only every second one goes on being looked at.
            if len(samples) >= 2 * count + 1:
                samples, step = samples[::2], 2 * step
    known = {sample.seconds for sample in samples}
    cuts = finder.cuts
    samples += [sample for sample in extras if sample.seconds in cuts and sample.seconds not in known]
    return sorted(samples, key=lambda sample: sample.seconds), cuts


class CutFinder:
    """Finds cuts in frames that follow each other."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._changes: list[float] = []
        self._seconds: list[float] = []

    def add(self, pixels: np.ndarray, seconds: float) -> bool:
        """Look at the next frame, ``(H, W, 3)``; tell whether it may be the first of another scene."""
        # Every so many pixels are enough for a thumb, and quicker than all.
        step = max(1, min(pixels.shape[:2]) // (2 * _THUMB))
        thumb = reduced(cv2.blur(np.ascontiguousarray(pixels[::step, ::step]), (3, 3)), _THUMB)
        changed = 0.0
        if self._last is not None:
            change = thumb - self._last
            change -= np.median(change, axis=(0, 1))
            changed = float((np.abs(change).max(axis=2) > _CUT_CHANGE).mean())
            self._changes.append(changed)
            self._seconds.append(seconds)
        self._last = thumb
        return changed > _CUT_SHARE

    @property
    def cuts(self) -> list[float]:
        """When another scene begins, in seconds."""
        found = []
        for index, change in enumerate(self._changes):
            around = self._changes[max(0, index - 3) : index] + self._changes[index + 1 : index + 4]
            if change > _CUT_SHARE and change > _CUT_PEAK * max(float(np.median(around or [0])), 0.02):
                found.append(self._seconds[index])
        return found


def bisect(clip: StrPath, read: ReadConfig, before: float, after: float, is_same: Callable[[Frame], bool]) -> float:
    """Find when a scene ends that is there at one instant and gone at a later one, to within 20 ms.

    Args:
        clip: which can be read from anywhere.
        read: how.
        before: instant in seconds at which it is there.
        after: instant in seconds at which it is gone.
        is_same: tells whether a frame shows it.

    Returns:
        The earliest instant found at which it is gone.
    """
    while after - before > 0.02:
        middle = (before + after) / 2
        frame = frame_at(clip, read, middle)
        if frame is not None and is_same(frame):
            before = middle
        else:
            after = middle
    return after
