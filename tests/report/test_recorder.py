"""A folder that survives every death."""

from __future__ import annotations

import random

import pytest

from bgmv2.errors import OutputError
from bgmv2.report import Recorder
from bgmv2.report.recorder import _Worst
from bgmv2.report.summary import stride


@pytest.fixture
def recorded(content):
    """Record frames of the first and of the second pass; what stands in the folder then."""

    def record(folder, first, second=(), **kept):
        with Recorder(folder, **kept) as recorder:
            for observation in first:
                recorder.add(observation)
            for observation in second:
                recorder.replace(observation)
        return content(folder)

    return record


@pytest.fixture
def few(monkeypatch):
    """Keep few pictures, so that short clips have too many."""
    monkeypatch.setattr("bgmv2.report.recorder._WORST", 3)
    monkeypatch.setattr("bgmv2.report.recorder._SPREAD", 6)


def test_rows_come_back_as_they_went_in(tmp_path, made_up):
    seen = list(made_up(40))
    with Recorder(tmp_path / "parts") as recorder:
        for observation in seen:
            recorder.add(observation)
        assert recorder.frames == 40 and list(recorder.rows()) == [observation.row for observation in seen]


def test_the_worst_are_the_worst_of_ten_half_seconds(tmp_path, made_up):
    rows = [observation.row for observation in made_up(1000)]
    worst = _Worst()
    for row in rows:
        worst.offer(row)
    slots = {}
    for row in rows:
        slots.setdefault(int(row.seconds * 2), []).append(row)
    best = sorted((max(slot, key=lambda row: row.score) for slot in slots.values()), key=lambda row: -row.score)
    assert worst.frames() == [row.frame for row in best[:10]]


def test_pictures_are_few_however_long_the_clip(tmp_path, made_up):
    folder = tmp_path / "parts"
    with Recorder(folder) as recorder:
        for observation in made_up(200):
            recorder.add(observation)
            kept = {int(path.stem[6:]) for path in folder.glob("frame-*.png")}
            spread = [frame for frame in kept if frame % stride(recorder.frames, 24) == 0]
            assert len(kept) <= 34 and min(12, recorder.frames) <= len(spread) <= 24 + 10
    assert set(range(0, 200, 16)) <= kept  # 13 of them; every 8th would be 25
    assert set(recorder._worst.frames()) <= kept


@pytest.mark.parametrize("cut", range(33))
def test_a_run_that_goes_on_ends_like_one_that_never_stopped(tmp_path, few, cut, made_up, recorded):
    observations = list(made_up(32, rate=8))
    expected = recorded(tmp_path / "whole", observations)
    beyond = random.Random(cut).randint(cut, 32)
    recorded(tmp_path / "killed", observations[:beyond])
    with (tmp_path / "killed" / "frames.jsonl").open("ab") as file:
        file.write(b'{"frame": 9')
    (tmp_path / "killed" / ".frame-000003-0123abcd.png").write_bytes(b"half")
    with Recorder(tmp_path / "killed", frames=cut) as recorder:
        assert [row.frame for row in recorder.rows()] == list(range(cut))
    assert recorded(tmp_path / "killed", observations[cut:], frames=cut) == expected


@pytest.mark.parametrize("cut", range(13))
def test_a_second_pass_goes_on_as_well(tmp_path, few, cut, made_up, recorded):
    first, other = list(made_up(32, rate=8)), list(made_up(32, seed=1, rate=8))
    second = other[5:11] + other[20:26]
    expected = recorded(tmp_path / "whole", first, second)
    recorded(tmp_path / "killed", first, second[: random.Random(cut).randint(cut, 12)])
    found = recorded(tmp_path / "killed", [], second[cut:], frames=32, repaired=cut)
    assert found == expected
    with Recorder(tmp_path / "killed", frames=32, repaired=12) as recorder:
        assert [row.frame for row in recorder.rows() if row.repaired] == [*range(5, 11), *range(20, 26)]
        assert [row.frame for row in recorder.rows()] == list(range(32))


def test_what_was_flushed_stays_whatever_happens(tmp_path, made_up):
    with Recorder(tmp_path) as recorder:
        for observation in made_up(30):
            recorder.add(observation)
        recorder.flush()
        assert (tmp_path / "frames.jsonl").read_bytes().count(b"\n") == 30


def test_a_new_run_leaves_nothing_of_an_old_one(tmp_path, made_up, content):
    with Recorder(tmp_path) as recorder:
        for observation in made_up(30):
            recorder.add(observation)
        recorder.replace(next(made_up(1)))
    with Recorder(tmp_path) as recorder:
        assert list(recorder.rows()) == []
    assert sorted(content(tmp_path)) == ["frames.jsonl", "repairs.jsonl"]


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-5], lambda text: "x" + text[1:], lambda text: text.replace("error", "mistake")]
)
def test_a_damaged_folder_is_told(tmp_path, damage, made_up):
    with Recorder(tmp_path) as recorder:
        for observation in made_up(3):
            recorder.add(observation)
    rows = tmp_path / "frames.jsonl"
    rows.write_text(damage(rows.read_text()))
    with pytest.raises(OutputError, match=r"frames\.jsonl is damaged: start anew with --overwrite"):
        Recorder(tmp_path, frames=3)


def test_frames_come_in_order(tmp_path, made_up):
    one, two, three = made_up(3)
    with Recorder(tmp_path) as recorder:
        recorder.add(one)
        recorder.add(two)
        with pytest.raises(ValueError, match="frame 2 is the next"):
            recorder.add(two)
        with pytest.raises(ValueError, match="frames . to 1 can be replaced"):
            recorder.replace(three)
        recorder.replace(two)
        with pytest.raises(ValueError, match="frames . to 1 can be replaced"):
            recorder.replace(one)


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Recorder(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        Recorder(tmp_path / "no" / "folder")
