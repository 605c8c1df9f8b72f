"""What is kept of a run: it is gone on with by the same settings only, and never replaced unasked."""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from bgmv2.config import RunConfig
from bgmv2.errors import Bgmv2Warning, DamagedRunError, OutputError, OutputExistsError
from bgmv2.fingerprint import of_file, of_values
from bgmv2.job import Job, Mark, name_of
from bgmv2.video import write_image
from bgmv2.video.sink import parts_of

SETTINGS = {"crf": 16, "clip": "abc", "rate": Fraction(24000, 1001), "results": {"com": "a.mp4"}}
MARK = Mark(240, {"com": {"segments": 1}}, {"last": [0.1, 1 / 3]}, start=0.04)


@pytest.fixture
def outputs(tmp_path):
    """Two results whose hidden folders are there, as their sinks make them."""
    found = [tmp_path / "a.mp4", tmp_path / "b.webm"]
    for path in found:
        parts_of(path).mkdir()
    return found


def begin(outputs, settings=SETTINGS, *, resume=False, overwrite=False):
    return Job(outputs, settings, resume=resume, overwrite=overwrite)


def test_marks_come_back_as_they_were_and_go_on(outputs):
    assert begin(outputs, resume=True).last == Mark(0)
    job = begin(outputs)
    assert job.mark(MARK) == job.last == MARK
    again = begin(outputs, resume=True)
    assert again.last == MARK
    second = again.mark(replace(MARK, frames=480, whole=True))
    third = begin(outputs, resume=True)
    assert [third.after(segments) for segments in range(3)] == [Mark(0), MARK, second] and third.last == second


def test_marks_take_no_memory(outputs):
    """A long clip leaves thousands of them."""
    job = begin(outputs)
    for frames in range(1, 50):
        job.mark(replace(MARK, frames=frames, aligner={"evidence": [[frames, 0.5]] * 1000}))
    assert len(pickle.dumps(job)) < 2 * len(pickle.dumps(job.last))
    assert job.after(7).frames == 7


@pytest.mark.parametrize("keeps_all", [False, True])
def test_tensors_are_kept_with_their_mark(outputs, keeps_all):
    job = Job(outputs, SETTINGS, resume=False, overwrite=False, keeps_all=keeps_all)
    assert job.tensors(Mark(0)) == {}
    tensors = [{"drift": torch.rand(1, 3, 4, 5), "count": torch.arange(6, dtype=torch.uint8)} for _ in range(2)]
    first = job.mark(MARK, tensors[0])
    second = job.mark(replace(first, frames=480), tensors[1])
    third = job.mark(replace(second, whole=True))
    assert third.kept == second.kept != first.kept
    again = begin(outputs, resume=True)
    found = again.tensors(again.last)
    assert found.keys() == tensors[1].keys() and all(torch.equal(found[name], tensors[1][name]) for name in found)
    if keeps_all:
        assert torch.equal(again.tensors(again.after(1))["drift"], tensors[0]["drift"])
    else:
        with pytest.raises(DamagedRunError, match="start anew with --overwrite"):
            again.tensors(again.after(1))
    file = again.folder / third.kept
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedRunError, match="start anew with --overwrite"):
        again.tensors(again.last)


def test_an_unfinished_run_is_not_replaced_unasked(outputs):
    begin(outputs)
    begin(outputs)  # no mark, nothing lost
    begin(outputs).mark(MARK)
    for some in (outputs, outputs[1:]):
        with pytest.raises(OutputExistsError, match="unfinished run.*--resume.*--overwrite"):
            begin(some)
        assert begin(some, overwrite=True).last == Mark(0)
    with pytest.raises(OutputError, match="other results"):
        begin(outputs[1:], resume=True)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"crf": 20}, "another crf:"),
        ({"crf": 20, "clip": "abd"}, "another crf, clip:"),
        ({"rate": Fraction(24)}, "another rate:"),
        ({"results": {"com": "b.mp4"}}, "another results:"),
        ({"new": 1}, "another new:"),
    ],
)
def test_other_settings_are_refused_by_name(outputs, other, said):
    begin(outputs).mark(MARK)
    with pytest.raises(OutputError, match=said):
        begin(outputs, {**SETTINGS, **other}, resume=True)


