"""How far a matte is from the truth.

**Convention**: mattes are float arrays ``(H, W)`` in 0..1, and 0 is perfect. Every pixel counts, or only those of the
mask `where`, such as `unknown_band`: there the means show how good an edge is, however large the picture around it.
Means (`mad`, `mse`, `dtssd`) are returned as they are; papers often print them times 1000, dtSSD times 100. Sums
(`sad`, `grad`, `conn`) are returned in thousands, as papers print them. Filters and regions see the whole matte always.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np

CONN_STEP = 0.1
CONN_TOLERANCE = 0.15
GRAD_SIGMA = 1.4
BAND_REACH = 10


def unknown_band(true_pha: np.ndarray, *, reach: int = BAND_REACH) -> np.ndarray:
    """Where a matte is decided: soft pixels, and those that have both subject and background within reach.

    Args:
        true_pha: ``(H, W)`` true alpha, 0..1.
        reach: in pixels; the default, 10, is about the width of the trimaps that papers make for such pictures.

    Returns:
        ``(H, W)`` bool; empty of True where the picture holds only background, or only subject.
    """
    _, true = _pair(true_pha, true_pha)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near_subject, near_background = (cv2.dilate(x.astype(np.uint8), disc) > 0 for x in (true > 0, true < 1))
    return near_subject & near_background


def mad(pred_pha: np.ndarray, true_pha: np.ndarray, *, where: np.ndarray | None = None) -> float:
    """Mean absolute difference, 0..1."""
    pred, true = _pair(pred_pha, true_pha)
    return _mean(np.abs(pred - true), where)


def mse(pred_pha: np.ndarray, true_pha: np.ndarray, *, where: np.ndarray | None = None) -> float:
    """Mean squared error, 0..1."""
    pred, true = _pair(pred_pha, true_pha)
    return _mean(np.square(pred - true), where)


def sad(pred_pha: np.ndarray, true_pha: np.ndarray, *, where: np.ndarray | None = None) -> float:
    """Sum of absolute differences, in thousands of pixels."""
    pred, true = _pair(pred_pha, true_pha)
    return _thousands(np.abs(pred - true), where)


def grad(pred_pha: np.ndarray, true_pha: np.ndarray, *, where: np.ndarray | None = None) -> float:
    """Squared differences of the gradients' lengths, summed, in thousands: edges of another sharpness or place.

    Source: Rhemann et al., *A Perceptually Motivated Online Benchmark for Image Matting*, CVPR 2009: derivatives of a
    Gaussian of standard deviation 1.4. As in their code, filters have an energy of 1, and reach as far as the Gaussian
    is above 0.01.
    """
    pred, true = _pair(pred_pha, true_pha)
    return _thousands(np.square(_gradient_length(pred) - _gradient_length(true)), where)


def conn(pred_pha: np.ndarray, true_pha: np.ndarray, *, where: np.ndarray | None = None) -> float:
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
    return _thousands(np.abs(_connectedness(pred, level) - _connectedness(true, level)), where)


def dtssd(pred_phas: np.ndarray, true_phas: np.ndarray, *, where: np.ndarray | None = None) -> float:
    """Flicker: how differently the mattes change from frame to frame, the mean over the pairs of neighbouring frames.

    Args:
        pred_phas: ``(T, H, W)`` mattes of a clip in order, 0..1, at least two.
        true_phas: of the same shape.
        where: of the same shape, bool; a pixel counts if it is marked in either frame of a pair.

    Returns:
        Root of the mean square over the pixels, so that it does not grow with the picture.

    Source: Erofeev et al., *Perceptually Motivated Benchmark for Video Matting*, BMVC 2015.
    """
    if np.ndim(pred_phas) != 3 or np.shape(pred_phas) != np.shape(true_phas) or len(pred_phas) < 2:
        raise ValueError(
            f"mattes of a clip are (T, H, W) with T of 2 or more, got {np.shape(pred_phas)} and {np.shape(true_phas)}"
        )
    gaps = np.diff(np.asarray(pred_phas, np.float64), axis=0) - np.diff(np.asarray(true_phas, np.float64), axis=0)
    masks: Iterable[np.ndarray | None] = [None] * len(gaps)
    if where is not None:
        masks = _mask(where, np.shape(true_phas))[1:] | where[:-1]
    return float(np.mean([math.sqrt(_mean(np.square(gap), mask)) for gap, mask in zip(gaps, masks, strict=True)]))


def background_share(pred_pha: np.ndarray, true_pha: np.ndarray, *, threshold: float = 0.1) -> float:
    """Share of the true background, where alpha is 0, that got an alpha above a threshold; 0..1."""
    pred, true = _pair(pred_pha, true_pha)
    return _mean((pred > threshold).astype(np.float64), true == 0)


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


def _mask(where: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if np.shape(where) != shape or where.dtype != bool:
        raise ValueError(f"a mask is bool and {shape} like the mattes, got {where.dtype} and {np.shape(where)}")
    return where


def _mean(errors: np.ndarray, where: np.ndarray | None) -> float:
    chosen = errors if where is None else errors[_mask(where, errors.shape)]
    return float(chosen.mean()) if chosen.size else 0.0


def _thousands(errors: np.ndarray, where: np.ndarray | None) -> float:
    return float(errors.sum() if where is None else errors[_mask(where, errors.shape)].sum()) / 1000


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
