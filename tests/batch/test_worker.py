"""What a worker does with one task: once, however often it is asked, and never beside another copy of itself."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

import bgmv2
from bgmv2.batch import worker
from bgmv2.batch.worker import Worker, in_one_line
from bgmv2.verify import Verification
from bgmv2.video.sink import parts_of

from .conftest import assert_alike

pytestmark = pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")


@pytest.fixture
def task(shots):
    """A task, as it is sent, and its scene."""
    scene = shots(4, ("a",))
    (one,) = scene.plan().todo
    scene.out.mkdir()
    return scene, (one.name, one.fingerprint, one.job.to_json()), one


def test_a_task_is_done_once(task, monkeypatch):
    scene, words, _ = task
    outcome = Worker(scene.out).do(*words)
    assert outcome.frames == 4
    assert_alike(scene.frames("a"), scene.expected("a"))
    monkeypatch.setattr(worker, "run_job", lambda *_, **__: pytest.fail("it was done already"))
    assert Worker(scene.out).do(*words) == outcome
    assert len(scene.published()) == 1


def test_a_result_that_was_changed_is_not_taken_for_finished(task):
    scene, words, _ = task
    Worker(scene.out).do(*words)
    (scene.out / "a.pha.mkv").write_bytes(b"changed")
    with pytest.raises(bgmv2.OutputExistsError):
        Worker(scene.out).do(*words)


def test_the_network_is_loaded_once(task, monkeypatch):
    scene, words, one = task
    loaded = []
    original = worker.Matter.from_config
    monkeypatch.setattr(worker.Matter, "from_config", lambda run: loaded.append(run) or original(run))
    hand = Worker(scene.out)
    hand.do(*words)
    for number, changes in enumerate(({}, {"align": "first"}, {"scale": 0.25})):
        job = replace(
            one.job,
            results={"pha": f"{scene.out}/{number}.mkv"},
            run=replace(one.job.run, **changes),
        )
        hand.do(str(number), str(number), job.to_json())
    assert len(loaded) == 2


def test_a_copy_waits_for_the_other_and_then_has_nothing_to_do(task, monkeypatch):
    scene, words, one = task
    parts = parts_of(Path(one.job.results["pha"]))
    parts.mkdir()
    lock = FileLock(parts / "lock")
    lock.acquire()
    with pytest.raises(bgmv2.OutputError, match="another run is writing"):
        Worker(scene.out).do(*words)
    answers = []
    second = threading.Thread(target=lambda: answers.append(Worker(scene.out, patience=60.0).do(*words)))
    second.start()
    second.join(0.5)
    assert second.is_alive() and not answers
    lock.release()
    second.join()
    assert answers[0].frames == 4


def test_the_worker_s_device_is_for_jobs_that_leave_it_open(task, monkeypatch):
    scene, _, one = task
    seen = []

    def note(job, **_):
        seen.append(job.run.device)
        raise bgmv2.VideoError("enough")

    monkeypatch.setattr(worker, "run_job", note)
    monkeypatch.setattr(worker.Matter, "from_config", lambda run: None)
    for device in ("auto", "cuda", "cpu", "cuda:3"):
        job = replace(one.job, run=replace(one.job.run, device=device))
        with pytest.raises(bgmv2.VideoError):
            Worker(scene.out, device="cuda:1").do("a", device, job.to_json())
    assert seen == ["cuda:1", "cuda:1", "cpu", "cuda:3"]


def test_results_that_do_not_fit_the_clip_are_a_failure(task, monkeypatch):
    scene, words, one = task
    found = Verification(frames=4, sounds=0, differences=("frame 3 is missing",))
    monkeypatch.setattr("bgmv2.pipeline.verify", lambda *_, **__: found)
    job = replace(one.job, check=replace(one.job.check, verify=True))
    with pytest.raises(bgmv2.OutputError, match="do not fit the clip: .*a.pha.mkv: frame 3 is missing"):
        Worker(scene.out).do(words[0], words[1], job.to_json())
    assert scene.published() == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (bgmv2.VideoError("the clip is\ndamaged"), "the clip is damaged"),
        (PermissionError(13, "no", "a.mp4"), "[Errno 13] no: 'a.mp4'"),
        (MemoryError(), "out of memory"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_every_error_is_one_line(error, said):
    assert in_one_line(error) == said
