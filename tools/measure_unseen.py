"""What becomes of alpha where the plate never saw the scene, told on stills of a benchmark.

    python tools/measure_unseen.py data/benchmark --sheet unseen.png

Parts of each still's plate are made up: a band along two edges, as beside a camera that turned, and an ellipse where
the subject stands, as behind somebody who never moved. The mean error of alpha times 1000 is told for the subject and
for the room in there, and for all else.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median

import cv2
import numpy as np
import torch
from tqdm import tqdm

from bgmv2 import Matter
from bgmv2.evaluate import Item, load_benchmark
from bgmv2.plate.unseen import continue_subject
from bgmv2.video.images import read_image, write_image

BAND = 0.08  # of the width


def areas(true_pha: np.ndarray, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what the plate saw, ``(H, W)`` bool, by a name."""
    height, width = true_pha.shape
    y, x = np.mgrid[:height, :width]
    margin = round(BAND * width)
    if number % 2:
        yield "band", (x >= margin) & (y >= margin)
    else:
        yield "band", (x < width - margin) & (y < height - margin)
    rows, columns = np.nonzero(true_pha > 0.5)
    centre = np.percentile(rows, 30), np.percentile(columns, 80)
    yield "hole", ((y - centre[0]) / (0.2 * height)) ** 2 + ((x - centre[1]) / (0.09 * width)) ** 2 > 1


def extended(plate: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill with the nearest colour that was seen."""
    _, labels = cv2.distanceTransformWithLabels(
        (~seen).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((labels.max() + 1, 3), plate.dtype)
    colors[labels[seen]] = plate[seen]
    return colors[labels]


def measure(items: list[Item], matter: Matter) -> tuple[dict[tuple[str, str], list[tuple[float, ...]]], list]:
    """Return the errors by kind of area and way, and a row of pictures for each."""
    errors: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    rows = []
    for number, item in enumerate(tqdm(items, unit="still")):
        src, plate = read_image(item.srcs[0]), read_image(item.plate)
        true_pha = item.truth()[0]
        for kind, seen in areas(true_pha, number):
            covered = torch.from_numpy(seen.astype(np.float32))[None, None]
            fills = {"whole plate": plate, "frame copied": np.where(seen[..., None], plate, src)}
            fills["extended"] = extended(plate, seen)
            phas = {way: matter.matte(src, plate=bgr).pha.cpu() for way, bgr in fills.items()}
            phas["extended, continued"] = continue_subject(phas["extended"], covered)
            for way, pha in phas.items():
                gap = np.abs(pha[0, 0].numpy() - true_pha)
                places = (~seen & (true_pha > 0.5), ~seen & (true_pha <= 0.5), seen)
                told = tuple(1000 * float(gap[place].mean()) if place.any() else np.nan for place in places)
                errors.setdefault((kind, way), []).append(told)
                rows.append(_tinted(pha[0, 0].numpy(), seen))
    return errors, rows


def _mean_and_median(values: list[float]) -> str:
    return f"{fmean(values):9.1f}; {median(values):.1f}" if values else f"{'-':>9}; -"


def _tinted(pha: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Show alpha, brown where the plate saw nothing."""
    color = np.where(seen[..., None], np.float32(0), np.float32((90, 50, 0)))
    return cv2.resize(np.maximum(color, 255 * pha[..., None]), (320, 180)).astype(np.uint8)


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path, help="folder, made by tools/make_benchmark.py")
    parser.add_argument("--every", type=int, default=4, metavar="N", help="take every Nth still; default: %(default)s")
    parser.add_argument("--sheet", type=Path, help="picture of all mattes; brown is what the plate never saw")
    args = parser.parse_args()
    stills = [item for item in load_benchmark(args.benchmark).items if len(item.srcs) == 1]
    errors, rows = measure(stills[:: args.every], Matter())
    print(f"{'':30}{'subject':>9}{'room':>9}{'elsewhere':>11}   (mean; median)")
    for (kind, way), told in sorted(errors.items()):
        parts = (_mean_and_median([values[i] for values in told if math.isfinite(values[i])]) for i in range(3))
        print(f"{kind + ', ' + way:30}{''.join(parts)}")
    if args.sheet is not None:
        write_image(args.sheet, np.vstack([np.hstack(rows[i : i + 4]) for i in range(0, len(rows), 4)]))


if __name__ == "__main__":
    main()
