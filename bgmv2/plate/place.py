"""Placing: the plate brought to where, and in which light, a frame shows it, on the device."""

from __future__ import annotations

import torch
from kornia.geometry.transform import warp_perspective

from bgmv2.plate.align import Alignment


def warp_plate(bgr: torch.Tensor, homography: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move plates to where the frames show them.

    What a frame shows beyond the plate's edges is filled with the edge's colours, never with the frame's own: a subject
    that stands there would read as background.

    **Convention**: `homography` maps plate pixels to frame pixels, see `bgmv2.plate.geometry`.

    Args:
        bgr: ``(B, 3, H, W)``.
        homography: ``(B, 3, 3)``; may stay on the CPU, which spares a wait for the device.

    Returns:
        ``(B, 3, H, W)`` of the kind of `bgr`, which is `bgr` itself if no plate moves; and ``(B, 1, H, W)``, 1 where
        the plate has pixels and 0 where its edge was extended.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if bgr.ndim != 4 or bgr.shape[1] != 3 or homography.shape != (len(bgr), 3, 3):
        raise ValueError(f"plates are (B, 3, H, W), homographies (B, 3, 3), got {bgr.shape = }, {homography.shape = }")
    covered = bgr.new_ones(len(bgr), 1, *bgr.shape[2:])
    moves = (homography.cpu() != torch.eye(3, dtype=homography.dtype)).any(dim=2).any(dim=1)
    if not moves.any() or min(bgr.shape[2:]) < 2:
        return bgr, covered
    which = moves.nonzero().flatten().to(bgr.device)
    matrix = homography.float().to(bgr.device)[which]  # not at once: MPS has no float64
    size = (bgr.shape[2], bgr.shape[3])
    # Half precision cannot tell neighbouring pixels apart in coordinates that run to thousands.
    moved = warp_perspective(bgr[which].float(), matrix, size, padding_mode="border", align_corners=True)
    seen = warp_perspective(covered[which].float(), matrix, size, mode="nearest", align_corners=True)
    return bgr.index_copy(0, which, moved.to(bgr.dtype)), covered.index_copy(0, which, seen.to(bgr.dtype))


def place_plate(bgr: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Bring a plate to where, and in which light, a frame shows it.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1.
        alignment: what `Aligner.align` said of the frame.

    Returns:
        ``(1, 3, H, W)``, 0..1, of the kind of `bgr`.
    """
    return place_plate_and_cover(bgr, alignment)[0]


def place_plate_and_cover(bgr: torch.Tensor, alignment: Alignment) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `place_plate` does, and tell as `warp_plate` does where the plate has pixels, ``(1, 1, H, W)``."""
    warped, covered = warp_plate(bgr, torch.from_numpy(alignment.homography)[None])
    gain, bias = (
        torch.from_numpy(x).float().to(bgr).view(3, 1, 1) for x in (alignment.light.gain, alignment.light.bias)
    )
    return (warped * gain + bias).clamp(0, 1), covered
