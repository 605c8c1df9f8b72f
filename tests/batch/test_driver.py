"""The loop over clips, with workers that are made up: what each of them says ends up in ledger and summary."""

from __future__ import annotations

import json
from collections import deque

import pytest
from filelock import FileLock

import bgmv2
from bgmv2.batch import Event, Job, Plan, Summary, Task, driver, run
from bgmv2.batch.ledger import LEDGER, Outcome


class Crew:
    """Workers who do what a script says of each clip, such as ``a: [again, done]``; the default is `done`."""

    def __init__(self, script, size=1, interrupt_at=None):
        self.script = {name: deque(kinds) for name, kinds in script.items()}
        self.size, self.interrupt_at = size, interrupt_at
        self.running, self.begun, self.stopped, self.closed = [], [], 0, False

    def __str__(self):
        return "made up"

    @property
    def free(self):
        return self.size - len(self.running)

    def begin(self, task):
        self.begun.append(task)
        self.running.append(task)
        return 0

    def wait(self):
        if len(self.begun) == self.interrupt_at and not self.stopped:
            raise KeyboardInterrupt
        if self.stopped:
            task = self.running.pop()
            return [Event("stopped", task)]
        task = self.running.pop(0)
        kinds = self.script.get(task.name)
        kind = kinds.popleft() if kinds else "done"
        outcome = Outcome(task.name, task.fingerprint, {}, 1, 1.0) if kind == "done" else None
        return [Event("warning", task, message="hm"), Event(kind, task, message=f"why {kind}", outcome=outcome)]

    def stop(self):
        self.stopped += 1

    def close(self):
        self.closed = True


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """Run a plan of clips without files; returns summary, crew and events."""

    def go(names, crew, **options):
        tasks = tuple(
            Task(name, Job(clip=name, plate="p", results={"com": str(tmp_path / f"{name}.mp4")}), f"print of {name}", 0)
            for name in names
        )
        monkeypatch.setattr(driver, "_crew", lambda *_: crew)
        events = []
        summary = run(Plan(tmp_path / "out", tasks), tell=events.append, **options)
        assert crew.closed
        return summary, [(event.kind, event.task.name) for event in events if event.kind != "warning"]

    return go


@pytest.fixture
def ledger(tmp_path):
    return lambda: {
        name: entry["state"] for name, entry in json.loads((tmp_path / "out" / LEDGER).read_text())["clips"].items()
    }


def test_all_is_done_in_order(batch, ledger):
    summary, events = batch("abc", Crew({}, size=2))
    assert summary == Summary(done=["a", "b", "c"])
    assert events[:3] == [("begun", "a"), ("begun", "b"), ("done", "a")]
    assert ledger() == {"a": "done", "b": "done", "c": "done"}
    assert str(summary) == "3 done"


def test_one_that_fails_does_not_stop_the_others(batch, ledger):
    summary, _ = batch("abc", Crew({"b": ["failed"]}))
    assert (summary.done, summary.failed) == (["a", "c"], {"b": "why failed"})
    assert ledger() == {"a": "done", "b": "failed", "c": "done"}
    assert str(summary) == "2 done, 1 failed\nfailed: b: why failed"


def test_a_worker_that_dies_is_forgiven_once(batch):
    crew = Crew({"a": ["again", "done"], "b": ["again", "again", "done"]})
    summary, events = batch("abc", crew)
    assert (summary.done, summary.failed) == (["a", "c"], {"b": "why again"})
    assert [event for event in events if event[1] == "b"] == [
        ("begun", "b"),
        ("again", "b"),
        ("begun", "b"),
        ("failed", "b"),
    ]
    assert [task.job.encode.resume for task in crew.begun if task.name == "b"] == [False, True]


def test_ctrl_c_leaves_all_to_be_gone_on_with(batch, ledger):
    crew = Crew({}, size=2, interrupt_at=3)
    summary, events = batch("abcde", crew)
    assert summary.interrupted and crew.stopped == 1
    assert (summary.done, sorted(summary.left)) == (["a"], ["b", "c", "d", "e"])
    assert ("stopped", "b") in events and ("stopped", "c") in events
    assert ledger() == {"a": "done", "b": "stopped", "c": "stopped"}
    assert str(summary).endswith("4 left\nwhat was begun is kept: give the same command again to go on")


def test_nothing_to_do_writes_nothing(batch, tmp_path):
    crew = Crew({})
    crew.closed = True
    assert batch("", crew) == (Summary(), [])
    assert not (tmp_path / "out").exists()


def test_two_batches_do_not_write_into_one_folder(batch, tmp_path):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / driver.LOCK), pytest.raises(bgmv2.OutputError, match="another batch writes to"):
        batch("a", Crew({}))


def test_some_worker_is_needed(batch):
    with pytest.raises(ValueError, match="at least 1 worker"):
        batch("a", Crew({}), workers=0)
