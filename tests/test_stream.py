import threading
import time

import pytest

from bgmv2 import stream
from bgmv2.stream import Latest, Prefetch


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]


class Source:
    """Counts endlessly, and notes in which thread it ends."""

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.given = 0
        self.ended_in = None

    def __iter__(self):
        try:
            while True:
                if self.given == self.fail_at:
                    raise OSError("the disk is gone")
                self.given += 1
                yield self.given
        finally:
            self.ended_in = threading.current_thread()


def test_all_items_in_order():
    with Prefetch(range(100), depth=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_none_is_an_item():
    with Prefetch([None, None]) as items:
        assert list(items) == [None, None]


def test_the_thread_is_not_a_daemon_and_runs_ahead_no_further_than_the_depth():
    source = Source()
    with Prefetch(source, depth=2) as items:
        (thread,) = (t for t in threading.enumerate() if t.name == "bgmv2-prefetch")
        assert not thread.daemon
        assert next(items) == 1
        while source.given < 4:
            time.sleep(0.001)
        time.sleep(0.02)
        # One was taken, two wait in the queue, and one waits for room.
        assert source.given == 4


def test_an_error_comes_after_the_items_before_it():
    got = []
    with Prefetch(Source(fail_at=3), depth=2) as items, pytest.raises(OSError, match="the disk is gone"):
        for item in items:
            got.append(item)
    assert got == [1, 2, 3]


def test_an_error_is_raised_once_and_ends_the_items():
    with Prefetch(Source(fail_at=0)) as items:
        with pytest.raises(OSError):
            next(items)
        assert list(items) == []


def test_an_iterable_that_cannot_even_start():
    with Prefetch(5) as items, pytest.raises(TypeError):  # type: ignore[arg-type]
        next(items)


def test_stopping_early_ends_the_source_in_its_own_thread():
    source = Source()
    with Prefetch(iter(source), depth=1) as items:
        assert next(items) == 1
    assert source.ended_in is not None
    assert source.ended_in is not threading.current_thread()


def test_closing_while_the_producer_waits_for_room():
    source = Source()
    items = Prefetch(iter(source), depth=1)
    while source.given < 2:
        time.sleep(0.001)
    items.close()
    items.close()
    assert source.ended_in is not None
    assert list(items) == []


def test_closing_before_the_first_item():
    Prefetch(Source()).close()


def test_an_error_after_closing_reaches_nobody():
    class Grumpy:
        def __iter__(self):
            try:
                while True:
                    yield 1
            finally:
                raise OSError("too late")

    with Prefetch(iter(Grumpy()), depth=1) as items:
        assert next(items) == 1


def test_an_exception_of_the_consumer_passes_through():
    source = Source()
    with pytest.raises(KeyboardInterrupt), Prefetch(iter(source)) as items:
        next(items)
        raise KeyboardInterrupt
    assert source.ended_in is not None


def test_closing_the_outer_unwinds_the_inner():
    source = Source()
    inner = Prefetch(iter(source), depth=1)
    outer = Prefetch(inner, depth=1)
    assert next(outer) == 1
    outer.close()
    assert source.ended_in is not None
    inner.close()


@pytest.mark.parametrize("inner_first", [False, True])
def test_stages_unwind_in_either_order(inner_first):
    source = Source()
    inner = Prefetch(iter(source), depth=1)
    outer = Prefetch((2 * item for item in inner), depth=1)
    assert next(outer) == 2
    for stage in (inner, outer) if inner_first else (outer, inner):
        stage.close()
    assert source.ended_in is not None


def test_closing_wakes_a_consumer_that_waits():
    release = threading.Event()

    def slow():
        release.wait()
        yield 1

    items = Prefetch(slow())
    got = []
    consumer = threading.Thread(target=lambda: got.extend(items))
    consumer.start()
    closer = threading.Thread(target=items.close)
    closer.start()
    # The consumer comes back although the source is still stuck.
    consumer.join(10)
    assert not consumer.is_alive()
    release.set()
    closer.join()
    assert got == []


def test_an_error_passes_through_all_stages():
    inner = Prefetch(Source(fail_at=2))
    with inner, Prefetch(item for item in inner) as outer:
        assert [next(outer), next(outer)] == [1, 2]
        with pytest.raises(OSError, match="the disk is gone"):
            next(outer)


def test_each_stage_counts_its_own_work(monkeypatch):
    """Each thread has a clock of its own here, which only work advances, so the sums are exact."""
    clock = threading.local()
    monkeypatch.setattr(stream.time, "perf_counter", lambda: getattr(clock, "now", 0.0))

    def work(seconds):
        clock.now = stream.time.perf_counter() + seconds

    def decode():
        for index in range(5):
            work(3.0)
            yield index

    def align(items):
        for item in items:
            work(1.0)
            yield item

    with Prefetch(decode()) as decoded, Prefetch(align(decoded)) as aligned:
        assert len(list(aligned)) == 5
    assert decoded.busy == 15.0
    assert aligned.busy == 5.0


def test_waiting_is_counted_for_the_thread_that_waits(monkeypatch):
    """One clock for all, which the source advances only once its consumer has begun to wait."""
    now = 0.0
    waits = threading.Event()

    def clock():
        before = now
        if threading.current_thread() is threading.main_thread():
            waits.set()
        return before

    def decode():
        nonlocal now
        waits.wait()
        now = 3.0
        yield 1

    monkeypatch.setattr(stream.time, "perf_counter", clock)
    before = stream._waiting.seconds
    with Prefetch(decode()) as items:
        assert next(items) == 1
    assert stream._waiting.seconds - before == 3.0
    assert items.busy == 3.0


def test_waiting_is_not_work(monkeypatch):
    now = 0.0

    def align():
        nonlocal now
        now += 5.0
        stream._waiting.seconds += 4.0
        yield 1

    monkeypatch.setattr(stream.time, "perf_counter", lambda: now)
    with Prefetch(align()) as items:
        assert list(items) == [1]
    assert items.busy == 1.0


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth):
    with pytest.raises(ValueError, match="depth"):
        Prefetch([], depth=depth)


