"""A session: the camera, the studio and the outputs run side by side until somebody ends it.

Capture, matting and output have a thread each. Between them only the latest picture waits, so what others see is never
older than the work on two pictures, however slow the machine is.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from bgmv2.live.outputs import Outputs
from bgmv2.live.preview import Preview
from bgmv2.live.studio import Shown, Studio
from bgmv2.memory import Lid
from bgmv2.stream import Latest
from bgmv2.video.camera import Feed

# The main thread looks for keys so often, in seconds; and the virtual camera gets a picture at least so often.
_TICK, _ALIVE = 0.02, 0.1
# Latency and rate look back on so many pictures.
_REMEMBERED = 300
# Whether anybody watches is asked so often; programs that look whether there is a camera open and close it, so that
# rest comes only after a while.
_ASKED, _REST = 0.5, 10.0
# What is going on is said so often where there is no preview.
_SAID = 5.0
# At the end, a camera that does not return is waited for so long, in seconds.
_PATIENCE = 5.0
# Ctrl-C so many seconds after the first one breaks off what hangs.
_HANGS = 10.0


@dataclass(frozen=True)
class LiveReport:
    """What a session did.

    Args:
        frames: that were matted and shown.
        hidden: pictures that were kept back because the plate did not fit.
        dropped: of the camera's that were too old when their turn came.
        seconds: of the session.
        rate: frames a second, lately.
        latency: from the camera's picture to the output, in seconds: the median lately.
        latency_95: 19 of 20 frames took no longer.
        outages: how often the camera was lost.
        losses: how often the virtual camera was lost.
        effort: what each picture was worth at the end.
        trouble: why the recording was given up; empty if it was not.
    """

    frames: int
    hidden: int
    dropped: int
    seconds: float
    rate: float
    latency: float
    latency_95: float
    outages: int
    losses: int
    effort: str
    trouble: str = ""

    def __str__(self) -> str:
        """Say it in a line, or two."""
        lines = [
            f"{self.frames} frames shown, {self.hidden} kept back, {self.dropped} dropped in {self.seconds:.1f} s",
            f"{self.rate:.1f} a second at {self.effort}; "
            f"latency {_ms(self.latency)}, 95 % below {_ms(self.latency_95)}",
        ]
        if self.outages or self.losses:
            lines.append(f"camera lost {self.outages} times, virtual camera {self.losses} times")
        return "\n".join([*lines, *([self.trouble] if self.trouble else [])])


class Session:
    """Runs until the clip in the place of a camera ends, somebody presses Q, or Ctrl-C.

    Args:
        feed: the camera, which is closed in the thread that reads it.
        studio: what is made of its pictures.
        outputs: where they go.
        preview: the window; None does without.
        lazy: rest while nobody watches.
        say: is told from time to time what is going on, in a line.
        clock: tells the time in seconds, as that of the feed.
    """

    def __init__(
        self,
        feed: Feed,
        studio: Studio,
        outputs: Outputs,
        *,
        preview: Preview | None = None,
        lazy: bool = False,
        say: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed, self._studio, self._outputs, self._preview = feed, studio, outputs, preview
        self._lazy = lazy and preview is None and not outputs.records
        self._say, self._clock = say, clock
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        self._stamps: deque[float] = deque(maxlen=_REMEMBERED)
        self._frames = self._hidden = 0
        self._frozen: np.ndarray | None = None
        self._said = ("", 0.0)
        self._watched_at = self._asked_at = clock()

    def run(self) -> LiveReport:
        """Do it.

        Raises:
            Bgmv2Error: a plate cannot be used, or the recording cannot be finished.
        """
        start = self._clock()
        with _interruptible() as ended, ExitStack() as stack:
            stack.enter_context(self._outputs)
            shots = Latest(self._feed, patience=_PATIENCE)
            stack.callback(shots.close)
            shown = Latest(self._studio.develop(shots))
            stack.callback(shown.close)
            # The studio may wait for a camera that is stalled.
            stack.callback(shots.stop)
            self._loop(shown, ended)
        dropped = shots.dropped + shown.dropped
        return self._report(self._clock() - start, dropped)

    def _loop(self, pictures: Latest[Shown], ended: threading.Event) -> None:
        last: Shown | None = None
        sent_at, lid = self._clock(), Lid()
        while not ended.is_set():
            try:
                shown = pictures.within(_TICK, None)
            except StopIteration:
                return
            now = self._clock()
            if shown is not None:
                last, sent_at = shown, now
                self._put(shown)
                lid()
            elif last is not None and now - sent_at > _ALIVE:
                sent_at = now
                self._outputs.repeat(last.picture if self._frozen is None else self._frozen)
            if self._preview is not None and not self._answer(self._preview, last):
                return
            self._rest(now)

    def _put(self, shown: Shown) -> None:
        """Hand a picture to all who wait for it."""
        self._outputs.show(shown.picture if self._frozen is None else self._frozen, self._clock())
        now = self._clock()
        if shown.stamp is not None and self._frozen is None:
            self._frames += 1
            self._latencies.append(now - shown.stamp)
            self._stamps.append(now)
        elif shown.phase == "mismatch":
            self._hidden += 1
        trouble = self._outputs.trouble
        note = "; ".join(filter(None, ["frozen" if self._frozen is not None else shown.note, trouble]))
        if self._preview is not None:
            alert = shown.phase != "live" or self._frozen is not None or bool(trouble)
            self._preview.show(shown.view, note, self._facts(), alert=alert)
        self._tell(f"{shown.phase}: {note}" if note else shown.phase, now)

    def _tell(self, what: str, now: float) -> None:
        """Say what is new at once, and the numbers from time to time."""
        before, at = self._said
        if what != before or now - at > _SAID:
            self._said = what, now
            facts = self._facts()
            self._say(f"{what} ({facts})" if facts else what)

    def _answer(self, preview: Preview, last: Shown | None) -> bool:
        """Do what was asked for by a key; False ends the session."""
        action = preview.pressed()
        if action == "quit":
            return False
        if action == "freeze" and last is not None:
            self._frozen = last.picture if self._frozen is None else None
        elif action in ("plate", "go", "backdrop", "view"):
            self._studio.wish(action)
        return True

    def _rest(self, now: float) -> None:
        """Rest while nobody watches; wake at once."""
        if not self._lazy or self._outputs.virtual is None or now - self._asked_at < _ASKED:
            return
        self._asked_at = now
        # Who cannot tell must go on.
        if self._outputs.virtual.is_watched() is not False:
            self._watched_at = now
        self._studio.is_idle = now - self._watched_at > _REST

    def _facts(self) -> str:
        if len(self._latencies) < 2:
            return ""
        low, high = _quantiles(self._latencies)
        return f"{self._rate():.1f} a second, {_ms(low)} behind (95 %: {_ms(high)}), {self._studio.effort}"

    def _rate(self) -> float:
        span = self._stamps[-1] - self._stamps[0] if len(self._stamps) > 1 else 0.0
        return (len(self._stamps) - 1) / span if span > 0 else 0.0

    def _report(self, seconds: float, dropped: int) -> LiveReport:
        low, high = _quantiles(self._latencies)
        virtual = self._outputs.virtual
        return LiveReport(
            frames=self._frames,
            hidden=self._hidden,
            dropped=dropped,
            seconds=seconds,
            rate=self._rate(),
            latency=low,
            latency_95=high,
            outages=self._feed.outages,
            losses=0 if virtual is None else virtual.losses,
            effort=self._studio.effort,
            trouble=self._outputs.trouble,
        )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let Ctrl-C set a flag, the usual way to end a session without a preview: nothing that is written breaks off."""
    ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # where Python takes no signals
        yield ended
        return
    first = 0.0

    def note(*_: object) -> None:
        nonlocal first
        if not ended.is_set():
            first = time.monotonic()
            ended.set()
        elif time.monotonic() - first > _HANGS:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield ended
    finally:
        signal.signal(signal.SIGINT, before)


def _quantiles(latencies: deque[float]) -> tuple[float, float]:
    if not latencies:
        return 0.0, 0.0
    low, high = np.quantile(list(latencies), [0.5, 0.95])
    return float(low), float(high)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"
