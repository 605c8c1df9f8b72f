"""Exposure and white balance: the gain and bias per channel that give the plate the colours of a frame.

**Convention**: `frame ~ gain * plate + bias`, per channel in the order RGB, with pictures in 0..1. It holds for code
values as they stand in the clip; cameras bend them, but over the small changes of one take a line is near enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A plate and a clip that differ by more than a stop belong to another take; a fit beyond that is an accident.
_GAIN_LIMITS = (0.5, 2.0)
_BIAS_LIMIT = 0.1
# Code values this near to black or white may have been clipped by the camera, and then say nothing of a gain.
_CLIPPED_BELOW, _CLIPPED_ABOVE = 0.03, 0.97
# What is known before looking: a camera's gain wanders by some 20 %, its black point hardly; pixels of background
# differ by about 1 %, and neighbours err together, so that many pixels are worth no more than these few.
_GAIN_SPREAD, _BIAS_SPREAD, _PIXEL_SPREAD, _WORTH = 0.2, 0.01, 0.01, 400
# Below this share of the picture an agreement may be chance.
_LEAST_SHARE = 0.05
_LEAST_PIXELS = 64


@dataclass(frozen=True, eq=False)
class Exposure:
    """How the light of a frame differs from that of the plate: `frame ~ gain * plate + bias`.

    Args:
        gain: ``(3,)`` factor per channel, 0.5..2.
        bias: ``(3,)`` offset per channel, for pictures in 0..1.
    """

    gain: np.ndarray
    bias: np.ndarray

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Give a picture ``(..., 3)`` in 0..1 the light of the frame; the result is clipped to 0..1."""
        return np.clip(picture * self.gain.astype(np.float32) + self.bias.astype(np.float32), 0, 1)

    def towards(self, other: Exposure, share: float) -> Exposure:
        """Go a share of the way to another exposure."""
        return Exposure(self.gain + share * (other.gain - self.gain), self.bias + share * (other.bias - self.bias))


SAME_LIGHT = Exposure(np.ones(3), np.zeros(3))


def estimate(
    plate: np.ndarray, frame: np.ndarray, covered: np.ndarray | None = None, *, near: Exposure = SAME_LIGHT
) -> Exposure | None:
    """Estimate gain and bias where a frame shows the plate, though a subject may cover 60 % of it.

    What is background is not known, but only its pixels agree on one gain: the peak of the histogram of ratios starts a
    reweighted least-squares fit that closes in on it. Small pictures are best: averaging hides noise and misalignment.

    Args:
        plate: ``(h, w, 3)`` float32, 0..1, aligned to the frame.
        frame: ``(h, w, 3)`` float32, 0..1.
        covered: ``(h, w)`` bool, where the plate has pixels; None means everywhere.
        near: what to expect, such as the exposure of the frame before; among rival gains the nearest wins.

    Returns:
        The exposure, or None if the pictures hold too little evidence of one.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if plate.ndim != 3 or plate.shape[2] != 3 or plate.shape != frame.shape:
        raise ValueError(f"both pictures are (h, w, 3) and alike, got {plate.shape = }, {frame.shape = }")
    if covered is not None and covered.shape != plate.shape[:2]:
        raise ValueError(f"the mask is (h, w) like the pictures, got {covered.shape = }, {plate.shape = }")
    usable = (np.minimum(plate, frame) > _CLIPPED_BELOW) & (np.maximum(plate, frame) < _CLIPPED_ABOVE)
    inside = usable.all(axis=2) if covered is None else usable.all(axis=2) & covered
    least = max(_LEAST_PIXELS, _LEAST_SHARE * inside.size)
    x, y = plate[inside].astype(np.float64), frame[inside].astype(np.float64)
    if len(x) < least:
        return None
    gain, bias = _peak(x, y - near.bias, near.gain), near.bias
    tolerance = 0.08
    for _ in range(6):
        error = np.abs(y - (gain * x + bias)).max(axis=1) / tolerance
        weight = np.clip(1 - error**2, 0, None) ** 2
        if weight.sum() < least / 4:
            return None
        gain, bias = _fit(x, y, weight)
        tolerance = max(0.7 * tolerance, 0.015)
    if np.count_nonzero(weight) < least:
        return None
    return Exposure(gain, bias)


def _peak(x: np.ndarray, y: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Find the gain ``(3,)`` on which most pixels ``(N, 3)`` agree: that of brightness first, then of each channel."""
    log_ratio = np.log(np.maximum(y, 1e-3) / x)
    brightness = np.log(np.maximum(y.sum(axis=1), 1e-3) / x.sum(axis=1))
    common = _mode(brightness, float(np.log(expected).mean()), 0.5)
    alike = np.abs(brightness - common) < 0.1
    return np.exp([_mode(log_ratio[alike, c], common, 0.3) for c in range(3)])


def _mode(values: np.ndarray, expected: float, spread: float) -> float:
    """Find the peak of a smoothed histogram, leaning mildly to what is expected."""
    count, edges = np.histogram(values, bins=100, range=(-1.0, 1.0))
    centre = (edges[1:] + edges[:-1]) / 2
    smooth = np.convolve(count, np.hanning(9)[1:-1], mode="same") * np.exp(-(((centre - expected) / spread) ** 2) / 2)
    return float(centre[smooth.argmax()]) if smooth.any() else expected


def _fit(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a line per channel, held near gain 1 and bias 0 as far as the pixels leave it open."""
    weight = weight * (min(1.0, _WORTH / weight.sum()) / _PIXEL_SPREAD**2)
    gain_prior, bias_prior = _GAIN_SPREAD**-2, _BIAS_SPREAD**-2
    # The normal equations [[xx, x1], [x1, one]] (gain, bias) = (xy, y1), with the prior added; ``(3,)`` per channel.
    xx, x1, one = weight @ (x * x) + gain_prior, weight @ x, weight.sum() + bias_prior
    xy, y1 = weight @ (x * y) + gain_prior, weight @ y
    determinant = xx * one - x1 * x1
    gain, bias = (xy * one - x1 * y1) / determinant, (xx * y1 - x1 * xy) / determinant
    return np.clip(gain, *_GAIN_LIMITS), np.clip(bias, -_BIAS_LIMIT, _BIAS_LIMIT)