class Lockstep:
    """A source that gives its next item only when the test says so, as a camera does by its clock."""

    def __init__(self):
        self._go = threading.Semaphore(0)
        self._given = threading.Semaphore(0)

    def __iter__(self):
        for number in range(100):
            self._go.acquire()
            if self._over:
                return
            yield number
            # Asked for the next one: this one has been put.
            self._given.release()

    _over = False

    def give(self, count):
        for _ in range(count):
            self._go.release()
            self._given.acquire()

    def end(self):
        self._over = True
        self._go.release()


def test_the_latest_item_wins_and_the_others_are_counted():
    source = Lockstep()
    with Latest(source) as items:
        source.give(1)
        assert next(items) == 0
        source.give(5)
        assert next(items) == 5
        source.give(2)
        source.end()
        assert list(items) == [7]
        assert items.dropped == 4 + 1


def test_a_source_never_waits_for_the_consumer_of_the_latest():
    source = Lockstep()
    with Latest(source):
        source.give(50)  # returns although nobody takes anything
        source.end()


def test_an_error_comes_behind_the_latest_item():
    with Latest(Source(fail_at=3)) as items:
        while not items._finished:
            time.sleep(0.001)
        assert next(items) == 3
        with pytest.raises(OSError, match="the disk is gone"):
            next(items)


def test_waiting_for_an_item_can_be_given_up():
    source = Lockstep()
    with Latest(source) as items:
        assert items.within(0.001, None) is None
        source.give(1)
        assert items.within(0.001, None) == 0
        source.end()
        with pytest.raises(StopIteration):
            items.within(10, None)


def test_a_source_that_does_not_return_is_not_waited_for_longer_than_was_said():
    returns = threading.Event()

    def stuck():
        yield 1
        returns.wait()

    items = Latest(stuck(), patience=0.05)
    (thread,) = (t for t in threading.enumerate() if t.name == "bgmv2-prefetch")
    assert next(items) == 1
    items.close()
    assert thread.is_alive() and thread.daemon
    returns.set()
    thread.join()
