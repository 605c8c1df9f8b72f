"""What a worker does with a task, on this machine or elsewhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from bgmv2.batch.job import Job, run_job
from bgmv2.batch.ledger import Journal, Outcome
from bgmv2.config import RunConfig
from bgmv2.errors import one_line
from bgmv2.job import name_of
from bgmv2.matter import Matter
from bgmv2.progress import Progress
from bgmv2.video.sink import parts_of


class Worker:
    """Does one task after another, and loads the network once for all that want the same.

    Args:
        out: the folder of all results.
        device: where to compute what is not bound to another device; None leaves the choice to the job.
        patience: seconds to wait for another copy of a task to end, where there may be one.
    """

    def __init__(self, out: Path, *, device: str | None = None, patience: float = 0.0) -> None:
        self._patience = patience
        self._journal = Journal(out)
        self._out = out
        self._device = device
        self._loaded: tuple[RunConfig, Matter] | None = None

    def do(self, name: str, fingerprint: str, text: str, *, watch: Callable[[Progress], None] | None = None) -> Outcome:
        """Matte a clip, unless that was finished before.

        Args:
            name: of the task.
            fingerprint: of its job.
            text: the job in JSON.
            watch: is called after each frame, and may raise to stop.

        Raises:
            Bgmv2Error: as `bgmv2.convert`.
        """
        job = Job.from_json(text)
        for path in job.results.values():
            self._wait_for(Path(path))
        finished = self._journal.find(name, fingerprint)
        if finished is not None:
            return finished
        if self._device is not None and job.run.device in ("auto", "cuda"):
            job = replace(job, run=replace(job.run, device=self._device))
        report = run_job(job, matter=self._matter(job.run), watch=watch)
        results = {role: (os.path.relpath(path, self._out), name_of(path)) for role, path in job.outputs().items()}
        outcome = Outcome(name, fingerprint, results, report.frames, round(report.seconds, 3), report.resumed)
        self._journal.add(outcome)
        return outcome

    def _wait_for(self, result: Path) -> None:
        """Let who writes a result come to an end; a machine that was lost may not know it yet."""
        lock = parts_of(result) / "lock"
        if self._patience and lock.exists():
            # What is still locked then, or gone now, is told by who wants to write.
            with contextlib.suppress(Timeout, OSError), FileLock(lock).acquire(timeout=self._patience):
                return

    def _matter(self, run: RunConfig) -> Matter:
        wanted = replace(run, align="off")  # which has no part in the network
        if self._loaded is None or self._loaded[0] != wanted:
            self._loaded = None  # the old one's memory is wanted for the new one
            self._loaded = wanted, Matter.from_config(run)
        return self._loaded[1]


def in_one_line(error: BaseException) -> str:
    """Say what went wrong; errors that are not meant for people are called by their kind, too."""
    said = one_line(error)
    if isinstance(error, MemoryError):
        return said or "out of memory"
    if type(error).__module__.partition(".")[0] == "bgmv2" or isinstance(error, OSError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
