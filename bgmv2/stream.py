"""Stages that run side by side: a bounded queue between a thread that produces and whoever consumes.

A stage is a plain generator. `Prefetch` runs it in a thread of its own, a few items ahead::

    with Prefetch(reader) as decoded, Prefetch(align(decoded)) as aligned:
        for frame in aligned:
            writer.write(frame)

Where a camera goes on whether anybody is ready or not, `Latest` takes the place of `Prefetch`: only the newest item
waits, so no delay can grow.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")
D = TypeVar("D")


class _Waiting(threading.local):
    """How long the current thread has waited for items of any `Prefetch`, in seconds."""

    seconds = 0.0


_waiting = _Waiting()


class Prefetch(Generic[T], Iterator[T]):
    """Iterate a source one thread ahead of its consumer, through a bounded queue.

    An error of the source reaches the consumer as it is, after the items that came before it. Errors after `close`
    reach nobody: the consumer has stopped asking. The thread is not a daemon, so close what you open, best by `with`.

    Args:
        iterable: the source; its `close`, if it has one, is called in the producing thread. So generators unwind where
            they ran, and closing the outer of two directly nested `Prefetch` closes the inner one, too.
        depth: how many items may wait in the queue, at least 1.

    Raises:
        ValueError: the depth is below 1.

    Attributes:
        busy: seconds the source has worked so far. What it spent waiting for a `Prefetch` before it is not its work
            and is not counted, however many generators stand between the two; nor is waiting for room in the queue.
    """

    # How long `close` waits for the thread, in seconds; None waits until it has ended.
    _patience: float | None = None

    def __init__(self, iterable: Iterable[T], depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"at least one item is prefetched, got {depth = }")
        self.busy = 0.0
        self._iterable = iterable
        self._depth = depth
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._finished = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._produce, name="bgmv2-prefetch", daemon=self._patience is not None)
        self._thread.start()

    def __iter__(self) -> Prefetch[T]:
        return self

    def __next__(self) -> T:
        start = time.perf_counter()
        try:
            with self._changed:
                self._changed.wait_for(self._tells)
                if self._items:
                    self._changed.notify_all()
                    return self._items.popleft()
                error, self._error = self._error, None
        finally:
            _waiting.seconds += time.perf_counter() - start
        if error is not None and not self._stopped:
            raise error
        raise StopIteration

    def within(self, seconds: float, default: D) -> T | D:
        """Do what `next` does, but wait no longer than so many seconds, after which `default` is returned."""
        with self._changed:
            if not self._changed.wait_for(self._tells, timeout=seconds):
                return default
        return next(self)

    def stop(self) -> None:
        """Stop the source and drop what it has produced, but do not wait for its thread; may be called twice."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the source, drop what it has produced, and wait until its thread has ended; may be called twice."""
        self.stop()
        self._thread.join(self._patience)

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tells(self) -> bool:
        """Whether the consumer need not wait: there is an item, or there will be none any more."""
        return bool(self._items) or self._finished or self._stopped

    def _produce(self) -> None:
        error: BaseException | None = None
        try:
            self._pump()
        except BaseException as raised:
            error = raised
        with self._changed:
            self._error = error
            self._finished = True
            self._changed.notify_all()

    def _pump(self) -> None:
        iterator = iter(self._iterable)
        try:
            while not self._stopped:
                start, waited = time.perf_counter(), _waiting.seconds
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    self.busy += time.perf_counter() - start - (_waiting.seconds - waited)
                self._put(item)
                del item  # from here on it is the consumer's alone, and goes when he is done with it
        finally:
            for source in (iterator, self._iterable):
                close = getattr(source, "close", None)
                if close is not None:
                    close()

    def _put(self, item: T) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._stopped)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()


class Latest(Prefetch[T]):
    """A `Prefetch` that never lets its source wait: an item that nobody has taken yet gives way to the next one.

    Args:
        iterable: the source, which goes on at its own pace.
        patience: `close` waits no longer for a source that does not return, in seconds, and leaves its thread to end
            with the process; None waits until it has ended.

    Attributes:
        dropped: items that nobody has got.
    """

    def __init__(self, iterable: Iterable[T], *, patience: float | None = None) -> None:
        self.dropped = 0
        self._patience = patience
        super().__init__(iterable, depth=1)

    def _put(self, item: T) -> None:
        with self._changed:
            if not self._stopped:
                self.dropped += len(self._items)
                self._items.clear()
                self._items.append(item)
                self._changed.notify_all()
