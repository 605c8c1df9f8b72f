"""A second pass: which frames deserve it, and what it does better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bgmv2.config import RunConfig
from bgmv2.matter import scale_for
from bgmv2.report.rows import Row
from bgmv2.report.summary import medians

# A frame is bad from these values on, or from so many times the clip's median on if that is more.
_BAD_UNCERTAIN = 0.001
_BAD_ERROR, _BAD_FLICKER = (0.01, 2.5), (0.001, 5.0)
# Frames on each side of a bad one that are made anew as well, so that no jump is left.
_WIDEN = 5
# The higher budget of a second pass.
_BETTER_SCALE, _BETTER_THRESHOLD = 1.5, 0.05


def bad_spans(rows: Iterable[Row], count: int, *, rescaled: bool = True) -> list[range]:
    """Return the frames that deserve a second pass at a higher budget, as ranges in their order.

    A frame is bad if more than a thousandth of it is uncertain but was not refined; if its flicker is above 0.001
    and five times the clip's median; or if its expected error is above 0.01 and two and a half times the median.
    Five frames on each side go along, and ranges that meet are one.

    Args:
        rows: of the first pass; they are gone through twice.
        count: how many they are.
        rescaled: the base network will see the frames larger. If it does not, it will say the same again, and only
            what is uncertain but was not refined can become better.
    """
    middle = medians(rows, count)
    most_error = max(_BAD_ERROR[0], _BAD_ERROR[1] * middle["error"])
    most_flicker = max(_BAD_FLICKER[0], _BAD_FLICKER[1] * middle["flicker"])
    spans: list[range] = []
    for row in rows:
        is_doubtful = row.error > most_error or (row.flicker or 0) > most_flicker
        if row.uncertain > _BAD_UNCERTAIN or (rescaled and is_doubtful):
            first, end = max(0, row.frame - _WIDEN), min(count, row.frame + _WIDEN + 1)
            if spans and first <= spans[-1].stop:
                spans[-1] = range(spans[-1].start, end)
            else:
                spans.append(range(first, end))
    return spans


def better(run: RunConfig, *, width: int, height: int) -> RunConfig:
    """Return the settings for a second pass over bad spans.

    The base network sees one and a half times as many pixels in each direction, as far as it can, and all is refined
    where it expects an error above 0.05; what was asked for beyond that stays.

    Args:
        run: the settings of the first pass.
        width: of the frames, in pixels.
        height: of the frames, in pixels.
    """
    scale = min(0.5, _BETTER_SCALE * (run.scale or scale_for(height, width)))
    if run.refine == "full":
        return replace(run, scale=scale)
    threshold = _BETTER_THRESHOLD if run.threshold is None else min(run.threshold, _BETTER_THRESHOLD)
    return replace(run, scale=scale, refine="thresholding", threshold=threshold)
