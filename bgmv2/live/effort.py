"""Effort that fits into a time: which of several ways to do the same work is taken, told by what the last ones took."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Effort:
    """How much work a picture is worth, as shares of the most that is ever spent on one.

    Args:
        scale: of the size at which the coarse network sees it, above 0 and up to 1.
        pixels: of the pixels that are refined, 0..1.
    """

    scale: float = 1.0
    pixels: float = 1.0


# From the best to the cheapest. Edges are given up before the size of what is understood at all: who loses a strand of
# hair is still the same person. Below half the size there would be a halo around him, which no rate makes up for.
EFFORTS = (
    Effort(1, 1),
    Effort(1, 0.5),
    Effort(0.75, 0.5),
    Effort(0.75, 0.25),
    Effort(0.5, 0.25),
    Effort(0.5, 0.125),
)
# So many pictures must agree before another effort is taken, which one slow picture does not decide.
_FEW, _WINDOW = 4, 12
# It is taken that the next better effort takes so much longer, until it has been tried.
_DEARER = 1.3
# A better effort is taken if it should fit with this much to spare, and not before so many pictures; each time that it
# did not hold, twice as many pictures pass before it is tried again.
_SPARE, _PATIENCE, _MOST_PATIENCE = 0.85, 30, 3840


class Governor:
    """Holds the time that a picture takes below a limit by choosing among efforts, without going to and fro.

    Args:
        limit: seconds that a picture may take.
        count: how many efforts there are, the first of which is the best and takes the longest.

    Raises:
        ValueError: the limit is not positive, or there is no effort.

    Attributes:
        level: which effort is to be taken for the next picture, counted from 0.

    Example::

        governor = Governor(1 / 30, len(EFFORTS))
        for picture in pictures:
            effort = EFFORTS[governor.level]
            governor.spent(seconds_of(work(picture, effort)))
    """

    def __init__(self, limit: float, count: int = len(EFFORTS)) -> None:
        if limit <= 0 or count < 1:
            raise ValueError(f"a limit is positive, and there is an effort to take, got {limit = }, {count = }")
        self.level = 0
        self._limit = limit
        # How much longer each effort takes than the next cheaper one, as far as that was seen.
        self._dearer = [_DEARER] * count
        self._patience = [_PATIENCE] * count
        self._costs: deque[float] = deque(maxlen=_WINDOW)
        self._stay = 0
        self._came_from: tuple[int, float] | None = None
        self._is_warm = False

    def spent(self, seconds: float) -> int:
        """Take note of what a picture took with the present effort, and return the level for the next one."""
        if not self._is_warm:
            # The first one after a change pays for the change.
            self._is_warm = True
            return self.level
        self._costs.append(seconds)
        self._stay += 1
        cost = median(self._costs)
        if len(self._costs) == _FEW and self._came_from is not None:
            self._learn(cost)
        if len(self._costs) >= _FEW and cost > self._limit and self.level < len(self._dearer) - 1:
            self._down(cost)
        elif self.level and self._stay >= self._patience[self.level - 1]:
            if cost * self._dearer[self.level - 1] <= _SPARE * self._limit:
                self._move(self.level - 1, cost)
            else:
                # Asked again later: the machine may have less to do by then.
                self._stay = 0
        return self.level

    def _down(self, cost: float) -> None:
        level = self.level
        if self._stay < self._patience[level]:
            self._patience[level] = min(_MOST_PATIENCE, 2 * self._patience[level])
        else:
            self._patience[level] = _PATIENCE
        expected = cost
        while level < len(self._dearer) - 1 and expected > self._limit:
            expected /= self._dearer[level]
            level += 1
        self._move(level, cost)

    def _move(self, level: int, cost: float) -> None:
        self._came_from = self.level, cost
        self.level = level
        self._costs.clear()
        self._stay = 0
        self._is_warm = False

    def _learn(self, cost: float) -> None:
        """Learn from a step by one level how much dearer the better of the two is."""
        assert self._came_from is not None
        level, before = self._came_from
        if abs(level - self.level) == 1:
            ratio = before / cost if level < self.level else cost / before
            self._dearer[min(level, self.level)] = min(3.0, max(1.02, ratio))
        self._came_from = None
