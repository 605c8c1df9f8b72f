"""What it earns to let the plate follow its clip (`--update on`): sunlight that wanders, and a camera in the hand.

    python tools/measure_update.py data/shards --sheet update.png
    python tools/measure_update.py data/shards --cases handheld --size 1280 720 --json update.json

Clips are made from the test split by `handheld.py`, from a seed, and every frame that is seen is matted: with the plate
as it was filmed (`off`), with one that follows (`on`), and, for a camera in the hand, as a tripod would have filmed the
same scene (`locked-off`, with a plate that follows). MAD is that of alpha, times 1000: of whole frames, of the first
and the last quarter of a clip, of what the filmed plate shows; `bg>0.1` is background with an alpha above 0.1, in %.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
from handheld import Film, Hand, locked_off
from tqdm import tqdm

from bgmv2 import sheets
from bgmv2.compose import to_uint8
from bgmv2.config import RunConfig
from bgmv2.develop import matte_against
from bgmv2.matter import Matter
from bgmv2.metrics import mad
from bgmv2.plate.align import Aligner
from bgmv2.plate.keeper import Keeper
from bgmv2.plate.views import as_plate
from bgmv2.training.data import Material, load_material
from bgmv2.video.images import write_image

TRIPOD = replace(locked_off(Hand()), stops=0.2)
CASES = {"still": TRIPOD, "sunlight": replace(TRIPOD, sun=3.0), "handheld": Hand()}
# Where people would believe that there is something.
SEEN = 0.1
WIDE = 360


@dataclass
class Scores:
    """Of the frames of a clip, in their order."""

    mad: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    ghosts: list[float] = field(default_factory=list)

    def add(self, pha: np.ndarray, truth: np.ndarray, covered: np.ndarray) -> None:
        """Compare an alpha with the truth, all ``(H, W)``."""
        self.mad.append(1000 * mad(pha, truth))
        self.seen.append(1000 * mad(pha, truth, where=covered > 0))
        self.ghosts.append(100 * float((pha[truth == 0] > SEEN).mean()))


def matte(film: Film, matter: Matter, *, every: int, follows: bool) -> tuple[Scores, list[np.ndarray]]:
    """Matte a clip as `bgmv2 convert` does; returns its scores, and the last frame's picture, alpha and plate."""
    plate, aligner, scores = as_plate(film.plate), Aligner(film.plate), Scores()
    keeper = Keeper(plate, film.size) if follows else None
    shown: list[np.ndarray] = []
    for index in range(0, film.frames, every):
        shot = film.shot(index)
        found = aligner.align(shot.pixels)
        answer, bgr, covered = matte_against(matter, matter.upload(shot.pixels), plate, found, keeper=keeper)
        pha = answer.pha[0, 0].float().numpy()
        scores.add(pha, shot.pha, covered[0, 0].numpy())
        alpha, behind = (to_uint8(x[0].permute(1, 2, 0)).numpy() for x in (answer.pha, bgr))
        shown = [shot.pixels, np.dstack([alpha] * 3), behind]
    return scores, shown


def measure(args: argparse.Namespace, material: Material) -> tuple[dict[str, dict[str, list[Scores]]], np.ndarray]:
    """Film and matte all clips; returns the scores of each case and way, and a sheet."""
    matter = Matter.from_config(RunConfig(weights=args.weights, device="cpu", precision=args.precision))
    found: dict[str, dict[str, list[Scores]]] = {case: defaultdict(list) for case in args.cases}
    rows = []
    jobs = [
        (case, clip, way)
        for case in args.cases
        for clip in range(args.clips)
        for way in ("off", "on", *(["locked-off"] if case == "handheld" else []))
    ]
    for case, clip, way in tqdm(jobs, unit="clip", disable=None):
        hand = locked_off(CASES[case]) if way == "locked-off" else CASES[case]
        size = args.size[1], args.size[0]
        film = Film(material, args.seed + clip, hand, size=size, frames=args.frames * args.every)
        scores, shown = matte(film, matter, every=args.every, follows=way != "off")
        found[case][way].append(scores)
        row = np.hstack([cv2.resize(p, None, fx=WIDE / size[1], fy=WIDE / size[1]) for p in shown])
        sheets.label(row, f"{case} {clip} {way}: last frame, alpha, plate")
        rows.append(row)
    return found, sheets.grid(rows, 2)


def summary(clips: list[Scores]) -> dict[str, float]:
    """Take means over clips."""
    quarter = max(1, len(clips[0].mad) // 4)
    return {
        "MAD": fmean(fmean(clip.mad) for clip in clips),
        "first": fmean(fmean(clip.mad[:quarter]) for clip in clips),
        "last": fmean(fmean(clip.mad[-quarter:]) for clip in clips),
        "where seen": fmean(fmean(clip.seen) for clip in clips),
        "bg>0.1": fmean(fmean(clip.ghosts) for clip in clips),
    }


def text(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Lay it out for people."""
    heads = ("MAD", "first", "last", "where seen", "bg>0.1")
    lines = [f"{'':24}" + "".join(f"{head:>12}" for head in heads)]
    for case, ways in found.items():
        lines += [f"{case + ' ' + way:24}" + "".join(f"{told[h]:12.2f}" for h in heads) for way, told in ways.items()]
        if "locked-off" in ways:
            ratios = {way: ways[way]["MAD"] / ways["locked-off"]["MAD"] for way in ("off", "on")}
            lines.append(f"{case}: off {ratios['off']:.2f}, on {ratios['on']:.2f} times the locked-off camera's MAD")
    return "\n".join(lines)


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by tools/prepare_data.py")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help="default: all")
    parser.add_argument("--clips", type=int, default=3, help="of each case; default: %(default)s")
    parser.add_argument("--frames", type=int, default=60, help="that are seen of each clip; default: %(default)s")
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="see every Nth frame, so that all changes faster; default: 1"
    )
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360), metavar=("W", "H"))
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; default: %(default)s")
    parser.add_argument("--weights", help="default: those that come with bgmv2")
    parser.add_argument("--precision", default="float32", help="of the network; default: %(default)s")
    parser.add_argument("--json", type=Path, help="write all numbers")
    parser.add_argument("--sheet", type=Path, help="write the last frames, their alpha and their plates")
    args = parser.parse_args()
    found, sheet = measure(args, load_material(args.data, split="test"))
    told = {case: {way: summary(clips) for way, clips in ways.items()} for case, ways in found.items()}
    print(text(told))
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if args.sheet:
        write_image(args.sheet, sheet, overwrite=True)


if __name__ == "__main__":
    main()
