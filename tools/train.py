"""Train the network: the base first, then base and refiner together.

    python tools/train.py --cutouts data/people --rooms ROOMS --run runs/a --imagenet data/imagenet.safetensors

Run the same command again to go on after an interruption. The run's folder gets `weights.safetensors` (to use),
`state.pt` (to go on from), `losses.png` and `samples.png`.

Needs `pip install .[tools]`.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from bgmv2.config import ModelConfig
from bgmv2.training.compose import Composer
from bgmv2.training.data import load_material
from bgmv2.training.loop import TrainConfig, Trainer
from bgmv2.training.report import plot_losses, sample_sheet

DEFAULTS = TrainConfig()


def main() -> None:
    """Read the flags, train, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cutouts", type=Path, required=True, help="folder made by tools/prepare_people.py")
    parser.add_argument("--rooms", type=Path, required=True, help="folder of pictures of rooms, NUMBER_*.jpg")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results")
    parser.add_argument("--imagenet", type=Path, help="a start for the backbone, from tools/fetch_imagenet.py")
    parser.add_argument("--start", type=Path, help="weights of an earlier run to go on from")
    parser.add_argument("--backbone", default=DEFAULTS.model.backbone, help="default: %(default)s")
    parser.add_argument("--base-steps", type=int, default=DEFAULTS.base_steps, help="default: %(default)s")
    parser.add_argument("--joint-steps", type=int, default=DEFAULTS.joint_steps, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop and save after this time")
    parser.add_argument("--save-every", type=int, default=200, help="steps; default: %(default)s")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "bfloat16"],
        help="bfloat16 is faster on CUDA and on CPUs with AMX or AVX512-BF16, slower on others; default: %(default)s",
    )
    args = parser.parse_args()

    config = replace(
        DEFAULTS,
        model=ModelConfig(backbone=args.backbone),
        base_steps=args.base_steps,
        joint_steps=args.joint_steps,
        seed=args.seed,
    )
    material = load_material(args.cutouts, args.rooms, split="train", device=args.device)
    print(f"{len(material.cutouts)} cut-outs, {len(material.rooms)} rooms, training on {args.device}, {args.precision}")
    unseen = load_material(args.cutouts, args.rooms, split="val", device=args.device)
    samples = Composer(unseen, config.compose, seed=1).batch(6, 360, 640)

    trainer = Trainer(config, material, args.run, imagenet=args.imagenet, start=args.start, precision=args.precision)
    until = time.monotonic() + 60 * args.minutes
    for step in trainer.run(save_every=args.save_every, until=until):
        plot_losses(trainer.losses, args.run / "losses.png")
        sample_sheet(trainer.average.module, samples, args.run / "samples.png", coarse=step <= config.base_steps)


if __name__ == "__main__":
    main()
