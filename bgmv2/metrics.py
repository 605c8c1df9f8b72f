"""How far a matte is from the truth.

**Convention**: mattes are float arrays ``(H, W)`` in 0..1, every pixel counts, and 0 is perfect. Means (`mad`, `mse`,
`dtssd`) are returned as they are; papers often print them times 1000, dtSSD times 100. Sums (`sad`, `grad`, `conn`) are
returned in thousands, as papers print them.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

CONN_STEP = 0.1
CONN_TOLERANCE = 0.15
GRAD_SIGMA = 1.4


def mad(pred_pha: np.ndarray, true_pha: np.ndarray) -> float:
    """Mean absolute difference, 0..1."""
    pred, true = _pair(pred_pha, true_pha)
    return float(np.abs(pred - true).mean())


def mse(pred_pha: np.ndarray, true_pha: np.ndarray) -> float:
    """Mean squared error, 0..1."""
    pred, true = _pair(pred_pha, true_pha)
    return float(np.square(pred - true).mean())


def sad(pred_pha: np.ndarray, true_pha: np.ndarray) -> float:
    """Sum of absolute differences, in thousands of pixels."""
    pred, true = _pair(pred_pha, true_pha)
    return float(np.abs(pred - true).sum() / 1000)


def grad(pred_pha: np.ndarray, true_pha: np.ndarray) -> float:
    """Squared differences of the gradients' lengths, summed, in thousands: edges of another sharpness or place.

    Source: Rhemann et al., *A Perceptually Motivated Online Benchmark for Image Matting*, CVPR 2009: derivatives of a
    Gaussian of standard deviation 1.4. As in their code, filters have an energy of 1, and reach as far as the Gaussian
    is above 0.01.
    """
    pred, true = _pair(pred_pha, true_pha)
    return float(np.square(_gradient_length(pred) - _gradient_length(true)).sum() / 1000)


def conn(pred_pha: np.ndarray, true_pha: np.ndarray) -> float:
    """Differences of connectedness, summed, in thousands: opaque islands that hang on nothing.

    A pixel's connectedness falls with the gap between its alpha and the highest level at which it still belongs to the
    largest region that is opaque to that level in both mattes.

    Source: Rhemann et al. 2009, as above: levels are 0.1 apart, gaps below 0.15 count as none, neighbours are the 4
    nearest.
    """
    pred, true = _pair(pred_pha, true_pha)
    level = np.ones_like(true)
    inside = np.ones(true.shape, dtype=bool)
    steps = round(1 / CONN_STEP)
    for step in range(1, steps + 1):
        opaque = np.minimum(pred, true) >= step / steps
        still_inside = inside & _largest_region(opaque)
        level[inside & ~still_inside] = (step - 1) / steps
        inside = still_inside
    return float(np.abs(_connectedness(pred, level) - _connectedness(true, level)).sum() / 1000)


def dtssd(pred_phas: np.ndarray, true_phas: np.ndarray) -> float:
    """Flicker: how differently the mattes change from frame to frame, the mean over the pairs of neighbouring frames.

    Args:
        pred_phas: ``(T, H, W)`` mattes of a clip in order, 0..1, at least two.
        true_phas: of the same shape.

    Returns:
        Root of the mean square over the pixels, so that it does not grow with the picture.

    Source: Erofeev et al., *Perceptually Motivated Benchmark for Video Matting*, BMVC 2015.
    """
    if np.ndim(pred_phas) != 3 or np.shape(pred_phas) != np.shape(true_phas) or len(pred_phas) < 2:
        raise ValueError(
            f"mattes of a clip are (T, H, W) with T of 2 or more, got {np.shape(pred_phas)} and {np.shape(true_phas)}"
        )
    gaps = np.diff(np.asarray(pred_phas, np.float64), axis=0) - np.diff(np.asarray(true_phas, np.float64), axis=0)
    return float(np.sqrt(np.square(gaps).mean(axis=(1, 2))).mean())


def background_blobs(
    pred_pha: np.ndarray, true_pha: np.ndarray, *, threshold: float = 0.5, min_share: float = 0.001
) -> int:
    """Count the pieces of pure background that were taken for the subject.

    Args:
        pred_pha: ``(H, W)`` alpha, 0..1.
        true_pha: of the same shape; the background is where it is 0.
        threshold: alpha above which background counts as mistaken.
        min_share: pieces up to this share of the picture are ignored.

    Returns:
        The number of pieces; pixels that touch at a side or corner are of one piece.
    """
    pred, true = _pair(pred_pha, true_pha)
    mistaken = (true == 0) & (pred > threshold)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mistaken.astype(np.uint8), connectivity=8)
    return int(np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] > min_share * mistaken.size))


def _pair(pred_pha: np.ndarray, true_pha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(pred_pha) != 2 or np.shape(pred_pha) != np.shape(true_pha) or np.size(pred_pha) == 0:
        raise ValueError(f"two mattes are (H, W) of one shape, got {np.shape(pred_pha)} and {np.shape(true_pha)}")
    for pha in (pred_pha, true_pha):
        if not np.issubdtype(np.asarray(pha).dtype, np.floating):
            raise ValueError(f"a matte holds floats in 0..1, got {np.asarray(pha).dtype}")
    return np.asarray(pred_pha, np.float64), np.asarray(true_pha, np.float64)


def _gradient_length(pha: np.ndarray) -> np.ndarray:
    reach = math.ceil(GRAD_SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * GRAD_SIGMA * 0.01)))
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * GRAD_SIGMA**2))
    slope = -x * smooth
    smooth /= np.linalg.norm(smooth)
    slope /= np.linalg.norm(slope)
    along_x = cv2.sepFilter2D(pha, cv2.CV_64F, slope, smooth, borderType=cv2.BORDER_REPLICATE)
    along_y = cv2.sepFilter2D(pha, cv2.CV_64F, smooth, slope, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(along_x, along_y)


def _largest_region(opaque: np.ndarray) -> np.ndarray:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opaque.astype(np.uint8), connectivity=4)
    if count == 1:  # label 0 is what is not opaque
        return np.zeros_like(opaque)
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()


def _connectedness(pha: np.ndarray, level: np.ndarray) -> np.ndarray:
    gap = pha - level
    return 1 - gap * (gap >= CONN_TOLERANCE)
