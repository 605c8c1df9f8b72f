"""How much work a frame is worth: settings from the best to the cheapest, and who goes up and down between them.

Nothing here measures time or touches a network; both are told.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle
from statistics import median

from bgmv2.config import REFINED_SHARE

# Pixels: 1/2 for 1280x720, 1/3 for HD, 1/6 for 4K. Lin et al. 2021 take 1/4 for HD and 1/8 for 4K; at HD, 1/3 has a
# fifth less error than 1/4, and at 1/2, where the network does not look as far, things fail as a whole.
COARSE_SIDE = 640
# Below these there is hardly a subject left.
_LEAST_SIDE, _LEAST_SHARE = 160, 1 / 256
# Each cheaper setting refines half as many pixels or sees the frame at so much of the scale, in turns; edges are given
# up first, for who loses a strand of hair is still the same person.
_FEWER, _SMALLER = 1 / 2, (3 / 4, 2 / 3)
# So many frames must agree before another setting is taken, which one slow frame does not decide.
_FEW, _WINDOW = 4, 12
# It is taken that the next better setting takes so much longer, until it has been tried.
_DEARER, _LEAST_DEARER, _MOST_DEARER = 1.3, 1.02, 3.0
# A frame may take this share of its time, for what follows needs some, too. A better setting is taken if it should fit
# with more to spare, and not before so many frames; each time that it did not hold, twice as many pass before it is
# tried again.
_FULL, _ROOMY, _PATIENCE, _MOST_PATIENCE = 0.95, 0.8, 30, 3840


@dataclass(frozen=True)
class Setting:
    """What the network spends on a frame.

    Args:
        scale: at which the base network sees it.
        pixels: that are refined.
    """

    scale: float
    pixels: int


def scale_for(height: int, width: int) -> float:
    """The scale at which the base network sees pictures of this size, unless it is chosen."""
    return 1 / max(2, math.ceil(max(height, width) / COARSE_SIDE))


def scale_text(scale: float) -> str:
    """Write a scale as the flags take it: ``1/3``."""
    return str(Fraction(scale).limit_denominator(1000))


def pixels_for(height: int, width: int) -> int:
    """How many pixels of pictures of this size are refined in `sampling`, unless it is chosen."""
    return round(height * width * REFINED_SHARE)


def settings_for(
    height: int, width: int, *, scale: float | None = None, pixels: int | None = None, least: float = 0.0
) -> list[Setting]:
    """Settings from the best to the cheapest. What is chosen stays.

    Args:
        height: of the frames.
        width: of the frames.
        scale: of all settings; None chooses by the size, and goes down.
        pixels: of all settings; None as well.
        least: share of the best scale, 0..1, below which no setting sees a frame.

    Returns:
        At least one.
    """
    keeps_scale, keeps_pixels = scale is not None, pixels is not None
    scale = best = scale_for(height, width) if scale is None else scale
    pixels = pixels_for(height, width) if pixels is None else pixels
    settings = [Setting(scale, pixels)]
    smaller = cycle(_SMALLER)
    sees_less = False  # what is done next, in turns
    share = next(smaller)
    while True:
        can_refine_less = not keeps_pixels and pixels * _FEWER >= _LEAST_SHARE * height * width
        side = max(height, width) * scale * share
        can_see_less = not keeps_scale and side >= _LEAST_SIDE and scale * share >= least * best
        if can_refine_less and not (sees_less and can_see_less):
            pixels, sees_less = int(pixels * _FEWER), True
        elif can_see_less:
            scale, share, sees_less = scale * share, next(smaller), False
        else:
            return settings
        settings.append(Setting(scale, pixels))


def bytes_for(height: int, width: int, setting: Setting, *, half: bool = False) -> int:
    """Estimate what the network needs for a frame, besides its weights; with `half`, in a format of 16 bits.

    Source: peaks of the process, measured on the CPU for 1280x720, 1920x1080 and 3840x2160 at scales from 1/8 to 1/2
    and with 8,100 to 518,400 pixels; all lie within 10 %. With `half`, sums of all tensors as CUDA would hold them, at
    such sizes, which lie 10 to 28 % lower: pictures and a part of the network stay float32.
    """
    area = height * width
    maps = 160 * area + 440 * area * setting.scale**2
    return round(0.7 * maps + 1150 * setting.pixels if half else maps + 900 * setting.pixels)


def affordable(height: int, width: int, settings: Sequence[Setting], *, memory: int, half: bool = False) -> Setting:
    """Choose the best setting whose frame takes at most half the memory, for other stages need some; or the cheapest.

    Args:
        height: of the frames.
        width: of the frames.
        settings: from the best to the cheapest.
        memory: that is free, in bytes.
        half: the network computes in a format of 16 bits.
    """
    fitting = (s for s in settings if bytes_for(height, width, s, half=half) <= memory / 2)
    return next(fitting, settings[-1])


class Governor:
    """Holds a rate by choosing among settings: down within a few frames, up with patience, and not to and fro.

    It learns how much longer each setting takes than the next cheaper one. So it goes down by several at once if need
    be, and up only if what is dearer should fit.

    Args:
        rate: frames a second that are wanted.
        settings: from the best to the cheapest.

    Raises:
        ValueError: the rate is not positive, or there are no settings.
    """

    def __init__(self, rate: float, settings: Sequence[Setting]) -> None:
        if not rate > 0 or not settings:
            raise ValueError(f"a rate is positive and there are settings, got {rate = }, {settings = }")
        self._limit = _FULL / rate
        self._settings = list(settings)
        self._level = 0
        # How much longer each setting takes than the next cheaper one, as far as that was seen; and frames that pass
        # before it is tried again.
        self._dearer = [_DEARER] * len(settings)
        self._patience = [_PATIENCE] * len(settings)
        self._costs: deque[float] = deque(maxlen=_WINDOW)
        # Frames at this setting, and frames since the next better one was asked about.
        self._stay, self._waited = 0, 0
        self._came_from: tuple[int, float] | None = None
        self._is_warm = False

    @property
    def setting(self) -> Setting:
        """For the next frame."""
        return self._settings[self._level]

    def step(self, seconds: float) -> Setting:
        """Hear how long a frame took, and say how the next one is done.

        Args:
            seconds: of work on the frame.

        Returns:
            The setting for the next frame.
        """
        if not self._is_warm:
            # The first frame after a change pays for the change.
            self._is_warm = True
            return self.setting
        self._costs.append(seconds)
        self._stay += 1
        self._waited += 1
        if len(self._costs) < _FEW:
            return self.setting
        cost = median(self._costs)
        if self._came_from is not None:
            self._learn(cost, *self._came_from)
            self._came_from = None
        better = self._level - 1
        if cost > self._limit:
            self._go_down(cost)
        elif better >= 0 and self._waited >= self._patience[better]:
            if cost * self._dearer[better] <= _ROOMY * self._limit:
                self._move(better, cost)
            else:
                # Asked again later: the machine may have less to do by then. What was learned is believed less and less
                # until then, for a load that ended meanwhile looks like a setting that is dear.
                self._waited = 0
                self._dearer[better] = min(self._dearer[better], math.sqrt(self._dearer[better] * _DEARER))
        return self.setting

    def _go_down(self, cost: float) -> None:
        level, last = self._level, len(self._settings) - 1
        if level == last:
            return
        # What did not hold for as long as was waited for it is waited for twice as long. What held, holds when cheaper.
        if self._stay >= self._patience[level]:
            self._patience[level:] = [_PATIENCE] * (len(self._patience) - level)
        else:
            self._patience[level] = min(_MOST_PATIENCE, 2 * self._patience[level])
        expected = cost
        while level < last and expected > self._limit:
            expected /= self._dearer[level]
            level += 1
        self._move(level, cost)

    def _move(self, level: int, cost: float) -> None:
        self._came_from = self._level, cost
        self._level = level
        self._costs.clear()
        self._stay = self._waited = 0
        self._is_warm = False

    def _learn(self, cost: float, level: int, before: float) -> None:
        """Learn from a step by one how much dearer the better of the two is.

        Args:
            cost: of a frame now, in seconds.
            level: at which frames were done before.
            before: what a frame cost then.
        """
        if abs(level - self._level) == 1:
            ratio = before / cost if level < self._level else cost / before
            self._dearer[min(level, self._level)] = min(_MOST_DEARER, max(_LEAST_DEARER, ratio))
