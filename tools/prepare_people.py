"""Turn photographs with label maps into cut-outs: straight colours and alpha, one RGBA PNG each.

    python tools/prepare_people.py PHOTOS LABELS data/people

The label map's 0 is background and its 19 is hair; everything else is body, clothes and what is carried. Labels have
hard borders, so alpha near them is found anew by closed-form matting: in a narrow band around the body, in a wide one
around the hair. Colours are those of the subject alone, with nothing of the old background. Pictures whose labels are
broken are left out, and counted by reason.

What is there already is not made again. Needs `pip install .[tools]`.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import scipy.sparse
from pymatting import cf_laplacian, cg, estimate_foreground_ml, ichol
from tqdm import tqdm

from bgmv2.video.images import read_image, write_image

HAIR = 19
BODY_BAND = 3  # pixels on either side of the border between which alpha is sought
HAIR_BAND = 0.018  # the same around hair, outside, as a share of the subject's height
HAIR_BAND_INSIDE = 0.6  # inside, as a share of that outside
# How much the labels are believed at the far side of the hair's band, against the colours (whose weights are up to
# some units). Without it, a background that looks like hair is drawn in as haze.
BELIEF = 0.05
# Regularises the colour lines of closed-form matting; well above the usual 1e-7, because of the noise of JPEG.
EPSILON = 1e-5
MARGIN = 24  # pixels of background around the subject that are looked at
# Labels are broken if this far (in pixels) from their border alpha contradicts them, in one piece of this share of the
# subject. Chosen by eye: about half of those above it lack a bag, a scarf or a hand, or have a piece of a wall.
CHECK_BAND = (4, 10)
CONTRADICTION = 0.006


def cut_out(photo: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Photograph and labels to a cut-out.

    Args:
        photo: ``(H, W, 3)`` uint8 RGB.
        labels: ``(H, W)`` uint8.

    Returns:
        ``(h, w, 4)`` uint8 straight RGBA, cropped to the subject.

    Raises:
        ValueError: says why the labels are of no use.
    """
    mask = keep_large_parts((labels > 0).astype(np.uint8))
    share = mask.mean()
    if share < 0.03:
        raise ValueError("almost nothing is labelled")
    if share > 0.85:
        raise ValueError("almost everything is labelled")
    parts, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    if parts > 2 and np.sort(stats[1:, cv2.CC_STAT_AREA])[-2] > 0.1 * mask.sum():
        raise ValueError("the subject is in several large parts")
    hair = (labels == HAIR) & (mask > 0)
    ys, xs = np.nonzero(cv2.dilate(mask, np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)))
    box = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
    photo, mask, hair = photo[box] / 255, np.ascontiguousarray(mask[box]), hair[box]
    if contradiction(photo, mask, hair) > CONTRADICTION:
        raise ValueError("something is missing from the labels, or too much is labelled")
    known, belief = trimap(mask, hair, band=BODY_BAND)
    alpha = clean(closed_form_alpha(photo, known, mask, belief), mask)
    rgba = np.dstack([estimate_foreground_ml(photo, alpha), alpha])
    ys, xs = np.nonzero(alpha > 0.02)
    rgba = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)


def keep_large_parts(mask: np.ndarray) -> np.ndarray:
    """Fill pinholes and drop specks below 0.1 % of the picture.

    Args:
        mask: ``(H, W)`` uint8, 0 or 1.
    """
    for value in (0, 1):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
        small = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] < mask.size * 1e-3]
        mask = np.where(np.isin(parts, small), 1 - value, mask).astype(np.uint8)
    return mask


def trimap(mask: np.ndarray, hair: np.ndarray, *, band: float) -> tuple[np.ndarray, np.ndarray]:
    """Say where alpha is known from the labels, and how far they are to be believed elsewhere.

    Args:
        mask: ``(H, W)`` uint8, 1 where the subject is.
        hair: ``(H, W)`` bool, true where that is hair.
        band: pixels on either side of the border between which alpha is unknown; around hair there are more.

    Returns:
        ``(H, W)`` float64: 0 background, 1 subject, 0.5 unknown; and ``(H, W)`` float64, the weight of the labels.
    """
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    unknown = (inside + outside) <= band
    rows = np.flatnonzero(mask.any(axis=1))
    wide = max(band, HAIR_BAND * (rows[-1] - rows[0] + 1))
    border_of_hair = hair & (inside <= 1.5)
    if border_of_hair.any():
        away = cv2.distanceTransform(1 - border_of_hair.astype(np.uint8), cv2.DIST_L2, 5)
        unknown |= (away <= wide) & (mask == 0)
        unknown |= (away <= HAIR_BAND_INSIDE * wide) & hair
    belief = BELIEF * ((inside + outside) / wide) ** 2
    return np.where(unknown, 0.5, mask).astype(np.float64), belief.astype(np.float64)


