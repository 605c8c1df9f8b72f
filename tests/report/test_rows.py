"""One frame's numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bgmv2.report import Row


def test_a_row_survives_as_a_line(row):
    other = replace(row, gain=(0.9, 1.0, 1.1), flicker=None, repaired=True)
    line = other.to_json()
    assert "\n" not in line and Row.from_json(line) == Row.from_json(line.encode()) == other


@pytest.mark.parametrize("line", ["{}", "[1]", '{"frame": 3}', "7"])
def test_another_line_is_no_row(line):
    with pytest.raises(ValueError, match="no row of a report"):
        Row.from_json(line)


def test_what_is_not_known_is_no_number(row):
    assert "flicker" not in replace(row, flicker=None).numbers and row.numbers["flicker"] == 0.0001
    assert "error" not in replace(row, error=math.nan).numbers


def test_light_is_told_by_its_farthest_colour(row):
    assert replace(row, gain=(1.0, 0.9, 1.0), bias=(0.02, 0.01, 0.0)).numbers["light"] == pytest.approx(0.09)


def test_flicker_counts_most_and_a_failed_network_is_worst(row):
    assert row.score == pytest.approx(0.005 + 10 * 0.0001)
    assert replace(row, uncertain=0.02, flicker=None).score == pytest.approx(0.025)
    assert replace(row, error=math.nan).score == math.inf
