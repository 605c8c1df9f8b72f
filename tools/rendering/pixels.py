"""What is done to a picture after it was taken."""

from __future__ import annotations

import cv2
import numpy as np


def smooth_inside(rgba: np.ndarray) -> np.ndarray:
    """Even out the noise of few samples where the subject is opaque; borders and alpha stay as they are.

    Args:
        rgba: ``(H, W, 4)`` uint8, straight.

    Returns:
        The same form.
    """
    inside = cv2.erode((rgba[..., 3] == 255).astype(np.uint8), np.ones((5, 5), np.uint8))[..., None]
    colours = np.ascontiguousarray(rgba[..., :3])
    for _ in range(2):
        colours = cv2.bilateralFilter(colours, 7, 45, 1.8)
    return np.concatenate([np.where(inside > 0, colours, rgba[..., :3]), rgba[..., 3:]], 2)


def soften(rgba: np.ndarray, *, sigma: float = 0.7) -> np.ndarray:
    """Blur colours and alpha alike by less than a pixel, as lenses do; it evens out the noise of few samples.

    Colours are weighted by alpha, so nothing of what lies behind bleeds in, and laying the picture over a backdrop
    stays the same as blurring the subject's light itself.

    Args:
        rgba: ``(H, W, 4)`` uint8, straight.
        sigma: of the Gaussian, in pixels.

    Returns:
        The same form.
    """
    values = rgba.astype(np.float32)
    values[..., :3] *= values[..., 3:] / 255
    values = cv2.GaussianBlur(values, (5, 5), sigma)
    values[..., :3] *= 255 / np.maximum(values[..., 3:], 0.5)
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