def contradiction(photo: np.ndarray, mask: np.ndarray, hair: np.ndarray) -> float:
    """Largest piece, well away from the labels' border, where closed form says the opposite of them.

    Args:
        photo: ``(H, W, 3)`` float64 in 0..1.
        mask: ``(H, W)`` uint8, 1 where the subject is.
        hair: ``(H, W)`` bool, true where that is hair.

    Returns:
        Its area as a share of the subject's.
    """
    half = (mask.shape[1] // 2, mask.shape[0] // 2)  # for speed; fine hair is of no matter here
    photo = cv2.resize(photo, half, interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, half, interpolation=cv2.INTER_NEAREST)
    hair = cv2.resize(hair.astype(np.uint8), half, interpolation=cv2.INTER_NEAREST) > 0
    known, _ = trimap(mask, hair, band=CHECK_BAND[1] / 2)
    alpha = closed_form_alpha(photo, known, mask, np.zeros_like(known))
    near, _ = trimap(mask, np.zeros_like(hair), band=CHECK_BAND[0] / 2)
    wrong = (near != 0.5) & (np.abs(alpha - mask) > 0.7)
    _, _, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8))
    return stats[1:, cv2.CC_STAT_AREA].max(initial=0) / mask.sum()


def closed_form_alpha(photo: np.ndarray, known: np.ndarray, mask: np.ndarray, belief: np.ndarray) -> np.ndarray:
    """Find alpha where it is not known; the known pixels are eliminated, which makes it a matter of tenths of a second.

    Source: Levin, Lischinski and Weiss, A Closed-Form Solution to Natural Image Matting, 2008; `mask` weighted by
    `belief` is added to their energy.

    Args:
        photo: ``(H, W, 3)`` float64 in 0..1.
        known: ``(H, W)`` float64: 0, 1, or 0.5 for unknown.
        mask: ``(H, W)``, 0 or 1.
        belief: ``(H, W)`` float64, not negative.

    Returns:
        ``(H, W)`` float64 in 0..1.
    """
    is_known = known != 0.5
    laplacian = cf_laplacian(np.ascontiguousarray(photo), epsilon=EPSILON, is_known=is_known)
    unknown_at, known_at = np.flatnonzero(~is_known), np.flatnonzero(is_known)
    rows = laplacian[unknown_at]
    weight = belief.ravel()[unknown_at]
    system = (rows[:, unknown_at] + scipy.sparse.diags(weight)).tocsc()
    target = weight * mask.ravel()[unknown_at] - rows[:, known_at] @ known.ravel()[known_at]
    alpha = known.ravel().copy()
    alpha[unknown_at] = cg(system, target, M=ichol(system), rtol=1e-4)
    return np.clip(alpha, 0, 1).reshape(known.shape)


def clean(alpha: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Drop the haze that closed form leaves, and what hangs together with no labelled pixel.

    Args:
        alpha: ``(H, W)`` in 0..1.
        mask: ``(H, W)`` uint8, 0 or 1.
    """
    alpha = np.clip((alpha - 0.05) / 0.9, 0, 1)
    _, parts = cv2.connectedComponents((alpha > 0.05).astype(np.uint8))
    return np.where(np.isin(parts, np.unique(parts[mask > 0])), alpha, 0)


def make(photo: Path, labels: Path, target: Path) -> str | None:
    """Make one cut-out, so that it stands under its name only when whole.

    Args:
        photo: the photograph.
        labels: its label map.
        target: where the cut-out goes.

    Returns:
        Why there is none, or nothing.
    """
    cv2.setNumThreads(1)
    values = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED)
    pixels = read_image(photo)
    if values is None or values.shape != pixels.shape[:2]:
        return "photograph and labels do not belong together"
    try:
        rgba = cut_out(pixels, values)
    except ValueError as error:
        return str(error)
    write_image(target, rgba, overwrite=True)
    return None


def main() -> None:
    """Make all cut-outs that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs, NAME.jpg")
    parser.add_argument("labels", type=Path, help="folder of label maps, NAME.png")
    parser.add_argument("output", type=Path, help="folder for the cut-outs")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes; default: %(default)s")
    args = parser.parse_args()
    photos = sorted(args.photos.glob("*.jpg"))
    if not photos:
        parser.error(f"there are no photographs NAME.jpg in {args.photos}")
    args.output.mkdir(parents=True, exist_ok=True)
    jobs = [(path, args.labels / f"{path.stem}.png", args.output / f"{path.stem}.png") for path in photos]
    jobs = [job for job in jobs if not job[2].exists()]
    left_out: dict[str, list[str]] = {}
    # Started afresh, because pymatting's threads do not survive a fork.
    with ProcessPoolExecutor(args.workers, get_context("spawn")) as pool:
        running = {pool.submit(make, *job): job[0].stem for job in jobs}
        for done in tqdm(as_completed(running), total=len(running), unit="photo"):
            if reason := done.result():
                left_out.setdefault(reason, []).append(running[done])
    for reason, names in left_out.items():
        print(f"left out {len(names)}: {reason}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main()
