"""One frame's numbers, and the line of JSON that they are kept as."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from bgmv2.config import ModelConfig
from bgmv2.plate.align import Status

# Expected error of alpha from which on a place is uncertain: the paper's threshold to refine.
UNCERTAIN = ModelConfig.refine_threshold
# Flicker catches the eye where an error that stays does not.
_FLICKER_WEIGHT = 10


@dataclass(frozen=True)
class Row:
    """The numbers of one frame. Shares and means are of the picture, 0..1.

    Args:
        frame: its number, from 0 on.
        seconds: when it is shown.
        status: whether the plate was found, see `bgmv2.plate.align.Alignment`.
        shift: how far a corner of the plate was moved at most, in pixels.
        matches: corners of the plate that were sought.
        inliers: how many of them agree.
        residual: their median distance from where they should be, in pixels.
        gain: what the light of the plate's red, green and blue is multiplied by, see `bgmv2.plate.exposure`.
        bias: what is added to them then.
        error: mean error of alpha that the base network expected; what was refined has less.
        refined: share that was refined.
        uncertain: share where it expected more than `UNCERTAIN`, but where nothing was refined.
        coverage: mean alpha.
        flicker: how much alpha changed where the picture did not, see `Inspector`; None if that cannot be told.
        repaired: the frame was made anew at a higher budget.
        bend: how far a lens or parallax moved the plate besides, at most, in pixels.
        rolloff: of the camera's highlights, 0..1.
        uneven: how much the light differs from place to place: 0.05 is some 5 %.
        unseen: share of the frame that the plate does not show.
        reason: why the plate could not be found, or not as well as usual; empty if all is well.
    """

    frame: int
    seconds: float
    status: Status
    shift: float
    matches: int
    inliers: int
    residual: float
    gain: tuple[float, ...]
    bias: tuple[float, ...]
    error: float
    refined: float
    uncertain: float
    coverage: float
    flicker: float | None = None
    repaired: bool = False
    bend: float = 0.0
    rolloff: float = 0.0
    uneven: float = 0.0
    unseen: float = 0.0
    reason: str = ""

    @property
    def score(self) -> float:
        """How bad the frame is: ``error + uncertain + 10 * flicker``; endless if the network failed."""
        score = self.error + self.uncertain + _FLICKER_WEIGHT * (self.flicker or 0)
        return math.inf if math.isnan(score) else score

    @property
    def light(self) -> tuple[float, ...]:
        """What the plate's white became in red, green and blue, but for its roll-off: 1 if the light did not change."""
        return tuple(gain + bias for gain, bias in zip(self.gain, self.bias, strict=True))

    @property
    def numbers(self) -> dict[str, float]:
        """What can be compared from frame to frame, without what is not known; light as its distance from 1."""
        numbers = {
            "shift": self.shift,
            "residual": self.residual,
            "bend": self.bend,
            "light": max(round(abs(light - 1), 5) for light in self.light),
            "uneven": self.uneven,
            "unseen": self.unseen,
            "error": self.error,
            "refined": self.refined,
            "uncertain": self.uncertain,
            "coverage": self.coverage,
            "flicker": math.nan if self.flicker is None else self.flicker,
        }
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    def to_json(self) -> str:
        """One line, without its end. What is no number becomes null."""
        values = {name: None if value != value else value for name, value in asdict(self).items()}
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Row:
        """Undo `to_json`.

        Raises:
            ValueError: it is no such line.
        """
        values = json.loads(line)
        try:
            for name in ("error", "refined", "uncertain", "coverage"):
                values[name] = math.nan if values[name] is None else values[name]
            return cls(**{**values, "gain": tuple(values["gain"]), "bias": tuple(values["bias"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no row of a report: {line!r:.100}") from error
