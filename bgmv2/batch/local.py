"""Workers on this machine: a process each, with its share of the cores and of the CUDA devices."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

import cv2
import torch

from bgmv2.batch.driver import Event
from bgmv2.batch.planning import Plan, Task
from bgmv2.batch.worker import Worker, in_one_line
from bgmv2.device import choose_device
from bgmv2.errors import Bgmv2Warning, one_line
from bgmv2.export import is_exported
from bgmv2.memory import keep_memory
from bgmv2.nn.checkpoint import load_model
from bgmv2.progress import Progress

CORES = 4  # for a worker without a graphics card: more threads wait for each other rather than work
_PATIENCE = 0.5  # seconds
_EVERY = 0.2  # seconds between two reports of progress
_STOP = "stop"


class Processes:
    """Processes that take one task after another.

    Args:
        plan: what is to be done.
        count: of processes; None chooses.

    Raises:
        DeviceError: a device is not there.
        WeightsError: the weights are missing or damaged.
    """

    def __init__(self, plan: Plan, *, count: int | None = None) -> None:
        runs = {replace(task.job.run, align="off") for task in plan.todo}
        devices = {run.device: choose_device(run.device) for run in runs}
        for weights in {run.weights for run in runs}:
            if not is_exported(weights):
                load_model(weights)  # what is wrong is said once, not of each clip
        shared = [name for name, device in devices.items() if name in ("auto", "cuda") and device.type == "cuda"]
        cards = torch.cuda.device_count() if shared else 0
        cores = _cores()
        if count is None:
            on_cpu = all(device.type == "cpu" for device in devices.values())
            count = cards or (max(1, cores // CORES) if on_cpu else 1)
        count = min(count, len(plan.todo))
        self._out = plan.out
        self._cores = max(1, cores // count)
        self._where = ", ".join(sorted({str(device) for device in devices.values()}))
        self._devices = [f"cuda:{number % cards}" if cards else None for number in range(count)]
        self._hands: list[_Hand | None] = [None] * count
        self._stopping = False

    def __str__(self) -> str:
        count = len(self._hands)
        return (
            f"{count} worker{'s' * (count > 1)} with {self._cores} core{'s' * (self._cores > 1)}"
            f"{' each' * (count > 1)}, on {self._where}"
        )

    @property
    def free(self) -> int:
        """How many tasks could be begun now."""
        return 0 if self._stopping else sum(hand is None or hand.task is None for hand in self._hands)

    def begin(self, task: Task) -> int:
        """Hand a task out; the process is started where it is not there yet."""
        number, hand = next(
            (number, hand) for number, hand in enumerate(self._hands) if hand is None or hand.task is None
        )
        if hand is None or not hand.begin(task):
            if hand is not None:
                hand.close()
            hand = self._hands[number] = _Hand(number, self._out, self._cores, self._devices[number])
            hand.begin(task)
        return number

    def wait(self) -> list[Event]:
        """Return what happened since."""
        hands = [hand for hand in self._hands if hand is not None and hand.task is not None]
        ready = connection.wait([hand.line for hand in hands], timeout=_PATIENCE)
        events = []
        for hand in hands:
            if hand.line not in ready:
                continue
            events.append(hand.hear())
            if events[-1].kind == "again":
                hand.close()
                self._hands[events[-1].worker] = None
        return events

    def stop(self) -> None:
        """Ask all to stop at the next frame."""
        self._stopping = True
        for hand in filter(None, self._hands):
            hand.stop()

    def close(self) -> None:
        """End all."""
        for hand in filter(None, self._hands):
            hand.close()


class _Hand:
    """A process and the line to it."""

    def __init__(self, number: int, out: Path, cores: int, device: str | None) -> None:
        self._number = number
        self.task: Task | None = None
        # Not forked: threads of torch and its CUDA context do not survive that.
        context = get_context("spawn")
        self.line, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, str(out), cores, device), name=f"bgmv2-{number}", daemon=True
        )
        with _heirs(cores):
            self._process.start()
        theirs.close()  # else nobody would notice its end

    def begin(self, task: Task) -> bool:
        """Hand a task out; False if the process is gone."""
        try:
            self.line.send((task.name, task.fingerprint, task.job.to_json()))
        except OSError:
            return False
        self.task = task
        return True

    def hear(self) -> Event:
        """Take one message."""
        task = self.task
        assert task is not None
        try:
            kind, content = self.line.recv()
        except (EOFError, OSError):
            self._process.join()
            return Event("again", task, self._number, _end_of(self._process.exitcode))
        if kind in ("done", "failed", "stopped"):
            self.task = None
        return Event(kind, task, self._number, **content)

    def stop(self) -> None:
        """Ask it to stop at the next frame."""
        with contextlib.suppress(OSError):
            self.line.send(_STOP)

    def close(self) -> None:
        """End it; what it is at stays as it is on the disk."""
        self.line.close()
        if self.task is None:
            self._process.join(_PATIENCE)  # it ends when it finds the line closed
        self._process.kill()
        self._process.join()


def _work(line: connection.Connection, out: str, cores: int, device: str | None) -> None:
    """Do what comes along the line, until it is closed."""
    torch.set_num_threads(cores)
    cv2.setNumThreads(cores)
    voice = threading.Lock()  # stages warn from threads of their own

    def say(kind: str, **content: Any) -> None:
        with voice, contextlib.suppress(OSError):
            line.send((kind, content))

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", Bgmv2Warning)
    keep_memory()
    worker = Worker(Path(out), device=device)
    due = 0.0
    is_stopping = False

    def warn(message: Warning | str, *_: object, **__: object) -> None:
        if not is_stopping:  # what is kept, and how to go on, is told once by the driver
            say("warning", message=one_line(message))

    warnings.showwarning = warn

    def watch(progress: Progress) -> None:
        nonlocal due, is_stopping
        is_stopping = line.poll()  # because that is asked for, or the driver is gone
        if is_stopping:
            raise KeyboardInterrupt
        if time.monotonic() >= due:
            due = time.monotonic() + _EVERY
            say("moving", progress=progress)

    while True:
        try:
            message = line.recv()
        except (EOFError, OSError):
            return
        if message == _STOP:
            continue
        try:
            due, is_stopping = 0.0, False
            say("done", outcome=worker.do(*message, watch=watch))
        except KeyboardInterrupt:
            say("stopped")
        except Exception as error:  # a defect in one clip, or in us, must not stop the others
            say("failed", message=in_one_line(error))


@contextlib.contextmanager
def _heirs(cores: int) -> Iterator[None]:
    """What processes that are started meanwhile find: their number of threads, and no ear for Ctrl-C.

    A terminal sends that to all; but only the driver may say when to stop, or it would hit them while they start.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(cores)
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _cores() -> int:
    """The cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(chosen)) if chosen.isdecimal() and int(chosen) > 0 else allowed


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        why = ", as when memory is short" if name == "SIGKILL" else ""
        return f"its worker was ended by {name}{why}; try fewer --workers, or look at this clip alone"
    return f"its worker ended with exit code {code}; try fewer --workers, or look at this clip alone"
