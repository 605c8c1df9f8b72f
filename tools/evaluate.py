"""Measure alpha on composites of people and rooms that training never saw.

    python tools/evaluate.py --cutouts data/people --rooms ROOMS --sheet sheet.png

Each composite goes through what a user's picture goes through: it is rounded to 8 bits, the plate (another exposure,
focus and noise) is aligned and matched in exposure, and the default settings for its size apply. One seed gives one
set of composites.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torchvision.utils import make_grid
from tqdm import trange

from bgmv2.compose import over, parse_color, to_uint8
from bgmv2.matter import Matter
from bgmv2.metrics import background_blobs, grad, mad, mse
from bgmv2.plate.align import Aligner, place_plate
from bgmv2.training.compose import ComposeConfig, Composer
from bgmv2.training.data import load_material
from bgmv2.video.images import write_image

# People alone, as users film them; the plate is taken another time, but by a camera that stands still.
SCENES = ComposeConfig(empty=0, objects=0, group=0.2, furniture=0, exposure=0.3, shift=0, turn=0, far_shift=0)


def pixels(picture: torch.Tensor) -> np.ndarray:
    """``(1, 3, H, W)`` in 0..1 to ``(H, W, 3)`` uint8."""
    return to_uint8(picture)[0].permute(1, 2, 0).cpu().numpy()


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cutouts", type=Path, required=True, help="folder made by tools/prepare_people.py")
    parser.add_argument("--rooms", type=Path, required=True, help="folder of pictures of rooms, NUMBER_*.jpg")
    parser.add_argument("--split", default="test", choices=["val", "test"], help="default: %(default)s")
    parser.add_argument("--weights", help="weights to measure; default: those that come with bgmv2")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--count", type=int, default=60, help="number of composites; default: %(default)s")
    parser.add_argument("--seed", type=int, default=2026, help="default: %(default)s")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    parser.add_argument("--sheet", type=Path, help="write a picture: a column for each composite, worst first")
    args = parser.parse_args()

    matter = Matter(args.weights, args.device)
    composer = Composer(load_material(args.cutouts, args.rooms, split=args.split), SCENES, seed=args.seed)
    rows = []
    for _ in trange(args.count, unit="picture"):
        src, bgr, true_pha, _ = composer.batch(1, args.size[1], args.size[0])
        src_pixels, plate = pixels(src), pixels(bgr)
        alignment = Aligner(plate, mode="first").align(src_pixels)
        matte = matter.matte(src_pixels, plate=place_plate(matter.upload(plate).float(), alignment))
        pred, true = matte.pha[0, 0].cpu().numpy(), true_pha[0, 0].numpy()
        com = over(matte.fgr, matte.pha, parse_color("magenta").view(3, 1, 1).to(matte.fgr))
        columns = [src, bgr, true_pha, matte.pha, (matte.pha.cpu() - true_pha).abs(), matte.err, com]
        small = [torch.nn.functional.interpolate(x.cpu(), size=(180, 320), mode="area") for x in columns]
        rows.append(
            {
                "mad": mad(pred, true),
                "mse": mse(pred, true),
                "grad": grad(pred, true),
                "background above 0.1": float((pred[true == 0] > 0.1).mean()),
                "blobs": background_blobs(pred, true),
                "column": torch.cat([x.expand(-1, 3, -1, -1) for x in small]),
            }
        )

    for name in ("mad", "mse", "grad", "background above 0.1"):
        values = np.array([row[name] for row in rows])
        print(f"{name:22} mean {values.mean():.5f}  median {np.median(values):.5f}  worst {values.max():.5f}")
    with_blobs = sum(row["blobs"] > 0 for row in rows)
    print(f"pictures with a blob of background above 0.5: {with_blobs} of {len(rows)}")
    if args.sheet:
        rows.sort(key=lambda row: -row["mad"])
        shown = torch.stack([row["column"] for row in rows[:10]], dim=1).flatten(0, 1)
        write_image(args.sheet, pixels(make_grid(shown, nrow=min(10, len(rows)))[None]), overwrite=True)


if __name__ == "__main__":
    main()
