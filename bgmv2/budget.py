"""How much work a frame is worth: settings from the best to the cheapest, and who goes up and down between them.

Nothing here measures time or touches a network; both are told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

COARSE_SIDE = 640  # pixels; 1/4 for HD and 1/8 for 4K, the scales of Lin et al. 2021, and 1/2 for 1280x720
REFINED_SHARE = 1 / 16  # of all pixels; the paper's settings for HD and 4K refine 1/26
# Below these there is hardly a subject left.
_LEAST_SIDE, _LEAST_SHARE = 160, 1 / 256
# Frames of which the median tells what a frame costs.
_REMEMBERED = 8
# A frame may take this share of its time, for what follows needs some, too; and what was too dear is tried again only
# if it should take this share of it.
_FULL, _ROOMY = 0.95, 0.75
# Frames for which there must have been room before something dearer is tried. If that was too dear, the wait doubles.
_PATIENCE, _MOST_PATIENCE = 24, 1536


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
    scale = 0.5
    while max(height, width) * scale > COARSE_SIDE:
        scale /= 2
    return scale


def pixels_for(height: int, width: int) -> int:
    """How many pixels of pictures of this size are refined in `sampling`, unless it is chosen."""
    return round(height * width * REFINED_SHARE)


def settings_for(height: int, width: int, *, scale: float | None = None, pixels: int | None = None) -> list[Setting]:
    """Settings from the best to the cheapest, in turns with half as many pixels to refine and half the scale.

    Args:
        height: of the frames.
        width: of the frames.
        scale: of the best; None chooses by the size.
        pixels: of the best; None as well.

    Returns:
        At least one.
    """
    scale = scale_for(height, width) if scale is None else scale
    pixels = pixels_for(height, width) if pixels is None else pixels
    settings = [Setting(scale, pixels)]
    while True:
        can_refine_less = pixels / 2 >= _LEAST_SHARE * height * width
        can_see_less = max(height, width) * scale / 2 >= _LEAST_SIDE
        if can_refine_less and (len(settings) % 2 or not can_see_less):
            pixels //= 2
        elif can_see_less:
            scale /= 2
        else:
            return settings
        settings.append(Setting(scale, pixels))


def bytes_for(height: int, width: int, setting: Setting, *, half: bool = False) -> int:
    """Estimate what the network needs for a frame, besides its weights; with `half`, in a format of 16 bits.

    Source: peaks of the process, measured on the CPU for 1280x720, 1920x1080 and 3840x2160 at scales from 1/8 to 1/2
    and with 8,100 to 518,400 pixels; all lie within 10 %.
    """
    area = height * width
    return round((160 * area + 440 * area * setting.scale**2 + 900 * setting.pixels) / (2 if half else 1))


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
    """Holds a rate: goes to cheaper settings at once when frames take too long, and back only with patience.

    So that quality does not go up and down all the time, what was too dear is tried again only after a while that
    doubles each time it was in vain, and only if what it cost last time would fit now.

    Args:
        rate: frames a second that are wanted.
        settings: from the best to the cheapest.

    Raises:
        ValueError: the rate is not positive, or there are no settings.
    """

    def __init__(self, rate: float, settings: Sequence[Setting]) -> None:
        if not rate > 0 or not settings:
            raise ValueError(f"a rate is positive and there are settings, got {rate = }, {settings = }")
        self._period = 1 / rate
        self._settings = list(settings)
        self._level = 0
        self._frames, self._seconds = 0, 0.0
        self._costs: deque[float] = deque(maxlen=_REMEMBERED)
        # What a frame of each setting cost against one of the next cheaper, where that is known.
        self._steps: dict[int, float] = {}
        self._left: float | None = None
        self._roomy = 0
        self._patience = _PATIENCE
        # The setting that is on trial, and frames for which it has fitted.
        self._trial: int | None = None
        self._fitting = 0

    @property
    def setting(self) -> Setting:
        """For the next frame."""
        return self._settings[self._level]

    @property
    def rate(self) -> float:
        """Frames a second so far."""
        return self._frames / self._seconds if self._seconds else 0.0

    def step(self, seconds: float) -> Setting:
        """Hear how long a frame took, and say how the next one is done.

        Args:
            seconds: of work on the frame.

        Returns:
            The setting for the next frame.
        """
        self._frames += 1
        self._seconds += seconds
        self._costs.append(seconds)
        if len(self._costs) < _REMEMBERED // 2:
            return self.setting
        cost = median(self._costs)
        if self._left is not None and len(self._costs) == self._costs.maxlen:
            self._steps[self._level - 1] = self._left / cost
            self._left = None
        if cost > _FULL * self._period:
            self._go_down(cost)
        elif self._level and cost * self._steps.get(self._level - 1, 1.0) < _ROOMY * self._period:
            self._roomy += 1
            if self._roomy >= self._patience:
                self._go_up()
        else:
            self._roomy = 0
        if self._trial == self._level:
            # What has fitted for as long as was waited for it was not tried in vain.
            self._fitting += 1
            if self._fitting > self._patience:
                self._trial, self._patience = None, _PATIENCE
        return self.setting

    def _go_down(self, cost: float) -> None:
        if self._level + 1 == len(self._settings):
            return
        if self._trial is not None:
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
            self._trial = None
        self._left = cost
        self._move(self._level + 1)

    def _go_up(self) -> None:
        self._trial, self._fitting = self._level - 1, 0
        self._left = None
        self._move(self._level - 1)

    def _move(self, level: int) -> None:
        self._level = level
        self._roomy = 0
        self._costs.clear()
