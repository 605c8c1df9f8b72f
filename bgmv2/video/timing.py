"""When frames are shown: instants that are missing or wrong are mended, and a part of the clip is cut out by them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from bgmv2.config import ReadConfig
from bgmv2.errors import VideoError

if TYPE_CHECKING:
    import av

# Frames per second of numbered pictures and raw frames, which do not say; FFmpeg's choice, too.
DEFAULT_RATE = Fraction(25)
# People write instants to the millisecond, and some containers store them so: 0.042 means frame 1 at 24 a second.
_TOLERANCE = Fraction(1, 2000)


def in_order(
    frames: Iterable[av.VideoFrame], *, beginning: int, rhythm: int, warn: Callable[[str], None]
) -> Generator[tuple[av.VideoFrame, int], None, None]:
    """Give every frame an instant after that of the frame before.

    Instants that increase are kept, to the tick. One that is missing is the one before plus the clip's rhythm. One that
    does not increase, or that jumps past the frame after it, is replaced, so that the frames behind it can keep theirs.

    Args:
        frames: as decoded, in order of presentation.
        beginning: instant of the first frame, in ticks, if it has none itself.
        rhythm: ticks from frame to frame, at least 1.
        warn: told once, if anything is replaced, what was wrong.

    Yields:
        Each frame with its instant in ticks.
    """
    last: int | None = None
    warned = False
    for frame, following in _with_next(frames):
        pts, after = frame.pts, None if following is None else following.pts
        if pts is None or (last is not None and (pts <= last or (after is not None and last < after < pts))):
            if not warned:
                warn("without a time" if pts is None else "whose times do not increase")
                warned = True
            pts = beginning if last is None else last + _step(last, after, rhythm)
        last = pts
        yield frame, pts


def _step(last: int, after: int | None, rhythm: int) -> int:
    """Return how far behind `last` a frame goes, at most halfway to the frame after it."""
    if after is None or after <= last + 1:
        return rhythm
    return min(rhythm, (after - last) // 2)


def _with_next(
    frames: Iterable[av.VideoFrame],
) -> Generator[tuple[av.VideoFrame, av.VideoFrame | None], None, None]:
    waiting: av.VideoFrame | None = None
    for frame in frames:
        if waiting is not None:
            yield waiting, frame
        waiting = frame
    if waiting is not None:
        yield waiting, None


@dataclass(frozen=True)
class Span:
    """Where the part of a clip that was asked for begins and ends, in the clip's own seconds.

    A frame belongs to the span if it is shown at the start or later, and before the end; half a millisecond does not
    count. So two spans that meet share no frame and lose none.

    Args:
        start: None from the clip's beginning on.
        end: None to the clip's end.
    """

    start: Fraction | None = None
    end: Fraction | None = None

    @classmethod
    def of(cls, read: ReadConfig, beginning: Fraction) -> Span:
        """Return what was asked for of a clip that begins at the instant `beginning`."""

        def absolute(seconds: float | None) -> Fraction | None:
            return None if seconds is None else beginning + Fraction(seconds).limit_denominator(1_000_000)

        return cls(absolute(read.start), absolute(read.end))

    def is_before(self, seconds: Fraction) -> bool:
        """Tell whether what is shown at this instant comes before the span."""
        return self.start is not None and seconds < self.start - _TOLERANCE

    def is_after(self, seconds: Fraction) -> bool:
        """Tell whether what is shown at this instant comes after the span."""
        return self.end is not None and seconds >= self.end - _TOLERANCE

    @staticmethod
    def nothing_in(name: str, read: ReadConfig, last: Fraction) -> VideoError:
        """Say that no frame lies in the part that was asked for.

        Args:
            name: of the clip.
            read: what was asked for.
            last: when the last frame that was looked at is shown, in seconds from the clip's beginning.

        Returns:
            The error to raise.
        """
        start = read.start or 0.0
        if read.end is not None and last >= start:
            return VideoError(f"nothing of {name} is shown between {start:g} and {read.end:g} s; take more of it")
        return VideoError(
            f"{name} ends before the start that was asked for, {start:g} s: its last frame is shown at "
            f"{float(last):.3f} s"
        )

    def hint(self, read: ReadConfig, frames: int | None, rate: Fraction, beginning: Fraction) -> int | None:
        """Guess how many frames lie in the span, for a progress bar.

        Args:
            read: what was asked for.
            frames: of the whole clip; None if unknown.
            rate: frames per second.
            beginning: of the clip, in its own seconds.

        Returns:
            At least 1; None if unknown.
        """
        start = beginning if self.start is None else self.start
        counts = [
            None if frames is None else frames - round((start - beginning) * rate),
            None if self.end is None else round((self.end - start) * rate),
            read.frames,
        ]
        known = [count for count in counts if count is not None]
        return max(1, min(known)) if known else None
