"""Many rows in a few numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bgmv2.report.summary import medians, stride, summarize


def test_extremes_are_named_with_their_frame(row):
    rows = [replace(row, frame=i, seconds=i / 10, error=x) for i, x in enumerate((0.2, 0.1, math.nan, 0.4))]
    told = summarize(lambda: ((row, None) for row in rows), len(rows))
    assert told["error"] == {"median": 0.2, "least": 0.1, "most": 0.4, "frame": 3}
    assert (told["frames"], told["first"], told["last"], told["repaired"]) == (4, 0.0, 0.3, [])


def test_each_span_tells_what_a_second_pass_changed(row):
    rows = [replace(row, frame=frame) for frame in range(7)]
    pairs = [(row, None) for row in rows]
    for frame in (1, 2, 5):
        pairs[frame] = replace(rows[frame], error=0.01, repaired=True), replace(rows[frame], error=0.03)
    first, second = summarize(lambda: iter(pairs), len(pairs))["repaired"]
    assert (first["first"], first["last"], first["error"]) == (1, 2, [0.03, 0.01])
    assert (second["first"], second["last"], second["flicker"]) == (5, 5, [0.0001, 0.0001])


def test_nothing_is_known_of_no_rows():
    assert medians([], 0)["error"] == 0
    assert summarize(lambda: iter(()), 0)["first"] is None


@pytest.mark.parametrize(("count", "most", "expected"), [(0, 24, 1), (24, 24, 1), (25, 24, 2), (49, 24, 4), (9, 1, 16)])
def test_every_so_many_are_few(count, most, expected):
    assert stride(count, most) == expected
    assert len(range(0, count, expected)) <= most
