"""What a frame looked like: five panels side by side, drawn from what is taken off the device in few bytes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch

from bgmv2 import compose
from bgmv2.nn.patches import PATCH
from bgmv2.report.rows import UNCERTAIN
from bgmv2.resample import averaged, enlarged
from bgmv2.types import Matte

PANELS = ("frame", "over green", "alpha", "expected error", "refined; red: left uncertain")
RED = (255, 84, 72)
# Long side of a panel in pixels, at most.
_SIDE = 720
# An expected error of this much is drawn brightest.
_BRIGHTEST = 0.5


def layers_of(src: torch.Tensor, matte: Matte) -> torch.Tensor:
    """Gather what the panels are drawn from.

    Args:
        src: ``(1, 3, H, W)`` frame, 0..1.
        matte: of this frame.

    Returns:
        ``(9, h, w)`` uint8 on the same device, reduced: frame, foreground times alpha, alpha, expected error, refined
        patches.
    """
    colors = reduced(src, _SIDE), reduced(compose.premultiply(matte.fgr, matte.pha), _SIDE)
    size = colors[0].shape[2:]
    error = enlarged(matte.err, *size)
    # Patches may reach beyond the picture, so that their grid is not simply as large.
    step = _step(src.shape[2], src.shape[3], _SIDE)
    y, x = (((torch.arange(n, device=src.device) + 0.5) * step / PATCH).long() for n in size)
    y, x = y.clamp(max=matte.ref.shape[2] - 1), x.clamp(max=matte.ref.shape[3] - 1)
    refined = matte.ref[:, :, y[:, None], x]
    return compose.to_uint8(torch.cat([*colors, reduced(matte.pha, _SIDE), error, refined], dim=1)[0])


def draw(layers: torch.Tensor) -> np.ndarray:
    """Draw `PANELS` side by side, ``(h, 5 * w, 3)`` uint8, from what `layers_of` gathered."""
    pixels = layers.permute(1, 2, 0).numpy()
    frame, subject, pha, error, refined = np.split(pixels, [3, 6, 7, 8], axis=2)
    green = compose.parse_color("green").numpy()
    over_green = np.rint(subject + (255 - pha) * green).clip(0, 255).astype(np.uint8)
    bright = np.minimum(error / (255 * _BRIGHTEST), 1)
    heat = cv2.applyColorMap(np.rint(bright * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    patches = np.where(refined > 0, frame, grey // 4)
    left = (refined == 0) & (error > 255 * UNCERTAIN)
    patches = np.where(left, np.array(RED, np.uint8), patches)
    return np.hstack([frame, over_green, np.repeat(pha, 3, axis=2), heat, patches])


def reduced(x: torch.Tensor, side: int) -> torch.Tensor:
    """Average ``(B, C, H, W)`` over squares, to a long side of `side` at most."""
    step = _step(x.shape[2], x.shape[3], side)
    return averaged(x, step) if step > 1 else x


def _step(height: int, width: int, side: int) -> int:
    return max(1, math.ceil(max(height, width) / side))
