"""Light that drifts: exposure and white balance of each frame against the plate, steadied from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from bgmv2.plate import photometric
from bgmv2.plate.geometry import scaling
from bgmv2.plate.photometric import SAME_LIGHT, Exposure
from bgmv2.plate.views import reduced

# Light is measured on pictures of this long side: averaging is welcome.
_SIDE = 80
# The light of a clip drifts; single frames err. Small differences are followed slowly, large ones at once unless the
# plate was not found.
_SLOW, _FAST = 0.15, 0.08


class LightMeter:
    """Measures the light of the frames of one clip, in their order.

    Args:
        plate: ``(H, W, 3)`` float32, 0..1.
    """

    def __init__(self, plate: np.ndarray):
        self._full = plate.shape[:2]
        self._plate = reduced(plate, _SIDE)
        self._last = SAME_LIGHT
        self._is_lit = False

    @property
    def last(self) -> Exposure:
        """What was said of the latest frame."""
        return self._last

    def measure(self, frame: np.ndarray, homography: np.ndarray, *, doubtful: bool) -> Exposure:
        """Measure the light of the next frame.

        Args:
            frame: ``(h, w, 3)`` float32, 0..1; any size of the plate's shape.
            homography: ``(3, 3)``, where the plate of the size given at first lies in a frame of that size.
            doubtful: the plate was not found in this frame, so that only slow changes are believed.

        Returns:
            The light, steadied; that of the frame before where this one does not tell.
        """
        size = self._plate.shape[1::-1]
        to_small = scaling(self._full, self._plate.shape[:2])
        small = to_small @ homography @ np.linalg.inv(to_small)
        plate = cv2.warpPerspective(self._plate, small, size, borderMode=cv2.BORDER_REPLICATE)
        covered = cv2.warpPerspective(np.ones(size[::-1], np.uint8), small, size) > 0
        light = photometric.estimate(plate, reduced(frame, _SIDE), covered, near=self._last)
        if light is not None:
            self._last = self._steadied(light, doubtful=doubtful)
            self._is_lit = True
        return self._last

    def _steadied(self, light: Exposure, *, doubtful: bool) -> Exposure:
        last = self._last
        if not self._is_lit:
            return light
        difference = float(np.abs(light.gain + light.bias - last.gain - last.bias).max())
        return last.towards(light, _SLOW if doubtful else min(1.0, _SLOW + difference / _FAST))

    def state(self) -> dict[str, Any]:
        """Return what the meter remembers of the frames so far, all of which goes through JSON unchanged."""
        return {"lit": self._is_lit, "gain": self._last.gain.tolist(), "bias": self._last.bias.tolist()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another meter of the same plate did when it returned `state`."""
        self._is_lit = state["lit"]
        self._last = Exposure(np.array(state["gain"]), np.array(state["bias"]))
