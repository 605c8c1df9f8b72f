"""All rows of a run put into a few numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from statistics import median
from typing import Any

from bgmv2.report.rows import Row

# Medians are those of so many rows at most, evenly spread.
_SAMPLED = 10_000
# A row, and what it replaced in a second pass.
Pair = tuple[Row, Row | None]


def summarize(pairs: Callable[[], Iterator[Pair]], count: int) -> dict[str, Any]:
    """Tell of each number the median and the extremes, and what a second pass changed.

    Args:
        pairs: yields each row, and what it replaced in a second pass.
        count: of the rows.
    """
    middle = medians((row for row, _ in pairs()), count)
    statuses: Counter[str] = Counter()
    least: dict[str, float] = {}
    most: dict[str, tuple[float, int]] = {}
    ends: list[float] = []
    for row, _ in pairs():
        statuses[row.status] += 1
        ends = [ends[0] if ends else row.seconds, row.seconds]
        for name, number in row.numbers.items():
            least[name] = min(number, least.get(name, number))
            most[name] = max(most.get(name, (number, row.frame)), (number, row.frame), key=lambda found: found[0])
    return {
        "frames": count,
        "first": ends[0] if ends else None,
        "last": ends[1] if ends else None,
        "alignment": dict(statuses),
        **{
            name: {"median": middle[name], "least": least[name], "most": number, "frame": frame}
            for name, (number, frame) in most.items()
        },
        "repaired": [_repair(span) for is_new, span in groupby(pairs(), lambda pair: pair[0].repaired) if is_new],
    }


def medians(rows: Iterable[Row], count: int) -> defaultdict[str, float]:
    """Medians of what `Row.numbers` names, over rows evenly spread; 0 where nothing is known."""
    sampled: defaultdict[str, list[float]] = defaultdict(list)
    for row in islice(rows, 0, None, stride(count, _SAMPLED)):
        for name, number in row.numbers.items():
            sampled[name].append(number)
    return defaultdict(float, {name: round(median(numbers), 6) for name, numbers in sampled.items()})


def stride(count: int, most: int) -> int:
    """Return the power of two of which, from 0 up to a number, there are `most` multiples or fewer."""
    stride = 1
    while (count - 1) // stride + 1 > most:
        stride *= 2
    return stride


def _repair(pairs: Iterable[Pair]) -> dict[str, Any]:
    """What a second pass changed in a span: its first and last frame, and means before and after."""
    frames: list[int] = []
    sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in ("error", "uncertain", "flicker")}
    counts = dict.fromkeys(sums, 0)
    for after, before in pairs:
        frames = [frames[0] if frames else after.frame, after.frame]
        old, new = ({} if row is None else row.numbers for row in (before, after))
        for name in sums.keys() & old.keys() & new.keys():
            sums[name] = [sums[name][0] + old[name], sums[name][1] + new[name]]
            counts[name] += 1
    means = {name: [round(x / counts[name], 6) for x in sums[name]] for name in sums if counts[name]}
    return {"first": frames[0], "last": frames[1], **means}
