"""Does the plate show the scene of the clip? Told by one frame, in some hundredths of a second."""

from __future__ import annotations

import cv2
import numpy as np

from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.geometry import scaling
from bgmv2.plate.photometric import estimate
from bgmv2.plate.views import as_pixels, as_plate, reduced
from bgmv2.types import Plate

WHAT_A_PLATE_IS = (
    "--plate takes the clean background, filmed by the same camera without the subject, not the new background "
    "(--backdrop)"
)
# Compared so small that a few pixels of misalignment do not show.
_LONG_SIDE = 48
# Colours in 0..1 this near agree: noise, shadows and lossy codecs stay below, another scene does not.
_TOLERANCE = 0.05
# A subject may fill most of the picture; less of the plate than this in view is another scene, or as useless.
_LEAST_SHARE = 0.3
# A frame whose colours vary by less is blank.
_BLANK = 0.02
# A plate whose colours vary by less shows nothing; it is black if it is as dark as this.
_FLAT, _DARK = 0.015, 0.02
# Corners that agree on a mirrored or turned plate by chance are fewer.
_LEAST_TURNED = 24
# How a plate may have been turned by mistake, what undoes it as (turns by 90 degrees, then mirrored), and what to do.
_TURNS = {
    "mirrored": (0, True, "mirror it back, left to right"),
    "upside down": (2, False, "turn it by 180 degrees"),
    "mirrored top to bottom": (2, True, "mirror it back, top to bottom"),
    "turned by 90 degrees": (1, False, "turn it back"),
    "turned by 90 degrees the other way": (3, False, "turn it back"),
}


def agreement(plate: Plate | np.ndarray, pixels: np.ndarray, alignment: Alignment) -> float:
    """Measure how much of a frame looks like the plate, once that is aligned and lit alike.

    Args:
        plate: the clean plate, sized like the frame or larger.
        pixels: the frame, ``(H, W, 3)`` RGB, uint8 or uint16.
        alignment: what `Aligner.align` said of this frame.

    Returns:
        The share of the picture's pixels that agree, 0..1, of those that the plate covers.

    Raises:
        ValueError: the plate is smaller than the frame.
    """
    plate = as_plate(plate)
    height, width = plate.bgr.shape[1:]
    if height < pixels.shape[0] or width < pixels.shape[1]:
        raise ValueError(f"plate and frame are alike in size, got {plate.bgr.shape = }, {pixels.shape = }")
    frame = reduced(pixels, _LONG_SIDE)
    # A plate that was made of a sweep is larger, and is reduced by as much.
    picture = reduced(as_pixels(plate), round(_LONG_SIDE * max(height, width) / max(pixels.shape[:2])))
    small = scaling(pixels.shape[:2], frame.shape[:2]) @ alignment.homography
    small = small @ np.linalg.inv(scaling((height, width), picture.shape[:2]))
    size = frame.shape[1::-1]
    covered = cv2.warpPerspective(np.ones(picture.shape[:2], np.uint8), small, size) > 0
    picture = cv2.warpPerspective(picture, small, size, borderMode=cv2.BORDER_REPLICATE)
    known = alignment.light
    light = estimate(picture, frame, covered, near=known) or known  # with alignment off, no light is known
    agrees = np.abs(light(picture) - frame).max(axis=2) < _TOLERANCE
    return float(agrees[covered].mean()) if covered.any() else 0.0


def belongs(share: float, alignment: Alignment) -> bool:
    """Tell whether a plate shows the scene of a frame.

    Details of the plate that were found in the frame prove that it does. Where there are none, as before a plain wall
    or out of focus, agreeing colours speak for it.

    Args:
        share: of the picture that agrees, as `agreement` measures it.
        alignment: what `Aligner.align` said of this frame.
    """
    return alignment.inliers > 0 or share >= _LEAST_SHARE


def shows_scene(plate: Plate | np.ndarray, pixels: np.ndarray, alignment: Alignment) -> bool:
    """Tell whether a plate shows the scene of a frame; see `agreement` and `belongs`, which this asks."""
    return belongs(agreement(plate, pixels, alignment), alignment)


def is_blank(pixels: np.ndarray) -> bool:
    """Tell a frame that shows nothing, as at the start of a fade; ``(H, W, 3)``, uint8 or uint16."""
    return bool(reduced(pixels, _LONG_SIDE).std(axis=(0, 1)).max() < _BLANK)


def emptiness(plate: Plate | np.ndarray) -> str | None:
    """Tell a plate that shows nothing: it is ``black`` or ``of one colour``; None if it shows something."""
    picture = reduced(as_pixels(as_plate(plate)), _LONG_SIDE)
    if picture.std(axis=(0, 1)).max() >= _FLAT:
        return None
    return "black" if picture.mean() < _DARK else "of one colour"


def how_turned(plate: Plate | np.ndarray, pixels: np.ndarray) -> str | None:
    """Tell how a plate that does not fit was mirrored or turned by mistake, and what to do about it.

    Args:
        plate: the clean plate, sized like the frame.
        pixels: the frame, ``(H, W, 3)`` RGB, uint8 or uint16.

    Returns:
        The end of a sentence that begins with the plate, such as ``is mirrored: mirror it back, left to right``; None
        if it fits the frame in no way.
    """
    plate = as_plate(plate)
    found: dict[str, int] = {}
    for name, (quarters, mirrors, _) in _TURNS.items():
        bgr = plate.bgr.rot90(quarters, (1, 2))
        if bgr.shape != plate.bgr.shape:
            continue
        bgr = (bgr.flip(2) if mirrors else bgr).contiguous()
        found[name] = Aligner(Plate(bgr), mode="first", size=pixels.shape[:2]).align(pixels).inliers
    best = max(found, key=lambda name: found[name])
    return f"is {best}: {_TURNS[best][2]}" if found[best] >= _LEAST_TURNED else None


def check_plate(plate: Plate | np.ndarray, pixels: np.ndarray, alignment: Alignment) -> str | None:
    """Tell a user whose plate does not belong to the clip; ask it of the first frame.

    A blank frame, as at the start of a fade, says nothing.

    Args:
        plate: the clean plate, sized like the frame.
        pixels: the frame, ``(H, W, 3)`` RGB, uint8 or uint16.
        alignment: what `Aligner.align` said of this frame.

    Returns:
        A warning in one line, or None if all is well.

    Raises:
        ValueError: the plate is smaller than the frame.
    """
    share = agreement(plate, pixels, alignment)
    if is_blank(pixels) or (belongs(share, alignment) and alignment.status != "held"):
        return None
    turned = how_turned(plate, pixels)
    if turned is not None:
        return f"the plate {turned}"
    if belongs(share, alignment):
        return None
    empty = emptiness(plate)
    if empty is not None:
        return f"the plate is {empty} and shows nothing of the clip: take another frame; {WHAT_A_PLATE_IS}"
    return (
        f"the plate seems to show another scene: only {100 * share:.0f} % of it matches the first frame; "
        f"{WHAT_A_PLATE_IS}"
    )
