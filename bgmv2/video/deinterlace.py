"""Make whole pictures of interlaced ones, whose even and odd lines were taken at different instants."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from fractions import Fraction

import av
import av.error
from av.filter import Graph

Timed = tuple[av.VideoFrame, int]


def deinterlaced(
    frames: Iterable[Timed], *, time_base: Fraction, warn: Callable[[], None]
) -> Generator[Timed, None, None]:
    """Make the frames whole that say they are interlaced; the others pass as they are.

    One frame comes out for each that goes in, at its own instant: the field that was taken first is kept, and the lines
    between are told from the frames around it, by FFmpeg's filter bwdif. Which field was first, each frame says.

    Args:
        frames: each with its instant in ticks.
        time_base: seconds per tick.
        warn: called once, if there is anything to do.

    Yields:
        Frames with their instants.
    """
    weaver: _Weaver | None = None
    before: Timed | None = None
    for frame, pts in frames:
        if weaver is not None and not weaver.takes(frame):
            yield from weaver.flush()
            weaver = before = None
        if weaver is None and frame.interlaced_frame:
            warn()
            weaver = _Weaver(frame, time_base)
            # What moved is told from the frame before, too; it was given out already.
            if before is not None and weaver.takes(before[0]):
                weaver.push(*before, again=True)
        if weaver is None:
            yield frame, pts
            before = frame, pts
        else:
            weaver.push(frame, pts)
            yield from weaver.pull()
    if weaver is not None:
        yield from weaver.flush()


class _Weaver:
    """FFmpeg's bwdif for frames of one shape; it is a frame behind, because it looks one ahead."""

    def __init__(self, frame: av.VideoFrame, time_base: Fraction) -> None:
        self._shape = _shape_of(frame)
        # Instants of the frames inside, None for one that is not to come out again.
        self._waiting: deque[int | None] = deque()
        self._graph = Graph()
        source = self._graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base={time_base}"
            f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
        )
        bwdif = self._graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        self._graph.link_nodes(source, bwdif, self._graph.add("buffersink")).configure()

    def takes(self, frame: av.VideoFrame) -> bool:
        """Tell whether a frame has the shape for which the filter was made."""
        return _shape_of(frame) == self._shape

    def push(self, frame: av.VideoFrame, pts: int, *, again: bool = False) -> None:
        """Put a frame in; `again` if it was given out before."""
        self._waiting.append(None if again else pts)
        self._graph.vpush(frame)

    def pull(self) -> Generator[Timed, None, None]:
        """Take out what is done."""
        while self._waiting:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            pts = self._waiting.popleft()
            if pts is not None:
                yield frame, pts

    def flush(self) -> Generator[Timed, None, None]:
        """Take out all that is left; nothing can be put in afterwards."""
        self._graph.vpush(None)
        yield from self.pull()


def _shape_of(frame: av.VideoFrame) -> tuple[int, int, str, int, int]:
    return frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range)
