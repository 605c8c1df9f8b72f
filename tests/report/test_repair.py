"""What deserves a second pass, and what that does better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bgmv2.config import RunConfig
from bgmv2.report import Recorder, better
from bgmv2.report.repair import bad_spans


@pytest.fixture
def spans_of(row):
    """Find the bad spans of frames that differ from a good one in some values."""

    def find(values):
        rows = [replace(row, frame=frame, seconds=frame / 25, **value) for frame, value in enumerate(values)]
        return bad_spans(rows, len(rows))

    return find


@pytest.mark.parametrize("bad", [{"uncertain": 0.002}, {"flicker": 0.0011}, {"error": 0.014}])
def test_a_bad_frame_takes_its_neighbours_along(spans_of, bad):
    assert spans_of([{}] * 30 + [bad] + [{}] * 30) == [range(25, 36)]


@pytest.mark.parametrize("fine", [{}, {"uncertain": 0.0009}, {"flicker": 0.0009}, {"error": 0.009}])
def test_a_frame_a_little_worse_is_not_bad(spans_of, fine):
    assert spans_of([{}] * 30 + [fine] + [{}] * 30) == []


def test_a_clip_that_is_bad_throughout_is_measured_by_itself(spans_of):
    rough = {"error": 0.02, "flicker": 0.002}
    assert spans_of([rough] * 30 + [{"error": 0.06, "flicker": 0.002}] + [rough] * 30) == [range(25, 36)]


def test_ranges_stay_in_the_clip_and_those_that_meet_are_one(spans_of):
    bad = {2, 20, 31, 50, 62, 78}
    spans = spans_of([{"uncertain": 0.01 if frame in bad else 0.0} for frame in range(80)])
    assert spans == [range(0, 8), range(15, 37), range(45, 56), range(57, 68), range(73, 80)]


def test_a_clip_without_frames_has_none(spans_of):
    assert spans_of([]) == []


def test_the_answer_stays_the_same_during_the_second_pass(tmp_path, made_up):
    with Recorder(tmp_path) as recorder:
        for observation in made_up(40, uncertain=0.01):
            recorder.add(observation)
        before = recorder.bad_spans()
        recorder.replace(next(made_up(1)))
        assert recorder.bad_spans() == before == [range(40)]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (RunConfig(), (None, "thresholding", 0.05)),
        (RunConfig(pixels=100), (None, "thresholding", 0.05)),
        (RunConfig(refine="thresholding", threshold=0.3), (None, "thresholding", 0.05)),
        (RunConfig(scale=0.1, refine="thresholding", threshold=0.02), (0.1, "thresholding", 0.02)),
        (RunConfig(scale=0.4, refine="full"), (0.4, "full", None)),
    ],
)
def test_a_second_pass_looks_twice_and_refines_what_is_uncertain(run, expected):
    more = better(run)
    assert more.mirror and (more.scale, more.refine, more.threshold) == expected
