"""Measure weights on whole scenes of the validation split: what training is steered by, never the benchmark.

    python tools/measure_scenes.py data/shards runs/a/weights.safetensors runs/b/weights.safetensors
    python tools/measure_scenes.py data/shards - --size 1920 1080 --seed 6 --count 24 --scales 1/3 1/4 --refined 1/16

``-`` are the weights that come with bgmv2. All errors are alpha's mean absolute ones, times 1000. The three that follow
mean and median tell where they lie, and add up to the mean: within 10 pixels of soft edges, inside of the subject, and
beside it; the last is that of soft pixels alone.
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path
from statistics import fmean, median

import torch
import torch.nn.functional as F
from tables import rows
from tqdm import tqdm

from bgmv2.budget import pixels_for, scale_for, scale_text
from bgmv2.config import REFINE_FLOOR
from bgmv2.errors import Bgmv2Error
from bgmv2.memory import keep_memory
from bgmv2.nn.checkpoint import load_model
from bgmv2.nn.fast import FastMatting
from bgmv2.training.compose import ComposeConfig, Composer
from bgmv2.training.data import load_material

BAND = 10  # pixels
HEADS = ["weights", "scale", "refined", "mean", "median", "edges", "inside", "beside", "soft pixels"]


def errors(pha: torch.Tensor, true_pha: torch.Tensor) -> tuple[float, float, float, float, float]:
    """Say how far alpha ``(1, 1, H, W)`` is off.

    Returns:
        The mean error; its parts near soft edges, inside and beside; the mean over soft pixels. All times 1000.
    """
    gap = 1000 * (pha - true_pha).abs()
    levels = (255 * true_pha).round()  # else a subject that was scaled would be soft all over, by rounding
    soft = (levels > 0) & (levels < 255)
    near = F.max_pool2d(soft.float(), 2 * BAND + 1, stride=1, padding=BAND) > 0
    parts = [float((gap * where).mean()) for where in (near, ~near & (levels == 255), ~near & (levels == 0))]
    return float(gap.mean()), parts[0], parts[1], parts[2], float(gap[soft].mean()) if soft.any() else 0.0


def main() -> None:
    """Read the flags, compose, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by tools/prepare_data.py")
    parser.add_argument("weights", nargs="+", help="weights files; - for those that come with bgmv2")
    parser.add_argument("--count", type=int, default=48, help="of scenes; default: %(default)s")
    parser.add_argument("--seed", type=int, default=5, help="of the scenes; default: %(default)s")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    parser.add_argument("--scales", type=Fraction, nargs="+", help="default: the one for this size")
    parser.add_argument("--refined", type=Fraction, nargs="+", help="shares of the pixels; default: the usual one")
    args = parser.parse_args()
    keep_memory()
    width, height = args.size
    scales = [float(x) for x in args.scales or [scale_for(height, width)]]
    shares = args.refined or [Fraction(pixels_for(height, width), height * width)]
    try:
        composer = Composer(load_material(args.data, split="val"), ComposeConfig(part=0), seed=args.seed)
        networks = [
            FastMatting(load_model(None if path == "-" else path, refine_floor=REFINE_FLOOR)) for path in args.weights
        ]
    except (Bgmv2Error, OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    told: dict[tuple[str, str, str], list[tuple[float, ...]]] = {}
    for _ in tqdm(range(args.count), unit="scene", leave=False):
        src, bgr, true_pha, _ = composer.batch(1, height, width)
        for path, network in zip(args.weights, networks, strict=True):
            for scale in scales:
                for share in shares:
                    network.model.backbone_scale = scale
                    network.model.refiner.sample_pixels = round(height * width * share)
                    key = path, scale_text(scale), str(share)
                    told.setdefault(key, []).append(errors(network(src, bgr)[0], true_pha))
    cells = []
    for key, values in told.items():
        mean, *others = zip(*values, strict=True)
        figures = [fmean(mean), median(mean), *map(fmean, others)]
        cells.append([*key, *(f"{figure:.2f}" for figure in figures)])
    print(f"{args.count} scenes at {width}x{height}, seed {args.seed}\n")
    print("\n".join(rows(HEADS, cells)))


if __name__ == "__main__":
    main()
