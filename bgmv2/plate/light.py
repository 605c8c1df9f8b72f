"""Light that drifts and flickers: that of each frame against the plate, steadied from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from bgmv2.plate import photometric, uneven
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.geometry import scaling
from bgmv2.plate.photometric import UNEXPLAINED, UNKNOWN, Camera
from bgmv2.plate.views import reduced

# Light is measured on pictures of this long side: averaging is welcome.
_SIDE = 80
# Single frames err: of a difference this large, in code values or as a share of the light, half is believed at once, of
# much larger ones nearly all, of small ones little, but never less than the least.
_DOUBT, _LEAST = 0.003, 0.1
# Where the plate was not found, only slow changes are believed.
_SLOW = 0.15
# So much more of the picture than was lately left unexplained calls for another search; what is remembered of that from
# one frame to the next.
_MORE, _REMEMBERED = 0.03, 0.97
# No camera is known better than this, as an inverse variance: its curve may depend on the scene.
_SURE = 2500.0
# Greys on which exposures are compared.
_GREYS = np.array([0.2, 0.5, 0.8])[:, None]


class LightMeter:
    """Measures the light of the frames of one clip, in their order.

    Args:
        plate: ``(H, W, 3)`` float32, 0..1.
        seen: ``(H, W)`` bool, where the plate shows the scene; None means everywhere.
    """

    def __init__(self, plate: np.ndarray, seen: np.ndarray | None = None):
        self._full = plate
        self._seen = np.ones(plate.shape[:2], np.float32) if seen is None else seen.astype(np.float32)
        self._small: tuple[np.ndarray, np.ndarray] | None = None
        self._last = SAME_LIGHT
        self._steady = SAME_LIGHT
        self._is_lit = False
        self._camera = UNKNOWN
        self._vain = 0.0

    @property
    def last(self) -> Exposure:
        """What was said of the latest frame."""
        return self._last

    def measure(self, frame: np.ndarray, homography: np.ndarray, *, doubtful: bool) -> Exposure:
        """Measure the light of the next frame.

        Args:
            frame: ``(h, w, 3)`` float32, 0..1.
            homography: ``(3, 3)``, from pixels of the plate as it was given at first to those of the frame.
            doubtful: the plate was not found in this frame, so that only slow changes are believed.

        Returns:
            The light, steadied; that of the frame before where this one does not tell.
        """
        small = reduced(frame, _SIDE)
        plate, covered = self._placed(homography, frame.shape[:2], small.shape[:2])
        enough = max(UNEXPLAINED, self._vain + _MORE)
        measured = photometric.measure(plate, small, covered, near=self._steady, camera=self._camera, enough=enough)
        if measured is not None:
            self._camera = Camera(measured.camera.rolloff, min(measured.camera.certainty, _SURE))
            # What no search explained, such as a subject, is not looked into again soon, unless there is more of it.
            is_vain = measured.bands is None and measured.light.field is self._steady.field
            remembered = _REMEMBERED * min(self._vain, measured.unexplained)
            self._vain = measured.unexplained if is_vain and measured.unexplained > enough else remembered
            self._steady = self._steadied(measured.light, doubtful=doubtful)
            self._is_lit = True
            # Flicker is never what it was a frame before.
            flickers = measured.bands is not None and not doubtful
            self._last = _on_top(measured.light, measured.bands) if flickers else self._steady
        return self._last

    def _placed(
        self, homography: np.ndarray, full: tuple[int, ...], small: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bring the plate to a reduced frame, and tell which pixels it shows, ``(h, w)`` bool."""
        if self._small is None:
            # A plate that was made of a sweep is larger than a frame, and is reduced as much as one.
            height, width = (max(1, round(n * small[1] / full[1])) for n in self._full.shape[:2])
            plate, seen = (
                cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
                for picture in (self._full, self._seen)
            )
            self._small = plate, seen
        plate, seen = self._small
        matrix = scaling(full, small) @ homography @ np.linalg.inv(scaling(self._full.shape, plate.shape))
        size = small[1], small[0]
        placed = cv2.warpPerspective(plate, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return placed, cv2.warpPerspective(seen, matrix, size) > 0.99

    def _steadied(self, light: Exposure, *, doubtful: bool) -> Exposure:
        last = self._steady
        if not self._is_lit:
            return light
        most = _SLOW if doubtful else 1.0
        even = _share(light.bend(_GREYS) - last.bend(_GREYS))
        if light.field is last.field:
            return last.towards(light, min(even, most), field_share=0.0).with_field(last.field)
        field = _share(light.logs(*uneven.GRID) - last.logs(*uneven.GRID))
        return last.towards(light, min(even, most), field_share=min(field, most))

    def state(self) -> dict[str, Any]:
        """Return what the meter remembers of the frames so far, all of which goes through JSON unchanged."""
        lights = {"last": self._last.state(), "steady": self._steady.state()}
        return {"lit": self._is_lit, "camera": list(self._camera), "vain": self._vain, **lights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what another meter of the same plate did when it returned `state`."""
        self._is_lit = state["lit"]
        self._camera, self._vain = Camera(*state["camera"]), state["vain"]
        self._last, self._steady = (Exposure.restored(state[name]) for name in ("last", "steady"))


def _on_top(light: Exposure, bands: np.ndarray | None) -> Exposure:
    """Add bands to a light's field."""
    return light if bands is None else light.with_field(bands if light.field is None else light.field + bands)


def _share(difference: np.ndarray | float) -> float:
    """How much of a difference between two frames is believed."""
    square = float(np.mean(np.square(difference)))
    return max(_LEAST, square / (square + _DOUBT**2))
