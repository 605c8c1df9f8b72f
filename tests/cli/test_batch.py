"""`bgmv2 batch`: its words reach every clip, and what it says is for people or for machines."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
from dataclasses import fields

import pytest

from bgmv2 import batch
from bgmv2.batch import Event, Summary
from bgmv2.batch.ledger import Outcome
from bgmv2.cli import options
from bgmv2.progress import Progress
from bgmv2.video import VideoReader


@pytest.fixture
def shots(scene):
    """A folder with two clips that have plates."""
    folder = scene.folder / "shots"
    for name in ("a", "day/b"):
        clip = folder / f"{name}.mp4"
        clip.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scene.clip, clip)
        shutil.copy(scene.plate, clip.with_name(f"{clip.stem}.plate.png"))
    return folder


@pytest.fixture
def dry(bgmv2, scene):
    """Say what would be done, as JSON by the clips' names."""

    def run(*words):
        before = scene.snapshot()
        answer = bgmv2("batch", *words, "--out", scene.out, "--dry-run", "--json")
        assert scene.snapshot() == before
        assert (answer.code, answer.err) == (0, ""), answer
        return {line["clip"]: line for line in map(json.loads, answer.out.splitlines())}

    return run


@pytest.fixture
def jobs(bgmv2, scene, monkeypatch):
    """Run a batch of which nothing is done; returns the jobs by name."""

    def run(*words):
        made = []
        monkeypatch.setattr(batch, "run", lambda plan, **_: made.extend(plan.todo) or Summary())
        answer = bgmv2("batch", *words, "--out", scene.out)
        assert (answer.code, answer.err) == (0, ""), answer
        return {task.name: task.job for task in made}

    return run


def test_a_dry_run_writes_nothing(dry, shots, scene, bgmv2):
    made = dry(shots, "--pha", "/")
    assert made["day/b"] == {
        "event": "plan",
        "clip": "day/b",
        "state": "todo",
        "src": str(shots / "day/b.mp4"),
        "plate": str(shots / "day/b.plate.png"),
        "results": {"pha": f"{scene.out}/day/b.pha/"},
    }
    answer = bgmv2("batch", shots, "--out", scene.out, "--dry-run")
    first, _, last = answer.out.splitlines()
    assert last == "2 to do, 0 finished before"
    assert first == f"{shots}/a.mp4, plate {shots}/a.plate.png -> {scene.out}/a.com.mp4"


# A value for each option of `bgmv2 convert` that is not the default.
WORDS = {
    "start": "1:30",
    "end": "2:00",
    "frames": "7",
    "rate": "24000/1001",
    "deinterlace": "off",
    "backdrop_fit": "fit",
    "backdrop_end": "hold",
    "backdrop_offset": "2",
    "blend": "linear",
    "keep_shadow": "0.5",
    "despill": "0.5",
    "garbage": "plate.png",
    "holdout": "plate.png",
    "device": "cpu",
    "precision": "bfloat16",
    "align": "off",
    "update": "off",
    "engine": "torch",
    "region": "auto",
    "budget": "auto",
    "fps": "12",
    "hwaccel": "auto",
    "hwencode": "auto",
    "weights": "w.pth",
    "scale": "0.2",
    "refine": "full",
    "pixels": "5",
    "threshold": "0.3",
    "codec": "hevc",
    "crf": "3",
    "preset": "fast",
    "alpha_mode": "straight",
    "segment": "9",
    "verify": None,
    "report": ".json",
    "repair": None,
    "mirror": None,
}
TABLES = {"read": options.READ, "composite": options.COMPOSITE, "run": options.RUN, "encode": options.ENCODE}
TABLES["check"] = options.CHECK


def values(job):
    return {
        f"{config}.{field.name}": getattr(getattr(job, config), field.name)
        for config in TABLES
        for field in fields(getattr(job, config))
    }


@pytest.mark.parametrize("flag", [flag for table in TABLES.values() for flag in table if flag not in ("raw", "resume")])
def test_every_option_of_convert_reaches_the_job_from_command_line_and_manifest(jobs, shots, flag):
    (shots / "w.pth").touch()
    words = [f"--{flag.replace('_', '-')}", *([] if WORDS[flag] is None else [WORDS[flag]])]
    path = flag in ("garbage", "holdout", "weights")
    given = [*words[:-1], shots / words[-1]] if path else words
    shutil.copy(shots / "a.plate.png", shots / "plate.png")
    manifest = shots / "m.jsonl"
    lines = [{"clip": "a.mp4", "flags": words}, {"clip": "day/b.mp4"}]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    plain, all_of_them, some = jobs(shots), jobs(shots, *given), jobs(manifest)
    changed = {name for name, value in values(plain["a"]).items() if value != values(all_of_them["a"])[name]}
    assert {name.partition(".")[2] for name in changed} == {flag}
    assert values(some["a"]) == values(all_of_them["a"])
    assert values(some["day/b"]) == values(plain["day/b"])


