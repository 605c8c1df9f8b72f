"""A run looks its own results over: report, repair, verification, and words for machines."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from bgmv2 import pipeline
from bgmv2.report import Recorder
from bgmv2.verify import Difference, Verification
from bgmv2.video import read_image

from .conftest import COUNT


def pictures(folder):
    return [read_image(folder / name) for name in sorted(os.listdir(folder))]


def test_a_report_tells_of_each_frame_and_shows_some(convert, scene):
    told = scene.out / "how.json"
    assert convert("-o", scene.out / "com.mp4", "--report", told).code == 0
    report = json.loads(told.read_text())
    assert [row["frame"] for row in report["frames"]] == list(range(COUNT))
    assert report["frames"][3]["seconds"] == pytest.approx(3 / 25)
    assert all(0 < row["refined"] < 1 and len(row["gain"]) == 3 for row in report["frames"])
    assert report["clip"] == str(scene.clip) and report["settings"]["encode"]["crf"] == 16
    shown = os.listdir(scene.out / "how")
    assert {"sheet.png", "curves.png"} < set(shown) and any(name.startswith("worst-01-") for name in shown)
    assert sorted(os.listdir(scene.out)) == ["com.mp4", "how", "how.json"]


def test_a_report_that_cannot_be_written_is_told_before_work(convert, scene):
    before = scene.snapshot()
    (scene.out / "old.json").touch()
    for words, said in (
        (("--report", scene.out / "old.json"), "is there already"),
        (("--report", scene.out / "a.txt"), "does not end in .json"),
        (("--report", scene.folder / "nowhere" / "a.json"), "there is no folder"),
        (("--report", scene.out / "com.json", "--pha", scene.out / "com"), "give each a name of its own"),
    ):
        assert said in convert("-o", scene.out / "com.mp4", *words).error
    (scene.out / "old.json").unlink()
    assert scene.snapshot() == before


def test_only_what_is_bad_is_repaired(convert, scene, monkeypatch):
    words = ("--segment", 3, "--refine", "sampling", "--pixels", 16)
    assert convert("--pha", scene.out / "as_it_is", *words).code == 0
    monkeypatch.setattr(Recorder, "bad_spans", lambda self, **_: [range(4, 6), range(7, 8)])
    said = convert("--pha", scene.out / "repaired", *words, "--repair", "--report", scene.out / "r.json")
    assert said.code == 0 and "3 of them twice" in said.out
    pairs = zip(pictures(scene.out / "as_it_is"), pictures(scene.out / "repaired"), strict=True)
    assert [bool(np.any(one != other)) for one, other in pairs] == [index in (4, 5, 7) for index in range(COUNT)]
    rows = json.loads((scene.out / "r.json").read_text())["frames"]
    assert [row["repaired"] for row in rows] == [index in (4, 5, 7) for index in range(COUNT)]


def test_repaired_segments_of_a_clip_keep_their_place(bgmv2, convert, scene, monkeypatch):
    monkeypatch.setattr(Recorder, "bad_spans", lambda self, **_: [range(2, 4), range(9, 10)])
    for name in ("com.mp4", "com.mkv"):
        assert convert("-o", scene.out / name, "--segment", 3, "--repair", "--verify").code == 0
        assert "each at its instant" in bgmv2("verify", scene.clip, scene.out / name).out


def test_results_are_verified_when_done(convert, scene, monkeypatch):
    assert convert("-o", scene.out / "a.mp4", "--pha", scene.out / "pha", "--verify").code == 0
    compared = []

    def compare(clip, result, *, read, sound):
        compared.append((result, sound))
        return Verification(9, 1, (Difference("frames", "1 is missing"),))

    monkeypatch.setattr(pipeline, "verify", compare)
    said = convert("-o", scene.out / "b.mp4", "--pha", scene.out / "pha2", "--verify")
    assert said.code == 1 and f"{scene.out / 'b.mp4'}: frames: 1 is missing" in said.out
    assert compared == [(str(scene.out / "b.mp4"), True), (str(scene.out / "pha2"), False)]


def test_what_passes_only_once_is_not_looked_at_twice(convert):
    for flag in ("--resume", "--verify", "--repair"):
        said = convert("-o", "-", flag)
        assert said.code == 1 and said.out == "" and f"error: {flag} needs a clip that can be read again" in said.err


def test_machines_read_lines(convert, scene):
    said = convert("-o", scene.out / "a.mp4", "--json")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert {line["event"] for line in lines[:-1]} == {"progress"} and lines[0]["frames"] == 1
    assert set(lines[0]["stages"]) == {"decode", "align", "matte", "encode"}
    assert lines[-1]["event"] == "done" and lines[-1]["frames"] == COUNT and lines[-1]["differences"] == []
    said = convert("-o", scene.out / "a.mp4", "--json")
    assert said.code == 1 and "is there already" in json.loads(said.out)["message"]
    said = convert("--pha", "-", "--json")
    assert len(said.out) > 1000 and json.loads(said.err.splitlines()[-1])["event"] == "done"
