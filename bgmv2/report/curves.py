"""The numbers of a whole clip over time, on one picture however long it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.report.panels import RED
from bgmv2.report.rows import Row
from bgmv2.sheets import DIM, GAP, LIGHT, canvas, write


class _Chart(NamedTuple):
    """What is drawn together.

    Args:
        title: above it.
        colors: of its curves, by their names.
        written: how a value is written.
        least: the range that is shown at least.
    """

    title: str
    colors: dict[str, tuple[int, ...]]
    written: str
    least: tuple[float, float]


_CHARTS = (
    _Chart("plate moved, in pixels; red: not found; blue: made anew", {"shift": LIGHT}, "{:.1f}", (0.0, 1.0)),
    _Chart(
        "light: what the plate's white became in red, green and blue",
        {"red": (255, 110, 100), "green": (110, 220, 120), "blue": (110, 160, 255)},
        "{:.2f}",
        (0.95, 1.05),
    ),
    _Chart("expected error", {"error": (255, 200, 90)}, "{:.1%}", (0.0, 0.01)),
    _Chart("refined; red: left uncertain", {"refined": (120, 200, 230), "uncertain": RED}, "{:.1%}", (0.0, 0.01)),
    _Chart("flicker", {"flicker": (200, 160, 255)}, "{:.2%}", (0.0, 0.001)),
)
_ANEW = (34, 52, 84)
# Sizes in pixels: of the picture, from where to where time runs, and of a chart below its title.
_WIDTH, _LEFT, _TITLE, _HEIGHT = 1400, 64, 20, 110
_RIGHT = _WIDTH - GAP


def curves(rows: Iterable[Row], count: int) -> np.ndarray:
    """Draw the numbers over time; where frames are more than pixels, their mean, and dimly their highest.

    Args:
        rows: all of them, in order.
        count: how many they are, at least one.
    """
    binned = _Binned(rows, count)
    return np.vstack([canvas(GAP, _WIDTH), *(_drawn(chart, binned) for chart in _CHARTS), _times(binned)])


class _Binned:
    """Rows dealt into bins of time, at most one for each pixel.

    Attributes:
        xs: where a bin is drawn.
        half: half of a bin's width in pixels, at least one.
        means: of each number.
        peaks: of each number.
        known: where there is such a number at all.
        is_held: the plate was not found in all frames.
        is_repaired: some frames were made anew.
        seconds: when a bin ends.
    """

    def __init__(self, rows: Iterable[Row], count: int):
        bins = min(count, _RIGHT - _LEFT)
        self.xs = np.rint(_LEFT + (np.arange(bins) + 0.5) * (_RIGHT - _LEFT) / bins).astype(int)
        self.half = max(1, (_RIGHT - _LEFT) // bins // 2)
        self.peaks: defaultdict[str, np.ndarray] = defaultdict(lambda: np.full(bins, -np.inf))
        self.is_held, self.is_repaired, self.seconds = np.zeros(bins, bool), np.zeros(bins, bool), np.zeros(bins)
        sums: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(bins))
        counts: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(bins))
        for row in rows:
            place = row.frame * bins // count
            self.is_held[place] |= row.status == "held"
            self.is_repaired[place] |= row.repaired
            self.seconds[place] = row.seconds
            lights = dict(zip(("red", "green", "blue"), row.light, strict=True))
            for name, number in {**row.numbers, **lights}.items():
                sums[name][place] += number
                counts[name][place] += 1
                self.peaks[name][place] = max(self.peaks[name][place], number)
        names = {name for chart in _CHARTS for name in chart.colors}
        self.known = {name: counts[name] > 0 for name in names}
        self.means = {name: sums[name] / np.maximum(counts[name], 1) for name in names}


def _drawn(chart: _Chart, binned: _Binned) -> np.ndarray:
    low, high = chart.least
    low = min(low, *(binned.means[name].min(initial=low, where=binned.known[name]) for name in chart.colors))
    high = max(high, *(binned.peaks[name].max(initial=high, where=binned.known[name]) for name in chart.colors))
    top, bottom = _TITLE, _TITLE + _HEIGHT
    picture = canvas(bottom + GAP, _WIDTH)
    write(picture, chart.title, _LEFT, 14)
    for value, y in ((high, top + 10), (low, bottom)):
        write(picture, chart.written.format(value), 4, y, color=DIM)
    for x in binned.xs[binned.is_repaired]:
        picture[top : bottom + 1, x - binned.half : x + binned.half + 1] = _ANEW
    picture[[top, bottom], _LEFT:_RIGHT] = 64
    for name, color in chart.colors.items():
        known = binned.known[name]
        dim = tuple(value // 2 for value in color)
        for values, ink in ((binned.peaks[name], dim), (binned.means[name], color)):
            ys = top + _HEIGHT * (1 - (values[known] - low) / (high - low))
            _line(picture, binned.xs[known], ys, ink)
    if "shift" in chart.colors:
        for x in binned.xs[binned.is_held]:
            picture[bottom - 4 : bottom, x - binned.half : x + binned.half + 1] = RED
    return picture


def _line(picture: np.ndarray, xs: np.ndarray, ys: np.ndarray, color: tuple[int, ...]) -> None:
    points = np.rint(np.stack([xs, ys], axis=1) * 16).astype(np.int32)  # in sixteenths of a pixel
    if len(points) == 1:
        cv2.circle(picture, (int(xs[0]), round(ys[0])), 2, color, -1, cv2.LINE_AA)
    cv2.polylines(picture, [points], False, color, 1, cv2.LINE_AA, 4)


def _times(binned: _Binned) -> np.ndarray:
    """Write below the charts when that was."""
    picture, last = canvas(_TITLE, _WIDTH), len(binned.xs) - 1
    for place in sorted({round(share * last) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)}):
        said = f"{binned.seconds[place]:.1f} s"
        write(picture, said, min(binned.xs[place], _WIDTH - 9 * len(said)), 12, color=DIM)
    return picture
