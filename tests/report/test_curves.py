"""Numbers over time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bgmv2.report.curves import _ANEW, _CHARTS, curves
from bgmv2.report.panels import RED


def drawn(rows):
    """Each chart below the other, and the times."""
    picture = curves(rows, len(rows))
    return np.vsplit(picture[10:], [140 * number for number in range(1, len(_CHARTS) + 1)])


def near(picture, color):
    """Where a picture has a colour, or nearly, as at the edge of a line."""
    return abs(picture.astype(int) - color).sum(axis=2) < 100


@pytest.mark.parametrize("count", [1, 2, 50, 3000])
def test_a_clip_of_any_length_is_as_wide(row, count):
    *charts, times = drawn([replace(row, frame=i, seconds=i / 25) for i in range(count)])
    assert all(chart.shape == (140, 1400, 3) for chart in charts) and times.shape == (20, 1400, 3)


def test_a_peak_stands_where_it_was_and_reaches_the_top(row):
    rows = [replace(row, frame=i, flicker=0.02 if i == 75 else 0.0) for i in range(100)]
    *_, chart, _ = drawn(rows)
    ys, xs = np.nonzero(near(chart, (200, 160, 255))[21:, 64:1390])
    assert ys.min() < 4 and abs(xs[ys.argmin()] / 1326 - 0.755) < 0.01


def test_lost_plates_and_frames_made_anew_are_marked(row):
    rows = [replace(row, frame=i, status="held" if i < 20 else "found", repaired=40 <= i < 60) for i in range(100)]
    charts = drawn(rows)[:-1]
    red = np.nonzero(near(charts[0][126:130], RED).all(axis=0))[0]
    assert red.min() < 80 and 310 < red.max() < 340
    for chart in charts:
        blue = np.nonzero((chart[30:120] == _ANEW).all(axis=2).any(axis=0))[0]
        assert 580 < blue.min() < 600 and 850 < blue.max() < 880


def test_what_is_not_known_is_not_drawn(row):
    rows = [replace(row, frame=i, flicker=None, error=math.nan) for i in range(10)]
    for chart in (drawn(rows)[number][21:-11] for number in (2, 4)):  # without the frame's lines
        assert (chart[:, 64:] == (24, 24, 26)).all()