@pytest.mark.parametrize("name", ["job.json", "mark-000000.json"])
@pytest.mark.parametrize("content", ["", "{", "[1]", '{"frames": 1, "odd": 2}', "\ud800"])
def test_what_is_damaged_is_told(outputs, name, content):
    begin(outputs).mark(MARK)
    (parts_of(outputs[0]) / name).write_text(content, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(DamagedRunError, match="is damaged; start anew with --overwrite"):
        begin(outputs, resume=True)
    assert begin(outputs, overwrite=True).last == Mark(0)


@pytest.mark.parametrize("name", ["job.json", "mark-000000.json"])
def test_not_one_bit_may_differ(outputs, name):
    begin(outputs).mark(MARK)
    path = parts_of(outputs[0]) / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(OutputError):
            begin(outputs, resume=True)


def test_a_run_may_be_moved_with_its_folders(tmp_path):
    outputs = [tmp_path / "take" / "a" / "x.mp4", tmp_path / "take" / "b" / "y.mp4"]
    for path in outputs:
        parts_of(path).mkdir(parents=True)
    begin(outputs).mark(MARK)
    (tmp_path / "take").rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / path.relative_to(tmp_path / "take") for path in outputs]
    assert begin(moved, resume=True).last == MARK


def test_an_error_behind_a_mark_says_how_to_go_on(outputs):
    with pytest.raises(KeyboardInterrupt), begin(outputs):
        raise KeyboardInterrupt
    for path in outputs:
        assert not parts_of(path).exists()  # there was nothing to keep
        parts_of(path).mkdir()
    with (
        pytest.warns(Bgmv2Warning, match=r"a\.mp4 is kept in .*the same command with --resume goes on"),
        pytest.raises(KeyboardInterrupt),
        begin(outputs) as job,
    ):
        job.mark(MARK)
        raise KeyboardInterrupt
    with warnings.catch_warnings(), pytest.raises(DamagedRunError), begin(outputs, resume=True):
        warnings.simplefilter("error")  # what is damaged cannot be gone on with
        raise DamagedRunError("damaged")


def test_content_names_what_is_read(tmp_path):
    big, other = bytearray(5 << 20), tmp_path / "other"
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(big)
    first = name_of(clip)
    other.write_bytes(big)
    assert name_of(other) == first  # wherever it lies
    for place in (0, len(big) // 2, len(big) - 1):
        changed = big.copy()
        changed[place] = 1
        clip.write_bytes(changed)
        assert name_of(clip) == of_file(clip) != first
    clip.write_bytes(big + b"\0")
    assert name_of(clip) != first


def test_numbered_pictures_and_colours_have_names(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"a.{index}.png", np.full((4, 4, 3), index, np.uint8))
    named = {name_of(tmp_path), name_of(tmp_path / "a.#.png")}
    write_image(tmp_path / "a.3.png", np.full((4, 4, 3), 3, np.uint8))
    assert not named & {name_of(tmp_path), name_of(tmp_path / "a.#.png")}
    assert name_of("green") != name_of("blur:20%")


def test_values_are_named_by_what_they_are():
    assert of_values({"a": 1, "b": (2, None)}) == of_values({"b": [2, None], "a": 1})
    assert of_values(RunConfig()) == of_values(RunConfig()) != of_values(RunConfig(scale=0.25))
    assert json.dumps(SETTINGS["crf"]) and of_values(Fraction(1, 3)) != of_values(Fraction(1, 4))
    with pytest.raises(TypeError, match="settings hold text"):
        of_values({"a": object()})
