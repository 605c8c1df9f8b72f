"""Turn photographs with label maps into cut-outs: straight colours and alpha, one RGBA PNG each.

    python tools/prepare_people.py PHOTOS LABELS data/people

The label map's 0 is background and its 19 is hair; everything else is body, clothes and what is carried. Labels have
hard borders, so alpha is made from them: one pixel narrower and softened at the body, following the photograph's own
edges at the hair (guided filter). Colours near the border are estimated as if nothing of the old background shone
through. Pictures whose labels are broken are left out, and counted by reason.

Needs `pip install .[tools]`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import cv2
import kornia
import numpy as np
import torch
from pymatting import estimate_foreground_ml
from tqdm import tqdm

from bgmv2.training.data import split_of

HAIR = 19
HAIR_BAND = 9  # pixels on both sides of the hair's border in which alpha follows the photograph


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
    mask = _keep_large_parts((labels > 0).astype(np.uint8))
    share = mask.mean()
    if share < 0.03:
        raise ValueError("almost nothing is labelled")
    if share > 0.85:
        raise ValueError("almost everything is labelled")
    alpha = _alpha(photo, mask, labels == HAIR)
    colours = estimate_foreground_ml(photo / 255.0, alpha.astype(np.float64), n_big_iterations=1)
    rgba = np.dstack([colours, alpha])
    ys, xs = np.nonzero(alpha > 0.02)
    rgba = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    return np.rint(np.clip(rgba, 0, 1) * 255).astype(np.uint8)


def _keep_large_parts(mask: np.ndarray) -> np.ndarray:
    """Fill pinholes and drop specks below 0.1 % of the picture."""
    for value in (0, 1):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((mask == value).astype(np.uint8), connectivity=4)
        small = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] < mask.size * 1e-3]
        mask = np.where(np.isin(parts, small), 1 - value, mask).astype(np.uint8)
    return mask


def _alpha(photo: np.ndarray, mask: np.ndarray, hair: np.ndarray) -> np.ndarray:
    body = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 0.8)
    guide = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
    soft = kornia.filters.guided_blur(guide, torch.from_numpy(mask)[None, None].float(), (15, 15), 1e-4)[0, 0].numpy()
    soft = np.clip((soft - 0.12) / 0.76, 0, 1)
    size = 2 * HAIR_BAND + 1
    band = cv2.dilate(hair.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    weight = cv2.GaussianBlur(band.astype(np.float32), (0, 0), 3)
    return weight * soft + (1 - weight) * body


def main() -> None:
    """Make all cut-outs that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of photographs, NAME.jpg")
    parser.add_argument("labels", type=Path, help="folder of label maps, NAME.png")
    parser.add_argument("output", type=Path, help="folder for the cut-outs; gets the sub-folders train, val and test")
    args = parser.parse_args()
    left_out: Counter[str] = Counter()
    for path in tqdm(sorted(args.photos.glob("*.jpg")), unit="photo"):
        target = args.output / split_of(path.stem) / f"{path.stem}.png"
        if target.exists():
            continue
        photo, labels = cv2.imread(str(path)), cv2.imread(str(args.labels / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        if photo is None or labels is None or photo.shape[:2] != labels.shape:
            left_out["photograph and labels do not belong together"] += 1
            continue
        try:
            rgba = cut_out(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), labels)
        except ValueError as error:
            left_out[str(error)] += 1
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    for reason, count in left_out.items():
        print(f"left out {count}: {reason}")


if __name__ == "__main__":
    main()