def test_a_manifest_adds_to_the_command_line(jobs, shots):
    (shots / "m.csv").write_text("clip,backdrop,flags\na.mp4,blue,--pha .mkv --crf 3\nday/b.mp4,,\n")
    made = jobs(shots / "m.csv", "--rgba", ".mov", "--crf", 9, "--preset", "fast", "--backdrop", "red", "--overwrite")
    a, b = made["a"], made["day/b"]
    assert sorted(a.results) == ["pha", "rgba"] and list(b.results) == ["rgba"]
    assert (a.encode.crf, b.encode.crf, a.encode.preset, a.backdrop, b.backdrop) == (3, 9, "fast", "blue", "red")
    assert a.encode.overwrite and b.encode.overwrite


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--speed 3", "line 2: unrecognized arguments: --speed 3"),
        ("--crf best", "line 2: argument --crf: invalid int value: 'best'"),
        ("--crf 99", "line 2: a constant rate factor lies in 0..51, got 99"),
        ("--crf", "line 2: argument --crf: expected one argument"),
        ("--help", "line 2: unrecognized arguments: --help"),
        ("--plate x.png", "line 2: unrecognized arguments: --plate x.png"),
        ("--end 1 --start 2", "line 2: the end lies after the start"),
    ],
)
def test_wrong_flags_are_refused_with_their_line(bgmv2, scene, shots, flags, said):
    (shots / "m.csv").write_text(f"clip,flags\na.mp4,{flags}\n")
    before = scene.snapshot()
    assert said in bgmv2("batch", shots / "m.csv", "--out", scene.out).error
    assert scene.snapshot() == before


def test_clips_without_plate_are_a_line_each(bgmv2, scene, shots):
    for plate in shots.rglob("*.plate.png"):
        plate.unlink()
    answer = bgmv2("batch", shots, "--out", scene.out)
    assert answer.code == 1 and answer.out == ""
    lines = answer.err.splitlines()
    assert [line.startswith("bgmv2: error: ") for line in lines] == [True] * 3
    assert lines[0].endswith("a.mp4 has no plate") and lines[1].endswith("b.mp4 has no plate")
    assert bgmv2("batch", shots, "--out", scene.out, "--plate", scene.plate, "--dry-run").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required: SOURCE, --out"),
        (["x", "--out", "o", "--workers", "0"], "at least 1 worker is needed, got '0'"),
        (["x", "--out", "o", "--workers", "two"], "at least 1 worker is needed, got 'two'"),
        (["x", "--out", "o", "--crf", "99"], "a constant rate factor lies in 0..51"),
    ],
)
def test_wrong_usage(bgmv2, words, said):
    assert said in bgmv2("batch", *words).usage


def told(plan, *, tell, introduce, **_):
    """A run in which one clip is done at the second attempt and one fails."""
    b, a = sorted(plan.todo, key=lambda task: task.name, reverse=True)
    introduce("2 workers")
    for worker, task in enumerate((a, b)):
        tell(Event("begun", task, worker))
    tell(Event("moving", a, 0, progress=Progress(1, 4, 0.5, {"matte": 0.4}, 2.0)))
    tell(Event("warning", a, 0, message="a hint"))
    tell(Event("again", a, 0, message="its worker was ended"))
    tell(Event("begun", a, 0))
    tell(Event("done", a, 0, outcome=Outcome(a.name, a.fingerprint, {}, 4, 1.5, 2)))
    tell(Event("failed", b, 1, message="the clip is damaged"))
    return Summary(done=[a.name], failed={b.name: "the clip is damaged"})


def test_what_people_are_told(bgmv2, scene, shots, monkeypatch):
    monkeypatch.setattr(batch, "run", told)
    answer = bgmv2("batch", shots, "--out", scene.out)
    assert answer.code == 1
    assert answer.out.splitlines() == [
        "2 workers",
        f"a: 4 frames in 1.5 s, 2 of them earlier -> {scene.out}/a.com.mp4",
        "1 done, 1 failed",
        "failed: day/b: the clip is damaged",
    ]
    assert answer.err.splitlines() == [
        "bgmv2: warning: a: a hint",
        "bgmv2: warning: a is tried once more: its worker was ended",
        "bgmv2: error: day/b: the clip is damaged",
    ]


def test_what_machines_are_told(bgmv2, scene, shots, monkeypatch):
    monkeypatch.setattr(batch, "run", told)
    answer = bgmv2("batch", shots, "--out", scene.out, "--json")
    assert (answer.code, answer.err) == (1, "")
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert [(line["event"], line.get("clip")) for line in lines] == [
        ("workers", None),
        ("begun", "a"),
        ("begun", "day/b"),
        ("progress", "a"),
        ("warning", "a"),
        ("again", "a"),
        ("begun", "a"),
        ("done", "a"),
        ("error", "day/b"),
        ("summary", None),
    ]
    assert lines[7]["results"] == {"com": f"{scene.out}/a.com.mp4"} and lines[7]["resumed"] == 2
    assert lines[8]["message"] == "the clip is damaged"
    assert lines[9]["failed"] == {"day/b": "the clip is damaged"} and not lines[9]["interrupted"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other interrupts")
def test_ctrl_c_and_the_same_command_again(start, bgmv2, scene, shots, weights, make_clip):
    make_clip("shots/long.mkv", count=60, size=(96, 64), codec="ffv1")
    shutil.copy(scene.plate, shots / "long.plate.png")
    words = ("batch", shots, "--out", scene.out, "--weights", weights, "--device", "cpu", "--align", "off")
    words += ("--pha", ".mkv", "--segment", 10, "--frames", 40, "--workers", 1)
    process = start(*words)
    while not list(scene.out.glob(".long.pha.mkv.parts/mark-*.json")):
        assert process.poll() is None, process.communicate()
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out.splitlines()[-2:] == ["0 done, 3 left", "what was begun is kept: give the same command again to go on"]
    assert "Traceback" not in err and "--resume" not in err
    assert not list(scene.out.glob("*.mkv"))

    answer = bgmv2(*words)
    assert answer.code == 0, answer
    assert " of them earlier -> " in answer.out and answer.out.splitlines()[-1] == "3 done"
    with VideoReader(scene.out / "long.pha.mkv") as reader:
        assert sum(1 for _ in reader) == 40
    assert (scene.out / "day/b.pha.mkv").exists()
    answer = bgmv2(*words)
    assert (answer.code, answer.out) == (0, "0 done, 3 finished before\n")
