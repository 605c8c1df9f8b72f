"""A report is whole or not there."""

from __future__ import annotations

import json
import math
import weakref
from dataclasses import replace

import numpy as np
import pytest

from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.report import Recorder, Row, check_report
from bgmv2.video import read_image


@pytest.fixture
def recorder(tmp_path, made_up):
    """Sixty frames, of which ten were made anew; one of the others is NaN."""
    with Recorder(tmp_path / "parts") as recorder:
        for observation in made_up(60, flicker=None):
            if observation.row.frame == 33:
                observation = replace(observation, row=replace(observation.row, error=math.nan, status="held"))
            recorder.add(observation)
        for observation in list(made_up(60, seed=1))[10:20]:
            recorder.replace(observation)
        yield recorder


def test_all_is_there(recorder, tmp_path, made_up):
    recorder.publish(tmp_path / "report.json", clip="a ä.mp4", settings={"run": {"scale": 0.5}, "path": tmp_path})
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["clip"] == "a ä.mp4" and told["settings"] == {"run": {"scale": 0.5}, "path": str(tmp_path)}
    assert [row["frame"] for row in told["frames"]] == list(range(60))
    assert [row["frame"] for row in told["frames"] if row["repaired"]] == list(range(10, 20))
    assert told["frames"][33]["error"] is None and told["frames"][3]["gain"] == [1.0, 1.0, 1.0]
    summary = told["summary"]
    assert summary["frames"] == 60 and summary["alignment"] == {"found": 59, "held": 1}
    errors = {row["frame"]: row["error"] for row in told["frames"] if row["error"] is not None}
    assert summary["error"]["median"] == pytest.approx(np.median(list(errors.values())), abs=1e-6)
    assert summary["error"]["frame"] == max(errors, key=errors.get)
    assert (summary["error"]["least"], summary["error"]["most"]) == (min(errors.values()), max(errors.values()))
    (span,) = summary["repaired"]
    assert (span["first"], span["last"]) == (10, 19)
    before = [observation.row.error for observation in made_up(60)][10:20]
    assert span["error"] == pytest.approx([np.mean(before), np.mean([errors[i] for i in range(10, 20)])], abs=1e-6)


def test_the_pictures_are_those_of_the_worst_frames(recorder, tmp_path):
    recorder.publish(tmp_path / "report.json", clip="a", settings={})
    worst = json.loads((tmp_path / "report.json").read_text())["summary"]["worst"]
    assert worst[0]["frame"] == 33 and worst[0]["score"] is None  # NaN
    assert worst[0]["picture"] == "report/worst-01-frame-000033.png"
    scores = [entry["score"] for entry in worst[1:]]
    assert scores == sorted(scores, reverse=True) and len(worst) == 5  # half seconds
    named = {entry["picture"].removeprefix("report/") for entry in worst}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"sheet.png", "curves.png", *named}
    assert all(read_image(path).std() > 1 for path in (tmp_path / "report").iterdir())


def test_a_run_that_went_on_publishes_the_same(recorder, tmp_path, content):
    recorder.publish(tmp_path / "a.json", clip="a", settings={})
    recorder.flush()
    with Recorder(tmp_path / "parts", frames=60, repaired=10) as again:
        again.publish(tmp_path / "b.json", clip="a", settings={})
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert (tmp_path / "a.json").read_text().replace("a/worst", "b/worst") == (tmp_path / "b.json").read_text()


def test_nothing_is_replaced_unasked(recorder, tmp_path):
    path = tmp_path / "report.json"
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match="is there already"):
        recorder.publish(path, clip="a", settings={})
    assert path.read_text() == "mine" and not (tmp_path / "report").exists()
    recorder.publish(path, clip="a", settings={}, overwrite=True)
    path.unlink()
    with pytest.raises(OutputExistsError, match="report is there already"):
        recorder.publish(path, clip="a", settings={})
    recorder.publish(path, clip="b", settings={}, overwrite=True)
    assert json.loads(path.read_text())["clip"] == "b"


def test_a_folder_with_other_things_is_never_replaced(recorder, tmp_path):
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "beach.jpg").write_bytes(b"sun")
    with pytest.raises(OutputError, match=r"holds more than a report's pictures, such as beach\.jpg"):
        recorder.publish(tmp_path / "holiday.json", clip="a", settings={}, overwrite=True)
    assert (tmp_path / "holiday" / "beach.jpg").read_bytes() == b"sun"


def test_nothing_half_written_stays(recorder, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bgmv2.report.publish.curves", full)
    with pytest.raises(OutputError, match=r"report\.json cannot be written: No space left on device; make room"):
        recorder.publish(tmp_path / "report.json", clip="a", settings={})
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_a_picture_that_a_power_cut_took_is_left_out(recorder, tmp_path):
    (tmp_path / "parts" / "frame-000033.png").unlink()
    (tmp_path / "parts" / "frame-000000.png").write_bytes(b"")
    recorder.publish(tmp_path / "report.json", clip="a", settings={})
    worst = json.loads((tmp_path / "report.json").read_text())["summary"]["worst"]
    assert 33 not in [entry["frame"] for entry in worst] and worst[0]["rank"] == 1


@pytest.mark.parametrize("count", [0, 1])
def test_a_short_clip_can_be_published(tmp_path, count, made_up):
    with Recorder(tmp_path / "parts") as recorder:
        for observation in made_up(count):
            recorder.add(observation)
        recorder.publish(tmp_path / "report.json", clip="a", settings={})
    assert len(json.loads((tmp_path / "report.json").read_text())["frames"]) == count


def test_memory_does_not_grow_with_the_clip(tmp_path, monkeypatch, made_up):
    alive, most, original = weakref.WeakSet(), [0], Row.from_json

    def counted(line):
        row = original(line)
        alive.add(row)
        most[0] = max(most[0], len(alive))
        return row

    with Recorder(tmp_path / "parts") as recorder:
        for observation in made_up(600, rate=1000):  # of two slots, so that few are drawn
            recorder.add(observation)
        monkeypatch.setattr(Row, "from_json", counted)
        recorder.publish(tmp_path / "report.json", clip="a", settings={})
    assert most[0] <= 40
    assert len(json.loads((tmp_path / "report.json").read_text())["frames"]) == 600


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.txt", r"does not end in \.json, as a report does: call it report\.json"),
        ("no/report.json", "there is no folder"),
        ("file.json", "is a file, but the report's pictures go into a folder of that name"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_work_starts(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=message):
        check_report(tmp_path / name, overwrite=True)
