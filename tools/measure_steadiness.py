"""What `bgmv2 webcam` earns by holding alpha where the picture stands still, told on clips whose alpha is known.

    python tools/measure_steadiness.py
    python tools/measure_steadiness.py data/benchmark

These are the sample clip, whose people mostly stand, and those of a benchmark, in which all of the subject moves. Each
clip is matted as the webcam does, with and without steadying. dtSSD (times 100) tells how much alpha flickers beyond
the truth; MAD (times 1000) how wrong it is, over all pixels and over those that moved since the frame before, where a
ghost would trail.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from tables import rows
from tqdm import tqdm

from bgmv2.config import RunConfig
from bgmv2.develop import matte_against
from bgmv2.evaluate import load_benchmark
from bgmv2.live.steady import Steadier
from bgmv2.matter import Matter
from bgmv2.metrics import dtssd, mad
from bgmv2.plate.align import Aligner
from bgmv2.plate.sources import load_plate
from bgmv2.video.images import read_image
from bgmv2.video.open import open_source

SAMPLE = Path(__file__).parents[1] / "tests" / "sample"
MOVED = 0.06  # of a channel, 0..1: more than noise
FACTORS = {"dtssd": 100, "mad": 1000, "moved": 1000}


@dataclass(frozen=True)
class Figures:
    """Of one clip, in the units of `bgmv2.metrics`; `moved` is MAD where the picture moved."""

    dtssd: float
    mad: float
    moved: float


def sample() -> tuple[list[np.ndarray], np.ndarray, Path]:
    """Read the sample clip: its frames, true alpha and plate."""
    with open_source(SAMPLE / "clip.mp4") as clip, open_source(SAMPLE / "alpha.mp4") as alpha:
        frames, alphas = ([frame.pixels for frame in source] for source in (clip, alpha))
    return frames, np.stack([alpha[..., 0] for alpha in alphas]).astype(np.float32) / 255, SAMPLE / "plate.jpg"


def measure(frames: list[np.ndarray], truth: np.ndarray, plate_path: Path, matter: Matter) -> dict[str, Figures]:
    """Matte a clip; figures by the way."""
    height, width = frames[0].shape[:2]
    plate = load_plate(plate_path, width, height)
    aligner, steadier = Aligner(plate), Steadier()
    phas: dict[str, list[np.ndarray]] = {"as it is": [], "steadied": []}
    for pixels in frames:
        src = matter.upload(pixels)
        matte, bgr, _ = matte_against(matter, src, plate, aligner.align(pixels))
        for way, pha in zip(phas, (matte.pha, steadier(matte.pha, src, bgr)), strict=True):
            phas[way].append(pha[0, 0].numpy())
    moved = np.abs(np.diff(np.stack(frames).astype(np.float32) / 255, axis=0)).max(axis=3) > MOVED
    told = {}
    for way, of_frames in phas.items():
        gaps = fmean(map(mad, of_frames, truth))
        of_moved = [mad(*three[:2], where=three[2]) for three in zip(of_frames[1:], truth[1:], moved, strict=True)]
        told[way] = Figures(dtssd(np.stack(of_frames), truth), gaps, fmean(of_moved))
    return told


def table(told: dict[str, dict[str, Figures]]) -> str:
    """A row for each clip and way."""
    cells = [
        [clip, way, *(f"{factor * getattr(figures, name):.2f}" for name, factor in FACTORS.items())]
        for clip, by_way in told.items()
        for way, figures in by_way.items()
    ]
    return "\n".join(rows(["clip", "alpha", "dtSSD", "MAD", "MAD where it moved"], cells))


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "benchmark", type=Path, nargs="?", help="folder, made by tools/make_benchmark.py; may be missing"
    )
    parser.add_argument("--weights", help="default: the bundled ones")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers there")
    args = parser.parse_args()
    items = () if args.benchmark is None else load_benchmark(args.benchmark).items
    matter = Matter.from_config(RunConfig(weights=args.weights, device="cpu"))
    told = {"sample": measure(*sample(), matter)}
    for item in tqdm([item for item in items if len(item.srcs) > 1], unit="clip"):
        told[item.name] = measure([read_image(path) for path in item.srcs], item.truth(), item.plate, matter)
    print(table(told))
    if args.json is not None:
        numbers = {clip: {way: asdict(figures) for way, figures in by_way.items()} for clip, by_way in told.items()}
        args.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
