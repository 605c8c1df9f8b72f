"""The plate doctor: tells whether the plate shows the scene of the clip."""

from __future__ import annotations

import cv2
import numpy as np

from bgmv2.plate.align import Alignment
from bgmv2.plate.geometry import scaling
from bgmv2.plate.photometric import estimate
from bgmv2.plate.views import as_pixels, as_plate, reduced
from bgmv2.types import Plate

# Compared so small that a few pixels of misalignment do not show.
_LONG_SIDE = 48
# Colours in 0..1 this near agree: noise, shadows and lossy codecs stay below, another scene does not.
_TOLERANCE = 0.05
# A subject may fill most of the picture; less of the plate than this in view is another scene, or as useless.
_LEAST_SHARE = 0.3
# A frame whose colours vary by less is blank.
_BLANK = 0.02


def agreement(plate: Plate | np.ndarray, pixels: np.ndarray, alignment: Alignment) -> float:
    """Measure how much of a frame looks like the plate, once that is aligned and lit alike.

    Args:
        plate: the clean plate, sized like the frame.
        pixels: the frame, ``(H, W, 3)`` RGB, uint8 or uint16.
        alignment: what `Aligner.align` said of this frame.

    Returns:
        The share of the picture's pixels that agree, 0..1, of those that the plate covers.

    Raises:
        ValueError: plate and frame differ in size.
    """
    plate = as_plate(plate)
    if plate.bgr.shape[1:] != pixels.shape[:2]:
        raise ValueError(f"plate and frame are alike in size, got {plate.bgr.shape = }, {pixels.shape = }")
    frame, picture = reduced(pixels, _LONG_SIDE), reduced(as_pixels(plate), _LONG_SIDE)
    to_small = scaling(pixels.shape[:2], frame.shape[:2])
    small = to_small @ alignment.homography @ np.linalg.inv(to_small)
    size = frame.shape[1::-1]
    picture = cv2.warpPerspective(picture, small, size, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpPerspective(np.ones(size[::-1], np.uint8), small, size) > 0
    known = alignment.light
    light = estimate(picture, frame, covered, near=known) or known  # with alignment off, no light is known
    agrees = np.abs(light(picture) - frame).max(axis=2) < _TOLERANCE
    return float(agrees[covered].mean()) if covered.any() else 0.0


def check_plate(plate: Plate | np.ndarray, pixels: np.ndarray, alignment: Alignment) -> str | None:
    """Tell a user whose plate does not belong to the clip; ask it of the first frame.

    Details of the plate that were found in the frame prove that it does. Where there are none, as before a plain wall
    or out of focus, agreeing colours speak for it. A blank frame, as at the start of a fade, says nothing.

    Args:
        plate: the clean plate, sized like the frame.
        pixels: the frame, ``(H, W, 3)`` RGB, uint8 or uint16.
        alignment: what `Aligner.align` said of this frame.

    Returns:
        A warning in one line, or None if all is well.

    Raises:
        ValueError: plate and frame differ in size.
    """
    share = agreement(plate, pixels, alignment)
    is_blank = reduced(pixels, _LONG_SIDE).std(axis=(0, 1)).max() < _BLANK
    if alignment.inliers or share >= _LEAST_SHARE or is_blank:
        return None
    return (
        f"the plate seems to show another scene: only {100 * share:.0f} % of it matches the first frame; --plate takes "
        f"the clean background, filmed by the same camera without the subject, not the new background (--backdrop)"
    )
