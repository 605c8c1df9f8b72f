"""Exposure: how the light of a frame differs from that of the plate.

**Convention**: `frame ~ m * plate / (1 + rolloff * (m - 1) * plate) + bias` with `m = gain * exp(field)`, per channel
in the order RGB, on code values in 0..1. If a camera bends light by a power, as sRGB and BT.709 do, gain and bias hold
exactly, and `rolloff` is 0; one that rolls off its highlights leaves white nearly where it is: `rolloff` comes near 1.
With `T(v) = v / (1 - rolloff * v)` it reads `T(frame - bias) = m * T(plate)`: `m` is what light is multiplied by.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bgmv2.plate import uneven


@dataclass(frozen=True, eq=False)
class Exposure:
    """How the light of a frame differs from that of the plate; the formula stands above.

    Args:
        gain: ``(3,)`` factor per channel.
        bias: ``(3,)`` offset per channel, for pictures in 0..1.
        rolloff: of the camera's highlights: 0 for none, 1 if white stays white.
        field: ``(rows, columns, 3)`` logarithm of the light over the frame, see `bgmv2.plate.uneven`; None if even.
    """

    gain: np.ndarray
    bias: np.ndarray
    rolloff: float = 0.0
    field: np.ndarray | None = None

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Give a picture ``(h, w, 3)`` in 0..1, aligned to the frame, its light; the result is clipped to 0..1."""
        return np.clip(self.bend(picture, self.logs(*picture.shape[:2])), 0, 1).astype(np.float32)

    def logs(self, height: int, width: int) -> np.ndarray:
        """Return the field over a frame of this size, ``(height, width, 3)`` float32."""
        if self.field is None:
            return np.zeros((height, width, 3), np.float32)
        return uneven.resized(self.field, height, width)

    def bend(self, values: np.ndarray, logs: np.ndarray | float = 0.0) -> np.ndarray:
        """Bring code values ``(..., 3)`` of the plate into the light; `logs` is the field where they are."""
        light = self.gain.astype(values.dtype) * np.exp(logs)
        return light * values / (1 + self.rolloff * (light - 1) * values) + self.bias.astype(values.dtype)

    def towards(self, other: Exposure, share: float, *, field_share: float | None = None) -> Exposure:
        """Go a share of the way to another exposure, and with the field perhaps another share."""
        even = Exposure(
            self.gain + share * (other.gain - self.gain),
            self.bias + share * (other.bias - self.bias),
            self.rolloff + share * (other.rolloff - self.rolloff),
        )
        if self.field is None and other.field is None:
            return even
        before, after = (np.zeros((*uneven.GRID, 3)) if x.field is None else x.field for x in (self, other))
        return even.with_field(before + (share if field_share is None else field_share) * (after - before))

    def with_field(self, field: np.ndarray | None, **others: Any) -> Exposure:
        """The same with another field, and with what else is given."""
        return dataclasses.replace(self, field=field, **others)

    @property
    def white(self) -> np.ndarray:
        """What the plate's white becomes where the light is even, ``(3,)``."""
        return self.bend(np.ones(3))

    @property
    def unevenness(self) -> float:
        """Root mean square of the field: 0.05 says that places differ by some 5 %."""
        return 0.0 if self.field is None else float(np.sqrt(np.mean(self.field**2)))

    def state(self) -> dict[str, Any]:
        """Return all of it as what goes through JSON unchanged."""
        field = None if self.field is None else self.field.tolist()
        return {"gain": self.gain.tolist(), "bias": self.bias.tolist(), "rolloff": self.rolloff, "field": field}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Exposure:
        """Undo `state`."""
        field = None if state["field"] is None else np.array(state["field"])
        return cls(np.array(state["gain"]), np.array(state["bias"]), state["rolloff"], field)


SAME_LIGHT = Exposure(np.ones(3), np.zeros(3))
