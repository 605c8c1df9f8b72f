"""The loop over clips: hands them out, hears how it goes, keeps the ledger, and goes on when one fails."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from filelock import FileLock, Timeout

from bgmv2.batch.ledger import Ledger, Outcome
from bgmv2.batch.planning import Plan, Task
from bgmv2.errors import OutputError
from bgmv2.progress import Progress
from bgmv2.video.sink import cannot_write

LOCK = ".bgmv2-batch.lock"
ATTEMPTS = 2  # a worker may die of what is not its clip's fault


@dataclass(frozen=True)
class Event:
    """What happened to a clip.

    Args:
        kind: it was `begun`; is `moving`; there is a `warning`; its worker died and it is begun `again`; it is `done`,
            or `failed`; or it was `stopped`, to be gone on with.
        task: the clip's.
        worker: number of the one that has it, from 0 on.
        message: of a warning or an error, in one line.
        progress: of what is moving.
        outcome: of what is done.
    """

    kind: Literal["begun", "moving", "warning", "again", "done", "failed", "stopped"]
    task: Task
    worker: int = 0
    message: str = ""
    progress: Progress | None = None
    outcome: Outcome | None = None


class Crew(Protocol):
    """Those who work: processes of this machine, or a cluster."""

    def __str__(self) -> str:
        """Say who they are, in a phrase."""
        ...

    @property
    def free(self) -> int:
        """How many tasks could be begun now."""
        ...

    def begin(self, task: Task) -> int:
        """Hand a task out; returns the number of the worker."""
        ...

    def wait(self) -> list[Event]:
        """Return what happened since; waits for it, but not for ever. `again` stands for a worker that died."""
        ...

    def stop(self) -> None:
        """Ask all to stop at the next frame; each task then ends with an event."""
        ...

    def close(self) -> None:
        """Let them go; whoever is still at work is ended."""
        ...


@dataclass
class Summary:
    """What came of a batch.

    Args:
        done: now.
        finished: by earlier runs.
        failed: why, by name.
        left: were not begun, or were stopped.
        interrupted: by Ctrl-C.
    """

    done: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    interrupted: bool = False

    def __str__(self) -> str:
        counts = [f"{len(self.done)} done"]
        for number, word in ((self.finished, "finished before"), (self.failed, "failed"), (self.left, "left")):
            counts += [f"{len(number)} {word}"] if number else []
        lines = [", ".join(counts), *(f"failed: {name}: {why}" for name, why in self.failed.items())]
        if self.left or self.interrupted:
            lines.append("what was begun is kept: give the same command again to go on")
        return "\n".join(lines)


def run(
    plan: Plan,
    *,
    workers: int | None = None,
    ray: str | None = None,
    tell: Callable[[Event], None] = lambda event: None,
    introduce: Callable[[Crew], None] = lambda crew: None,
) -> Summary:
    """Matte all clips of a plan; one that fails does not stop the others.

    Workers are processes that import the program's main file again, which must not start a batch when imported.

    Args:
        plan: from `bgmv2.batch.plan`.
        workers: how many clips are worked on at a time; None takes one for each CUDA device, else one for each four
            cores.
        ray: address of a Ray cluster whose machines share the file system, or ``local``; None works here.
        tell: is called with each event, on this thread.
        introduce: is called with those who will work.

    Returns:
        What came of it. Ctrl-C is not raised, but told there: all stop at the next frame, and what they began is kept.

    Raises:
        ValueError: there are no workers.
        OutputError: nothing can be written to the folder of results, or another batch writes there.
        DeviceError: the device is not there, or no cluster is.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"at least 1 worker is needed, got {workers}")
    summary = Summary(finished=[task.name for task in plan.finished])
    if not plan.todo:
        return summary
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{plan.out} cannot be made: {error.strerror}; choose another folder") from error
    with _only(plan.out):
        crew = _crew(plan, workers, ray)
        try:
            introduce(crew)
            _Loop(plan, crew, Ledger.read(plan.out), summary, tell).run()
        finally:
            crew.close()
    return summary


@contextlib.contextmanager
def _only(folder: Path) -> Iterator[None]:
    """See that nobody else keeps this folder's ledger.

    Raises:
        OutputError: somebody does, or nothing can be written there.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(f"another batch writes to {folder}; wait for it, or choose another folder") from None
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _crew(plan: Plan, workers: int | None, ray: str | None) -> Crew:
    # Each is imported where it is used: one needs a package that few have.
    if ray is not None:
        from bgmv2.batch.cluster import Cluster

        return Cluster(ray, plan, limit=workers)
    from bgmv2.batch.local import Processes

    return Processes(plan, count=workers)


class _Loop:
    def __init__(self, plan: Plan, crew: Crew, ledger: Ledger, summary: Summary, tell: Callable[[Event], None]) -> None:
        self._waiting = deque(plan.todo)
        self._running: dict[str, Task] = {}
        self._attempts: dict[str, int] = {}
        self._crew, self._ledger, self._summary, self._tell = crew, ledger, summary, tell

    def run(self) -> None:
        try:
            while self._waiting or self._running:
                while self._waiting and self._crew.free:
                    self._begin(self._waiting.popleft())
                self._hear()
        except KeyboardInterrupt:
            self._summary.interrupted = True
            self._stop()
        self._summary.left = [task.name for task in (*self._running.values(), *self._waiting)]

    def _begin(self, task: Task) -> None:
        self._running[task.name] = task
        self._attempts[task.name] = self._attempts.get(task.name, 0) + 1
        self._ledger.begin(task.name, task.fingerprint, task.job.outputs())
        self._tell(Event("begun", task, self._crew.begin(task)))

    def _hear(self) -> None:
        for event in self._crew.wait():
            name = event.task.name
            if event.kind == "again" and self._attempts[name] >= ATTEMPTS:
                event = Event("failed", event.task, event.worker, event.message)
            if event.kind in ("again", "done", "failed", "stopped"):
                del self._running[name]
            if event.outcome is not None:
                self._ledger.done(event.outcome)
                self._summary.done.append(name)
            elif event.kind == "failed":
                self._ledger.failed(name, event.message)
                self._summary.failed[name] = event.message
            elif event.kind == "stopped":
                self._ledger.stopped(name)
                self._waiting.appendleft(event.task)
            elif event.kind == "again":
                # What was begun is the work of just this job now.
                job = event.task.job
                encode = replace(job.encode, resume=True)
                self._waiting.appendleft(replace(event.task, job=replace(job, encode=encode)))
            self._tell(event)

    def _stop(self) -> None:
        """Let all come to the end of their frames; a second Ctrl-C ends them as they are."""
        try:
            self._crew.stop()
            while self._running:
                self._hear()
        except KeyboardInterrupt:
            return
