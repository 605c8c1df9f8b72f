"""Train the network: the base first, then base and refiner together.

    python tools/train.py weights/mobilenetv2.json --data data/shards --run runs/a --imagenet data/imagenet.safetensors

Ctrl-C, or SIGTERM, ends the run after its step, saved. Run the same command again to go on. The run's folder gets
`weights.safetensors` (to use), `state.pt` (to go on from), `log.csv` and `losses.png` (every loss of every step),
`samples.png` and `held_out.csv` (whole scenes that are not trained on: how they look, and alpha's error).

The configuration is a JSON file with settings of `bgmv2.training.loop.TrainConfig`; what it leaves out has its default.

Needs `pip install .[tools]`.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from bgmv2.errors import Bgmv2Error
from bgmv2.memory import keep_memory
from bgmv2.training.compose import ComposeConfig, Composer
from bgmv2.training.data import load_material
from bgmv2.training.loop import TrainConfig, Trainer
from bgmv2.training.report import append_row, measure, plot_losses, sample_sheet


def main() -> None:
    """Read the flags, train, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="JSON file with the settings of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder made by tools/prepare_data.py")
    parser.add_argument("--run", type=Path, required=True, help="folder for the results")
    parser.add_argument("--imagenet", type=Path, help="a start for the backbone, from tools/fetch_imagenet.py")
    parser.add_argument(
        "--start",
        type=Path,
        nargs="+",
        default=[],
        help="weights of an earlier run to go on from, or of several: their mean",
    )
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
    keep_memory()
    try:
        config = TrainConfig.from_dict(json.loads(args.config.read_text(encoding="utf-8")))
        material = load_material(args.data, split="train", device=args.device)
        unseen = load_material(args.data, split="val", device=args.device)
        trainer = Trainer(
            config, material, args.run, imagenet=args.imagenet, start=args.start, precision=args.precision
        )
    except (OSError, ValueError, Bgmv2Error) as error:
        sys.exit(f"error: {error}")

    counts = f"{len(material.people)} people, {len(material.things)} things, {len(material.rooms)} rooms"
    print(f"{counts}; training on {args.device} in {args.precision}")
    # Whole scenes, as users film them, and the same ones in all runs, however these compose their own.
    held_out = Composer(unseen, ComposeConfig(part=0), seed=1)
    pairs = [held_out.batch(6, 360, 640) for _ in range(4)]
    for interruption in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interruption, lambda *_: trainer.stop())
    until = time.monotonic() + 60 * args.minutes
    for step in trainer.run(save_every=args.save_every, until=until):
        coarse = step <= config.base_steps  # the refiner is not trained yet
        model = trainer.average.module
        errors = measure(model, pairs, coarse=coarse)
        tqdm.write(f"step {step}: " + ", ".join(f"{name} {value:.5f}" for name, value in errors.items()))
        append_row(args.run / "held_out.csv", {"step": step, **errors})
        plot_losses(trainer.losses, args.run / "losses.png")
        sample_sheet(model, pairs[0], args.run / "samples.png", coarse=coarse)
    if trainer.step < trainer.steps:
        sys.exit(f"stopped at step {trainer.step} of {trainer.steps}; run the same command again to go on")


if __name__ == "__main__":
    main()
