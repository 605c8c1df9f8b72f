"""Light is measured: exposure, white balance and unevenness of a frame against the plate.

What is background is not known, but only its pixels agree on one light, and have the plate's structure in any light.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.plate import uneven
from bgmv2.plate.exposure import SAME_LIGHT, Exposure

# A plate and a clip that differ by more than this belong to another take; a fit beyond that is an accident.
_GAIN_LIMITS = (0.33, 3.0)
_BIAS_LIMIT = 0.1
_ROLLOFF_LIMITS = (0.0, 0.98)
# Code values this near to black or white may have been clipped by the camera, and then say nothing of a gain.
_CLIPPED_BELOW, _CLIPPED_ABOVE = 0.03, 0.97
# What is known before looking: a camera's gain wanders by some 20 %, its black point hardly; pixels of background
# differ by about 1 %, and neighbours err together, so that many pixels are worth no more than these few.
_GAIN_SPREAD, _BIAS_SPREAD, _PIXEL_SPREAD, _WORTH = 0.2, 0.01, 0.01, 400
# Below this share of the picture an agreement may be chance.
_LEAST_SHARE = 0.05
_LEAST_PIXELS = 64
# Pixels that differ by more are taken for subject: at first, and at last.
_TOLERANCES = (0.2, 0.14, 0.1, 0.07, 0.05, 0.035, 0.025, 0.02)
# Bands of flicker are sought among pixels that differ by less than this.
_BANDS_TOLERANCE = 0.12
# Another field is sought if the one that is known leaves more unexplained than this, as a share of what may be
# background. Of what differs by more than the next it must explain so much: from the first it is believed, from the
# second in full.
UNEXPLAINED, _BELIEVED, _BELIEF = 0.07, 0.04, (0.35, 0.6)
# Side of the windows, in pixels of small pictures, in which plate and frame should have the same structure; standard
# deviation that is noise; how much a place without any structure counts.
_WINDOW, _NOISE, _PLAIN = 7, 0.006, 0.25


class Camera(NamedTuple):
    """What is known of how a camera rolls off highlights, which stays the same through a clip.

    Args:
        rolloff: as in `Exposure`.
        certainty: inverse variance of that.
    """

    rolloff: float
    certainty: float


# A camera of which nothing is known yet.
UNKNOWN = Camera(0.2, 10.0)


class Measured(NamedTuple):
    """What a comparison of plate and frame told.

    Args:
        light: with a smooth field, if any.
        camera: what is known of it now.
        bands: field of flickering lamps, which comes on top; None if there is no flicker.
        unexplained: share of what may be background that the field that was known did not explain.
    """

    light: Exposure
    camera: Camera
    bands: np.ndarray | None
    unexplained: float


def estimate(
    plate: np.ndarray, frame: np.ndarray, covered: np.ndarray | None = None, *, near: Exposure = SAME_LIGHT
) -> Exposure | None:
    """Estimate the light where a frame shows the plate, though a subject may cover 60 % of it.

    Args:
        plate: ``(h, w, 3)`` float32, 0..1, aligned to the frame.
        frame: ``(h, w, 3)`` float32, 0..1.
        covered: ``(h, w)`` bool, where the plate has pixels; None means everywhere.
        near: what to expect, such as the light of the frame before; among rival gains the nearest wins.

    Returns:
        The light, or None if the pictures hold too little evidence of one.

    Raises:
        ValueError: the shapes do not belong together.
    """
    measured = measure(plate, frame, covered, near=near)
    return None if measured is None else measured.light


def measure(
    plate: np.ndarray,
    frame: np.ndarray,
    covered: np.ndarray | None = None,
    *,
    near: Exposure = SAME_LIGHT,
    camera: Camera = UNKNOWN,
    enough: float = UNEXPLAINED,
) -> Measured | None:
    """Do what `estimate` does, and tell more.

    The peak of the histogram of ratios starts a reweighted least-squares fit that closes in on the background, with the
    field that is known. If that leaves more than `enough` unexplained, another field is sought, and bands of flickering
    lamps. They must explain most of it: a field cannot if a subject's shadow is to blame. Small pictures are best:
    averaging hides noise and misalignment.
    """
    if plate.ndim != 3 or plate.shape[2] != 3 or plate.shape != frame.shape:
        raise ValueError(f"both pictures are (h, w, 3) and alike, got {plate.shape = }, {frame.shape = }")
    if covered is not None and covered.shape != plate.shape[:2]:
        raise ValueError(f"the mask is (h, w) like the pictures, got {covered.shape = }, {plate.shape = }")
    usable = (np.minimum(plate, frame) > _CLIPPED_BELOW) & (np.maximum(plate, frame) < _CLIPPED_ABOVE)
    inside = usable.all(axis=2) if covered is None else usable.all(axis=2) & covered
    fit = _Fit(plate, frame, inside * likeness(plate, frame), camera)
    if fit.count < fit.least:
        return None
    known = fit.factors(near.field)
    start = near.with_field(near.field, gain=fit.peak(near, known), rolloff=camera.rolloff)
    light = fit.close_in(start, known)
    if light is None:
        return None
    factors, bands = known, None
    unexplained = fit.unexplained(light, factors)
    if unexplained > enough:
        other, factors = fit.with_other_field(light, known)
        other, bands = fit.with_bands(other, factors)
        if bands is None:
            light = other
        else:
            # What was taken for a field may have been the bands.
            factors = known * fit.factors(bands)
            light = fit.close_in(light, factors, steps=4) or light
            if fit.unexplained(light, factors) > enough:
                light, factors = fit.with_other_field(light, known, fit.factors(bands))
    if np.count_nonzero(fit.weight(light, factors, _TOLERANCES[-1])) < fit.least:
        return None
    return Measured(light, fit.learnt(light, factors), bands, unexplained)


_Seen = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Fit:
    """Fits light to the pixels that may be background, ``N`` of them.

    Args:
        plate: ``(h, w, 3)``.
        frame: ``(h, w, 3)``.
        likely: ``(h, w)``, how much each pixel may show the plate, 0..1.
        camera: what is known of it.

    Attributes:
        count: how many pixels there are.
        least: how many must agree.
    """

    def __init__(self, plate: np.ndarray, frame: np.ndarray, likely: np.ndarray, camera: Camera):
        self._chosen = likely > 0
        self._likely = likely[self._chosen].astype(np.float32)
        self._total = float(self._likely.sum())
        picked = (np.ascontiguousarray(picture[self._chosen].T, np.float32) for picture in (plate, frame))
        self._x, self._y = picked  # (3, N)
        self._prior = camera
        self.count = self._likely.size
        self.least = max(_LEAST_PIXELS, _LEAST_SHARE * likely.size)

    def factors(self, field: np.ndarray | None) -> np.ndarray:
        """What a field multiplies the light by at the chosen pixels, ``(3, N)``."""
        if field is None:
            return np.ones_like(self._x)
        return np.exp(uneven.resized(field, *self._chosen.shape)[self._chosen].T)

    def peak(self, near: Exposure, factors: np.ndarray) -> np.ndarray:
        """Find the gain ``(3,)`` on which most pixels agree: that of brightness first, then of each channel."""
        x, y = self._x * factors, np.maximum(self._y - near.bias[:, None], 1e-3)
        log_ratio = np.log(y / x)
        brightness = np.log(y.sum(axis=0) / x.sum(axis=0))
        common = _mode(brightness, float(np.log(near.gain).mean()), 0.5, self._likely)
        alike = np.abs(brightness - common) < 0.1
        return np.exp([_mode(log_ratio[c, alike], common, 0.3, self._likely[alike]) for c in range(3)])

    def weight(self, light: Exposure, factors: np.ndarray, tolerance: float) -> np.ndarray:
        """How surely each pixel is background in this light, ``(N,)`` in 0..1."""
        return self._weigh(self._look(light, factors)[2], tolerance)

    def unexplained(self, light: Exposure, factors: np.ndarray, tolerance: float = _TOLERANCES[-1]) -> float:
        """The share of what may be background that this light does not explain."""
        return 1 - float(self.weight(light, factors, tolerance).sum()) / self._total

    def close_in(self, light: Exposure, factors: np.ndarray, *, steps: int = len(_TOLERANCES)) -> Exposure | None:
        """Fit all but the field, ever more strictly; None if too few pixels agree."""
        for tolerance in _TOLERANCES[-steps:]:
            seen = self._look(light, factors)
            weight = self._weigh(seen[2], tolerance)
            if weight.sum() < self.least / 16:
                return None
            light = self._stepped(light, seen, weight)
        return light

    def with_other_field(
        self, light: Exposure, known: np.ndarray, bands: np.ndarray | float = 1.0
    ) -> tuple[Exposure, np.ndarray]:
        """Seek another field.

        Args:
            light: what fits best with the field that is known.
            known: ``(3, N)`` factors of that field.
            bands: ``(3, N)`` factors of the bands, which stay.

        Returns:
            The light with what is believed of the other field, and factors of all, ``(3, N)``.
        """
        basis = uneven.polynomials(*self._chosen.shape)[:, self._chosen.ravel()]
        other, factors = light, known * bands
        coefficients = np.zeros((len(basis), 3))
        for tolerance in _TOLERANCES:
            seen = self._look(other, factors)
            weight = self._weigh(seen[2], tolerance)
            coefficients = uneven.fit_smooth(basis, *self._left(other, weight, bands))
            factors = np.exp(coefficients.T.astype(np.float32) @ basis) * bands
            other = self._stepped(other, seen, weight)
        # A field that was believed in part must not be harder to believe for that.
        even = light if light.field is None else self.close_in(light.with_field(None), np.ones_like(known) * bands)
        missing = [self._missing(light, known * bands), self._missing(even or light, np.ones_like(known) * bands)]
        left = self._missing(other, factors)
        trust = _trust(max(missing), left) if left < missing[0] else 0.0
        if not trust:
            return light, known * bands
        light = light.towards(other.with_field(uneven.smooth(coefficients)), trust)
        return light, self.factors(light.field) * bands

    def with_bands(self, light: Exposure, factors: np.ndarray) -> tuple[Exposure, np.ndarray | None]:
        """Seek bands of flicker on top of a light and its field; they come as a field of their own."""
        weight = self.weight(light, factors, _BANDS_TOLERANCE)
        left, certainty = (self._unpicked(values) for values in self._left(light, weight, factors))
        bands = uneven.fit_bands(left, certainty)
        if bands is None:
            return light, None
        banded = factors * self.factors(bands)
        other = self.close_in(light, banded, steps=4)
        if other is None:
            return light, None
        trust = _trust(self._missing(light, factors), self._missing(other, banded))
        return (other, trust * bands) if trust else (light, None)

    def learnt(self, light: Exposure, factors: np.ndarray) -> Camera:
        """Tell what is known of the camera if this light is right."""
        seen = self._look(light, factors)
        normal, _ = self._equations(light, seen, self._weigh(seen[2], _TOLERANCES[-1]))
        # What remains certain of the roll-off if nothing else is.
        certainty = normal[6, 6] - normal[6, :6] @ np.linalg.solve(normal[:6, :6], normal[:6, 6])
        return Camera(light.rolloff, float(certainty))

    def _missing(self, light: Exposure, factors: np.ndarray) -> float:
        """The share of what may be background that is far from this light."""
        return self.unexplained(light, factors, _BELIEVED)

    def _look(self, light: Exposure, factors: np.ndarray) -> _Seen:
        """Return the light's factors, the denominators of the roll-off, and what is left of the frame; ``(3, N)``."""
        m = light.gain[:, None].astype(np.float32) * factors
        below = 1 + np.float32(light.rolloff) * (m - 1) * self._x
        return m, below, self._y - (m * self._x / below + light.bias[:, None].astype(np.float32))

    def _weigh(self, errors: np.ndarray, tolerance: float) -> np.ndarray:
        distance = np.abs(errors).max(axis=0) * np.float32(1 / tolerance)
        return self._likely * np.square(np.maximum(1 - np.square(distance), 0))

    def _worth(self, weight: np.ndarray) -> np.ndarray:
        """Inverse variances of code values, by how surely they are background."""
        return weight * np.float32(min(1.0, _WORTH / max(float(weight.sum()), 1e-9)) / _PIXEL_SPREAD**2)

    def _left(self, light: Exposure, weight: np.ndarray, factors: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Tell what a light leaves to explain: logarithms ``(N, 3)`` and their inverse variances ``(N,)``."""
        rolloff = np.float32(light.rolloff)
        y = np.maximum(self._y - light.bias[:, None].astype(np.float32), np.float32(1e-3))
        rest = np.maximum(1 - rolloff * y, np.float32(0.02))
        ratio = y * (1 - rolloff * self._x) / (self._x * rest)
        left = np.log(ratio / (light.gain[:, None].astype(np.float32) * factors))
        # An error of a code value is a small one of light where there is much of it.
        return left.T, self._worth(weight) * np.square(y * rest).mean(axis=0)

    def _stepped(self, light: Exposure, seen: _Seen, weight: np.ndarray) -> Exposure:
        """Improve gain, bias and roll-off by a step of Gauss and Newton."""
        normal, right = self._equations(light, seen, weight)
        step = np.linalg.solve(normal, right)
        rolloff = float(np.clip(light.rolloff + step[6], *_ROLLOFF_LIMITS))
        if rolloff != light.rolloff + step[6]:
            # The others step as if the roll-off could go on, and would go to and fro for ever where it cannot.
            step[:6] = np.linalg.solve(normal[:6, :6], right[:6] - normal[:6, 6] * (rolloff - light.rolloff))
        return light.with_field(
            light.field,
            gain=np.clip(light.gain * np.exp(np.clip(step[:3], -0.5, 0.5)), *_GAIN_LIMITS),
            bias=np.clip(light.bias + step[3:6], -_BIAS_LIMIT, _BIAS_LIMIT),
            rolloff=rolloff,
        )

    def _equations(self, light: Exposure, seen: _Seen, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Set up that step, ``(7, 7)`` and ``(7,)``: logarithms of gain, bias, roll-off, held near what is known."""
        m, below, errors = seen
        lit = m * self._x / np.square(below)
        by_gain = lit * (1 - np.float32(light.rolloff) * self._x)
        by_rolloff = (1 - m) * self._x * lit
        worth = self._worth(weight)
        prior = np.array([_GAIN_SPREAD**-2] * 3 + [_BIAS_SPREAD**-2] * 3 + [self._prior.certainty])
        away = np.concatenate([np.log(light.gain), light.bias, [light.rolloff - self._prior.rolloff]])
        normal, right = np.diag(prior), -prior * away
        for c in range(3):
            rows = np.stack([by_gain[c], np.ones_like(worth), by_rolloff[c], errors[c]])
            sums = (rows * worth) @ rows.T
            where = np.array([c, 3 + c, 6])
            normal[where[:, None], where] += sums[:3, :3]
            right[where] += sums[:3, 3]
        return normal, right

    def _unpicked(self, values: np.ndarray) -> np.ndarray:
        """Bring values ``(N, ...)`` to where their pixels are, ``(h, w, ...)``; the others are 0."""
        whole = np.zeros((*self._chosen.shape, *values.shape[1:]), values.dtype)
        whole[self._chosen] = values
        return whole


def _trust(missing: float, left: float) -> float:
    """Say how much another light is to be believed by what it leaves of that which was missing."""
    gained = 1 - left / max(missing, 1e-9)
    return min(1.0, max(0.0, (gained - _BELIEF[0]) / (_BELIEF[1] - _BELIEF[0])))


def likeness(plate: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Tell by their structure, whatever the light, where a frame may show the plate.

    Returns:
        ``(h, w)`` float32: 1 where both have the same structure, 0 where they have different ones, and in between where
        there is none.
    """
    grey = [np.ascontiguousarray(picture.mean(axis=2, dtype=np.float32)) for picture in (plate, frame)]
    window = (_WINDOW, _WINDOW)
    means = [cv2.blur(g, window) for g in grey]
    own = [np.maximum(cv2.blur(g * g, window) - mean * mean, 0) for g, mean in zip(grey, means, strict=True)]
    shared = cv2.blur(grey[0] * grey[1], window) - means[0] * means[1]
    correlation = shared / np.sqrt((own[0] + _NOISE**2) * (own[1] + _NOISE**2))
    structure = np.maximum(*own)
    structure = structure / (structure + (2 * _NOISE) ** 2)
    alike = np.clip((correlation - 0.3) / 0.5, 0, 1) ** 2
    return structure * alike + (1 - structure) * _PLAIN


def _mode(values: np.ndarray, expected: float, spread: float, weight: np.ndarray) -> float:
    """Find the peak of a smoothed histogram, leaning mildly to what is expected."""
    count, edges = np.histogram(values, bins=110, range=(-1.1, 1.1), weights=weight)
    centre = (edges[1:] + edges[:-1]) / 2
    smooth = np.convolve(count, np.hanning(9)[1:-1], mode="same") * np.exp(-(((centre - expected) / spread) ** 2) / 2)
    return float(centre[smooth.argmax()]) if smooth.any() else expected
