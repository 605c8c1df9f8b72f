"""Why a plate has another shape than its clip: it lies on its side, or has black bars."""

from __future__ import annotations

import numpy as np

from bgmv2.plate.views import reduced

# Long side of the picture in which bars are sought, in pixels; and what is as dark as a bar, in 0..1.
_SIDE, _DARK = 480, 0.03
# So much of a line may be brighter: subtitles, a camera's clock.
_BRIGHT = 0.02
# Bars of less, as a share of the picture's side, are a dark edge.
_LEAST = 0.03
# How nearly a shape must be met by a plate that was turned or freed of its bars.
_NEAR = 0.03


def bars_of(picture: np.ndarray) -> tuple[float, float]:
    """Measure black bars.

    Args:
        picture: ``(h, w, 3)`` float32, 0..1.

    Returns:
        The share of the picture's height that bars above and below take, and that of its width at both sides; 0 if
        there is one on one side only, as of a dark floor.
    """
    bright = picture.max(axis=2) > _DARK
    shares = []
    for axis in (1, 0):
        lines = np.flatnonzero(bright.mean(axis=axis) > _BRIGHT)
        length = picture.shape[1 - axis]
        margin = min(int(lines[0]), length - 1 - int(lines[-1])) if len(lines) else 0
        shares.append(2 * margin / length if 2 * margin >= _LEAST * length else 0.0)
    return shares[0], shares[1]


def why_shaped(pixels: np.ndarray, width: int, height: int) -> str:
    """Tell what to do with a plate whose shape is not that of its clip.

    Args:
        pixels: of the plate, ``(h, w, 3)``, uint8 or uint16.
        width: of the clip.
        height: of the clip.

    Returns:
        The end of a sentence.
    """
    old_height, old_width = pixels.shape[:2]

    def fits(w: float, h: float) -> bool:
        return abs(w * height / (h * width) - 1) < _NEAR

    if fits(old_height, old_width):
        return "it stands on its side, so turn it by 90 degrees"
    above, beside = bars_of(reduced(pixels, _SIDE))
    if max(above, beside) and fits(old_width * (1 - beside), old_height * (1 - above)):
        return "it has black bars, so crop them off"
    return (
        "crop it to what the clip's camera saw, or take a frame of the clip without the subject (a new background "
        "belongs to --backdrop)"
    )
