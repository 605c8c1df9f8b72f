"""A second pass: which frames deserve it, and what it does better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bgmv2.config import RunConfig
from bgmv2.report.rows import Row
from bgmv2.report.summary import medians

# A frame is bad from these values on, or from so many times the clip's median on if that is more.
_BAD_UNCERTAIN = 0.001
_BAD_ERROR, _BAD_FLICKER = (0.01, 2.5), (0.001, 5.0)
# Frames on each side of a bad one that are made anew as well, so that no jump is left.
_WIDEN = 5
# The higher budget of a second pass.
_BETTER_THRESHOLD = 0.05


def bad_spans(rows: Iterable[Row], count: int) -> list[range]:
    """Return the frames that deserve a second pass at a higher budget, as ranges in their order.

    A frame is bad if more than a thousandth of it is uncertain but was not refined; if its flicker is above 0.001
    and five times the clip's median; or if its expected error is above 0.01 and two and a half times the median.
    Five frames on each side go along, and ranges that meet are one.

    Args:
        rows: of the first pass; they are gone through twice.
        count: how many they are.
    """
    middle = medians(rows, count)
    most_error = max(_BAD_ERROR[0], _BAD_ERROR[1] * middle["error"])
    most_flicker = max(_BAD_FLICKER[0], _BAD_FLICKER[1] * middle["flicker"])
    spans: list[range] = []
    for row in rows:
        is_doubtful = row.error > most_error or (row.flicker or 0) > most_flicker
        if row.uncertain > _BAD_UNCERTAIN or is_doubtful:
            first, end = max(0, row.frame - _WIDEN), min(count, row.frame + _WIDEN + 1)
            if spans and first <= spans[-1].stop:
                spans[-1] = range(spans[-1].start, end)
            else:
                spans.append(range(first, end))
    return spans


def better(run: RunConfig) -> RunConfig:
    """Return the settings for a second pass over bad spans.

    The network sees the frames mirrored, too, and the answers are averaged; and all is refined where it expects an
    error above 0.05, or above what was asked for if that is less.

    Measured with earlier weights, as the change of alpha's mean error in whole pictures, and in the band around soft
    edges:

    - the mirror image: -4.5 % in seven stills of the benchmark at 1280x720, one of a category (squared error -12 %);
      -5 % and -5 % in six bad ones enlarged to 1920x1080, between -9 % and +1 %; -19 % in three frames of the sample
      clip, whose flicker nearly halves;
    - threshold 0.05 in place of the usual pixels: +0.5 % and 0 % in five stills that expect an error above 0.01; but
      where only an eighth of the usual pixels had been refined, -19 % in the band of three frames of the sample clip.

    What does harm in the same five stills: threshold 0.02 without a limit of pixels, +2.5 % and 0 %; pixels doubled,
    +4 % and 0 %; all pixels, +19 % and +1 %, because the refiner leaves traces where nothing was wrong. Twice the
    scale, in six stills enlarged to 1920x1080, +4 % and -9 %: edges gain, holes in a subject grow. The error it expects
    tells good pictures from bad (rank correlation 0.9 with the true one), but not which of two scales is right for one
    (0.1).

    Args:
        run: the settings of the first pass.
    """
    if run.refine == "full":
        return replace(run, mirror=True)
    threshold = _BETTER_THRESHOLD if run.threshold is None else min(run.threshold, _BETTER_THRESHOLD)
    return replace(run, mirror=True, refine="thresholding", threshold=threshold)
