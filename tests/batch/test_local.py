"""Real processes: they share out the cores, come back from the dead once, and leave everything to be gone on with."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch

import bgmv2
from bgmv2.batch import local, run
from bgmv2.batch.local import Processes

from .conftest import assert_alike


def on(scene, **changes):
    """The same clips, computed in another way."""
    return replace(scene, settings=replace(scene.settings, run=replace(scene.settings.run, **changes)))


def test_clips_are_matted_side_by_side_and_one_that_fails_stops_nobody(shots):
    scene = shots(4)
    clip = scene.folder / "b.mkv"
    clip.write_bytes(clip.read_bytes()[:500])
    events = []
    summary = run(scene.plan(), workers=2, tell=events.append)
    assert sorted(summary.done) == ["a", "day/c"] and list(summary.failed) == ["b"]
    assert "b.mkv" in summary.failed["b"] and "\n" not in summary.failed["b"]
    assert {event.worker for event in events} == {0, 1}
    for name in ("a", "day/c"):
        assert_alike(scene.frames(name), scene.expected(name))
    moved = [event.progress for event in events if event.progress is not None]
    assert moved and all(progress.total == 4 for progress in moved)

    again = scene.plan()
    assert [task.name for task in again.todo] == ["b"] and len(again.finished) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
def test_a_worker_that_is_killed_is_replaced_and_its_clip_gone_on_with(shots):
    scene = shots(24, ("a",))
    events = []

    killed = []

    def kill_once(event):
        events.append(event)
        if killed or event.kind != "moving":
            return
        (worker,) = multiprocessing.active_children()
        os.kill(worker.pid, signal.SIGINT)  # as a terminal sends it to all; only the driver says when to stop
        if list(scene.out.glob(".a.pha.mkv.parts/mark-*.json")):
            os.kill(worker.pid, signal.SIGKILL)
            killed.append(event.progress.frames)

    summary = run(scene.plan(), workers=1, tell=kill_once)
    assert killed and summary.done == ["a"]
    kinds = [event.kind for event in events if event.kind not in ("moving", "warning")]
    assert kinds == ["begun", "again", "begun", "done"]
    (again,) = [event for event in events if event.kind == "again"]
    assert again.message.startswith("its worker was ended by SIGKILL, as when memory is short")
    behind = [event.progress.frames for event in events[events.index(again) :] if event.progress]
    assert behind[0] > 5, "what was finished is not done again"
    assert_alike(scene.frames("a"), scene.expected("a"))
    (outcome,) = scene.published()
    assert outcome.resumed >= 5 and outcome.resumed % 5 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other interrupts")
def test_ctrl_c_stops_at_the_next_frame_and_the_rest_is_done_later(shots):
    scene = shots(240, ("a", "b"))

    def interrupt(event):
        # The worker goes on meanwhile, and how fast depends on the machine: it is stopped once some of it is finished.
        until = time.monotonic() + 60
        while event.kind == "moving" and time.monotonic() < until:
            if list(scene.out.glob(".*.parts/mark-*.json")):
                signal.raise_signal(signal.SIGINT)
                return
            time.sleep(0.001)

    summary = run(scene.plan(), workers=1, tell=interrupt)
    assert summary.interrupted and sorted(summary.left) == ["a", "b"] and not summary.done
    assert not multiprocessing.active_children()
    assert list(scene.out.glob(".*.parts/mark-*.json")), "what is finished of the clip is kept"
    assert not list(scene.out.glob("*.mkv"))

    firsts = {}

    def note(event):
        if event.progress is not None:
            firsts.setdefault(event.task.name, event.progress.frames)

    summary = run(scene.plan(), workers=1, tell=note)
    assert sorted(summary.done) == ["a", "b"]
    for name in ("a", "b"):
        assert_alike(scene.frames(name), scene.expected(name))
    assert min(firsts.values()) == 1 and max(firsts.values()) > 5, "one was gone on with"


@pytest.mark.parametrize(
    ("cores", "chosen", "count", "said"),
    [
        (8, None, None, "2 workers with 4 cores each, on cpu"),
        (8, None, 3, "3 workers with 2 cores each, on cpu"),
        (2, None, None, "1 worker with 2 cores, on cpu"),
        (2, None, 3, "3 workers with 1 core each, on cpu"),
        (64, None, None, "3 workers with 21 cores each, on cpu"),
        (8, "1", 2, "2 workers with 1 core each, on cpu"),
        (8, "many", 2, "2 workers with 4 cores each, on cpu"),
    ],
)
def test_cores_are_shared_out(shots, monkeypatch, cores, chosen, count, said):
    scene = shots(1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    crew = Processes(scene.plan(), count=count)
    assert str(crew) == said
    crew.close()


def test_each_worker_gets_a_cuda_device_of_its_own(shots, monkeypatch):
    scene = shots(1)
    monkeypatch.setattr(local, "choose_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    given = []

    class Hand:
        task = None

        def __init__(self, number, out, cores, device):
            given.append((number, device))

        def begin(self, task):
            self.task = task
            return True

    monkeypatch.setattr(local, "_Hand", Hand)
    made = on(scene, device="cuda").plan()
    crew = Processes(made)
    assert str(crew).startswith("2 workers") and crew.free == 2
    assert [crew.begin(task) for task in made.todo[:2]] == [0, 1] and crew.free == 0
    assert given == [(0, "cuda:0"), (1, "cuda:1")]


def test_a_device_or_weights_that_are_missing_are_said_once(shots, tmp_path):
    scene = shots(1)
    if not torch.cuda.is_available():
        with pytest.raises(bgmv2.DeviceError, match="no CUDA device"):
            run(on(scene, device="cuda").plan())
    with pytest.raises(bgmv2.WeightsError, match="there is no weights file"):
        run(on(scene, weights=str(tmp_path / "none.pth")).plan())
    assert not list(scene.out.glob("*.mkv"))
