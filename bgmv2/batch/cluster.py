"""Workers of a Ray cluster. Its machines share the file system, and each has bgmv2 installed."""

from __future__ import annotations

import functools
import logging
import socket
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import torch

from bgmv2.batch.driver import Event
from bgmv2.batch.ledger import Outcome
from bgmv2.batch.local import CORES
from bgmv2.batch.planning import Plan, Task
from bgmv2.batch.worker import Worker, in_one_line
from bgmv2.errors import Bgmv2Warning, DeviceError, one_line

RETRIES = 3  # of a task whose machine was lost; what that had finished of the clip is gone on with
_PATIENCE = 0.5  # seconds
_KNOCKING = 10.0  # seconds
_LOCKED = 120.0  # seconds for which file servers keep the locks of a machine that was lost


@dataclass(frozen=True)
class _Answer:
    """What a task came to; errors are told rather than raised, since Ray would wrap them.

    Args:
        kind: `done`, `failed` or `stopped`.
        message: why it failed.
        outcome: of what is done.
        warnings: that are meant for people.
    """

    kind: Any
    message: str = ""
    outcome: Outcome | None = None
    warnings: tuple[str, ...] = ()


class Cluster:
    """The machines behind an address; each clip is a task of theirs.

    Args:
        address: as `ray.init` takes it, or ``local`` for a cluster of this machine alone.
        plan: what is to be done.
        limit: tasks at a time at most; None for as many as there is room for.

    Raises:
        DeviceError: Ray is not installed, no cluster is there, or it has no CUDA device although that was asked for.
    """

    def __init__(self, address: str, plan: Plan, *, limit: int | None = None) -> None:
        try:
            import ray
        except ImportError as error:
            raise DeviceError("a cluster needs Ray, which is not installed: pip install 'bgmv2[ray]'") from error
        self._ray = ray
        self._mine = not ray.is_initialized()
        if self._mine:
            try:
                _knock(address)
                mine = {"include_dashboard": False} if address == "local" else {}
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **mine)
            except (OSError, ValueError, RuntimeError) as error:
                raise DeviceError(f"no Ray cluster answers at {address}: {in_one_line(error)}") from error
        self._address, self._out, self._limit = address, str(plan.out), limit
        self._running: dict[Any, tuple[Task, int]] = {}
        self._stopping = False
        wanted = {task.job.run.device for task in plan.todo}
        cards = sum(node.get("GPU", 0) for node in self._nodes())
        if not cards and any(device.startswith("cuda") for device in wanted):
            self.close()
            raise DeviceError(f"no machine of the Ray cluster at {address} has a CUDA device: add one, or take cpu")
        self._cards = int(cards > 0 and wanted != {"cpu"})
        smallest = min((node["CPU"] for node in self._nodes() if node.get("CPU", 0) >= 1), default=CORES)
        self._cores = min(CORES, int(smallest))
        self._do = ray.remote(_do).options(num_cpus=self._cores, num_gpus=self._cards, max_retries=RETRIES)

    def __str__(self) -> str:
        card = " and a CUDA device" if self._cards else ""
        return (
            f"Ray at {self._address}: {len(self._nodes())} machines, room for {self._room()} clips at a time, "
            f"each with {self._cores} core{'s' * (self._cores > 1)}{card}"
        )

    @property
    def free(self) -> int:
        """How many tasks could be begun now."""
        room = self._room() if self._limit is None else self._limit
        # One more waits in line, so that a cluster which grows with its load knows of it, and none is idle.
        return 0 if self._stopping else max(0, room + (self._limit is None) - len(self._running))

    def begin(self, task: Task) -> int:
        """Hand a task out."""
        taken = {number for _, number in self._running.values()}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        reference = self._do.remote(task.name, task.fingerprint, task.job.to_json(), self._out, self._cores)
        self._running[reference] = task, number
        return number

    def wait(self) -> list[Event]:
        """Return what happened since."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=_PATIENCE)
        return [event for reference in ready for event in self._hear(reference)]

    def stop(self) -> None:
        """Ask all to stop."""
        self._stopping = True
        for reference in self._running:
            self._ray.cancel(reference, force=False)

    def close(self) -> None:
        """Leave the cluster; what is still at work there is ended."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        if self._mine:
            self._ray.shutdown()

    def _hear(self, reference: Any) -> list[Event]:
        task, number = self._running.pop(reference)
        try:
            answer: _Answer = self._ray.get(reference)
        except self._ray.exceptions.TaskCancelledError:
            answer = _Answer("stopped")
        except self._ray.exceptions.RayError as error:
            # Ray has tried it again already.
            said = one_line(error)
            answer = _Answer("failed", message=f"its machines were lost: {type(error).__name__}: {said[:200]}")
        told = [Event("warning", task, number, message) for message in answer.warnings]
        return [*told, Event(answer.kind, task, number, answer.message, outcome=answer.outcome)]

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _room(self) -> int:
        """How many tasks fit onto the machines at a time."""
        room = 0
        for node in self._nodes():
            of_cores = int(node.get("CPU", 0) // self._cores)
            room += min(of_cores, int(node.get("GPU", 0))) if self._cards else of_cores
        return max(1, room)


def _knock(address: str) -> None:
    """Ask whether anybody is at an address, where it has a port: Ray itself would wait for minutes.

    Raises:
        OSError, ValueError: nobody is, or it is no address.
    """
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.port is not None:
        socket.create_connection((parts.hostname or "", parts.port), timeout=_KNOCKING).close()


def _do(name: str, fingerprint: str, text: str, out: str, cores: int) -> _Answer:
    """Do a task on a machine of the cluster."""
    torch.set_num_threads(cores)
    cv2.setNumThreads(cores)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", Bgmv2Warning)
        try:
            answer = _Answer("done", outcome=_worker(out).do(name, fingerprint, text))
        except KeyboardInterrupt:
            answer = _Answer("stopped")
        except Exception as error:  # a defect in one clip, or in us, must not stop the others
            answer = _Answer("failed", message=in_one_line(error))
    if answer.kind == "stopped":  # what is kept, and how to go on, is told once by the driver
        return answer
    told = tuple(one_line(warning.message) for warning in caught)
    return _Answer(answer.kind, answer.message, answer.outcome, told)


@functools.lru_cache(maxsize=1)  # processes of Ray serve several tasks, and the network is loaded once for all
def _worker(out: str) -> Worker:
    return Worker(Path(out), patience=_LOCKED)
