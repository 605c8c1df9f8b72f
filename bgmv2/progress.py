"""How far a run has come: `Pace` measures, `Progress` says it, and watchers show it to people or to machines."""

from __future__ import annotations

import json
import math
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from tqdm import tqdm

from bgmv2.errors import one_line

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

# The rate looks back on so many instants, at least so many seconds apart: 10 seconds, or 30 frames if they took longer.
_INSTANTS, _APART = 30, 1 / 3
# Machines are told of progress once in so many seconds, and of the first frame.
_EVERY = 1.0


def counted(
    items: Iterable[T], *, shown: bool = True, unit: str, total: int | None = None, doing: str | None = None
) -> Iterator[T]:
    """Yield items, and show a bar of them on a terminal.

    Args:
        items: to be yielded.
        shown: whether a bar is wanted.
        unit: what an item is.
        total: how many there are, if `items` cannot tell.
        doing: what is done with them.
    """
    # Even a bar that is not shown would start a thread.
    if not (shown and sys.stderr.isatty()):
        yield from items
        return
    with tqdm(items, total=total, unit=unit, desc=doing, leave=False) as bar:
        yield from bar


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        frames: that are done, those of an earlier run that is gone on with included.
        total: how many there will be, as far as is known; None if nothing is.
        seconds: since this run asked for its first frame.
        stages: seconds of work of each stage in this run; they overlap.
        rate: frames a second, over the recent past; 0 before the first frame.
        doing: what is done before the first frame is matted, such as ``making the plate``, whose steps are counted
            then; empty once the run itself is under way.
    """

    frames: int
    total: int | None = None
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    rate: float = 0.0
    doing: str = ""

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this rate; None if that cannot be told."""
        if self.total is None or self.frames > self.total or not self.rate:
            return None
        return (self.total - self.frames) / self.rate

    @property
    def shares(self) -> dict[str, float]:
        """The part of the time for which each stage worked, 0..1. The one that always works holds up the others."""
        return {name: min(1.0, spent / self.seconds) if self.seconds else 0.0 for name, spent in self.stages.items()}


class Pace:
    """Counts the frames of a run, and measures how fast they come.

    Args:
        total: how many there will be, as far as is known.
        done: frames of an earlier run that is gone on with.
        doing: as in `Progress`.
        clock: seconds that never go back.

    Example::

        pace = Pace(info.frames)
        for frame in frames:
            sink.write(frame)
            watch(pace.step({"decode": frames.busy}))
    """

    def __init__(
        self,
        total: int | None = None,
        *,
        done: int = 0,
        doing: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._total, self._frames, self._doing, self._clock = total, done, doing, clock
        self._start = clock()
        self._past = deque([(0.0, done)], maxlen=_INSTANTS)

    def step(self, stages: Mapping[str, float]) -> Progress:
        """Count one more frame.

        Args:
            stages: seconds that each stage has worked so far.
        """
        self._frames += 1
        seconds = self._clock() - self._start
        earlier, before = self._past[0]
        if seconds - self._past[-1][0] >= _APART:
            self._past.append((seconds, self._frames))
        rate = (self._frames - before) / (seconds - earlier) if seconds > earlier else 0.0
        return Progress(self._frames, self._total, seconds, dict(stages), rate, self._doing)


class Watcher(ABC):
    """Is called with each `Progress`, and told the end: by `done`, or by the error that leaves the `with` block.

    Example::

        with JsonLines() as watcher:
            report = convert(..., watch=watcher)
            watcher.done(frames=report.frames)
    """

    @abstractmethod
    def __call__(self, progress: Progress) -> None:
        """Show how far the run has come."""

    @abstractmethod
    def done(self, **facts: Any) -> None:
        """Say that all is finished.

        Args:
            facts: what else a machine may want to know; text, numbers, lists and mappings.
        """

    @abstractmethod
    def failed(self, error: BaseException) -> None:
        """Say why it ended before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.failed(error)


class Bar(Watcher):
    """A line at the bottom of a terminal; nothing at all where there is none.

    Args:
        label: stands before the bar.
        position: its line, counted from 0, where several are shown.
        stream: the terminal; None takes stderr.
    """

    def __init__(self, label: str = "", *, position: int | None = None, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._label, self._position = label, position
        self._bar: tqdm[Any] | None = None
        self._doing = ""

    def __call__(self, progress: Progress) -> None:
        if not self._stream.isatty():
            return
        if progress.doing != self._doing:
            self.done()
            self._bar, self._doing = None, progress.doing
        if self._bar is None:
            # Without a total there is no bar to draw, and tqdm's own rate forgets too soon.
            shape = "{l_bar}{bar:10}| " if progress.total else "{desc}: "
            unit = "steps" if progress.doing else "frames"
            self._bar = tqdm(
                total=progress.total,
                initial=progress.frames - 1,
                desc=", ".join(filter(None, [self._label, self._doing])) or None,
                bar_format=shape + "{n_fmt}" + ("/{total_fmt}" if progress.total else "") + f" {unit}{{postfix}}",
                position=self._position,
                file=self._stream,
                leave=False,
                miniters=1,
                mininterval=0.2,
                dynamic_ncols=True,
            )
        self._bar.total = progress.total
        self._bar.set_postfix_str(described(progress), refresh=False)
        self._bar.update(progress.frames - self._bar.n)

    def done(self, **facts: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def failed(self, error: BaseException) -> None:
        self.done()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.done()


class JsonLines(Watcher):
    """JSON for machines, an object a line, each with `event`: `progress` about once a second, then `done` or `error`.

    Args:
        stream: where to; None takes stdout.
        facts: what every line says, such as ``clip="a.mp4"`` where several are matted.
    """

    def __init__(self, stream: TextIO | None = None, **facts: Any) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._facts = facts
        self._last: Progress | None = None
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        if self._last is not None and progress.doing != self._last.doing:
            self._due = 0.0
        self._last = progress
        if progress.seconds < self._due:
            return
        self._due = progress.seconds + _EVERY
        left = progress.left
        self._say("progress", {**_counted(progress), "left": None if left is None else round(left, 1)})

    def done(self, **facts: Any) -> None:
        counted = {} if self._last is None else _counted(replace(self._last, doing=""))
        self._say("done", {**counted, **facts})

    def failed(self, error: BaseException) -> None:
        """Say why, in one line; who interrupts a run gets an error, too."""
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else one_line(error)
        self._say("error", {"message": said or type(error).__name__})

    def _say(self, event: str, facts: Mapping[str, Any]) -> None:
        # Not every terminal or pipe can write every name, but all can write ASCII.
        print(json.dumps({"event": event, **self._facts, **facts}), file=self._stream, flush=True)


def described(progress: Progress) -> str:
    """Rate, time left and what each stage costs, the busiest first: ``4.2/s, 00:36 left, matte 97%, encode 12%``."""
    parts = [f"{progress.rate:.3g}/s"] if progress.rate else []
    if progress.left is not None:
        parts.append(f"{tqdm.format_interval(math.ceil(progress.left))} left")
    busiest_first = sorted(progress.shares.items(), key=lambda item: -item[1])
    return ", ".join([*parts, *(f"{name} {share:.0%}" for name, share in busiest_first)])


def _counted(progress: Progress) -> dict[str, Any]:
    return {
        **({"doing": progress.doing} if progress.doing else {}),
        "frames": progress.frames,
        "total": progress.total,
        "seconds": round(progress.seconds, 3),
        "rate": round(progress.rate, 3),
        "stages": {name: round(seconds, 3) for name, seconds in progress.stages.items()},
    }
