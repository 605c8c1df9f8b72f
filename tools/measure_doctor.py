"""Measure what the plate doctor finds, and how often it cries wolf.

    python tools/measure_doctor.py data/shards --count 20 --json doctor.json
    python tools/measure_doctor.py data/shards --benchmark data/benchmark --good clip.mp4:plate.png

Pairs of plate and clip are made from the test split by `handheld.py`, from a seed: good ones, and ones that are spoiled
in one way each. Found is what got the right name; a good pair must never be told to be filmed again.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from handheld import LOCKED, Film, Hand
from tqdm import tqdm

from bgmv2.doctor import Diagnosis, diagnose, examine
from bgmv2.doctor.samples import Sample
from bgmv2.evaluate import load_benchmark
from bgmv2.plate.sources import load_plate
from bgmv2.training.data import Material, load_material
from bgmv2.types import Frame, Plate
from bgmv2.video.images import read_image

SAMPLES, APART = 9, 37  # frames that are looked at, and of the film from one to the next
STEADY = Hand(shake=0, turn=0, zoom=0, stops=0.05, tint=0.01)
LIVELY = Hand()


@dataclass(eq=False)
class Pair:
    """A plate and frames, ``(H, W, 3)`` uint8; what spoils them changes them in place."""

    plate: np.ndarray
    frames: list[np.ndarray]
    number: int
    material: Material
    plate_size: tuple[int, int] | None = None
    cuts: tuple[float, ...] = ()

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.number)


def _paste(picture: np.ndarray, cutout: np.ndarray, *, x: float, bottom: float, tall: float) -> None:
    """Lay a cut-out ``(h, w, 4)`` uint8 into a picture, all in shares of its size."""
    height, width = picture.shape[:2]
    scale = tall * height / cutout.shape[0]
    small = cv2.resize(cutout, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = round(bottom * height) - small.shape[0], round(x * width) - small.shape[1] // 2
    y0, y1, x0, x1 = max(0, top), min(height, top + small.shape[0]), max(0, left), min(width, left + small.shape[1])
    part = small[y0 - top : y1 - top, x0 - left : x1 - left].astype(np.float32)
    alpha = part[..., 3:] / 255
    picture[y0:y1, x0:x1] = np.rint(picture[y0:y1, x0:x1] * (1 - alpha) + part[..., :3] * alpha).astype(np.uint8)


def _cutout(items: list[torch.Tensor], number: int) -> np.ndarray:
    return items[number % len(items)].permute(1, 2, 0).numpy()


def _film(material: Material, number: int, hand: Hand) -> Film:
    return Film(material, number, hand, size=(360, 640), frames=SAMPLES * APART)


def _brighter(pixels: np.ndarray, stops: float) -> np.ndarray:
    linear = (pixels / 255.0) ** 2.2 * 2.0**stops
    return np.rint(255 * np.clip(linear, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def _elsewhere(p: Pair) -> Film:
    """A film of another room: of some, two have the same."""
    for number in range(p.number + 7919, p.number + 8019):
        film = _film(p.material, number, STEADY)
        if np.abs(film.plate.astype(float) - p.plate).mean() > 25:
            return film
    raise SystemExit(f"all rooms look like number {p.number}")


def _other_room(p: Pair) -> None:
    p.plate = _elsewhere(p).plate


def _person_on_plate(p: Pair) -> None:
    _paste(p.plate, _cutout(p.material.people, p.number + 1), x=p.rng.choice([0.15, 0.85]), bottom=1, tall=0.8)


def _frame_of_clip(p: Pair) -> None:
    p.plate = p.frames[4].copy()


def _thing_gone(p: Pair) -> None:
    _paste(p.plate, _cutout(p.material.things, p.number), x=p.rng.choice([0.12, 0.88]), bottom=0.6, tall=0.3)


def _thing_new(p: Pair) -> None:
    x = p.rng.choice([0.12, 0.88])
    for frame in p.frames:
        _paste(frame, _cutout(p.material.things, p.number), x=x, bottom=0.6, tall=0.3)


def _black(p: Pair) -> None:
    p.plate = np.clip(np.random.default_rng(1).normal(1, 1, p.plate.shape), 0, 255).astype(np.uint8)


def _clipped(p: Pair) -> None:
    p.plate = _brighter(p.plate, 2.5)


def _darker(p: Pair) -> None:
    p.plate = _brighter(p.plate, -1.5)


def _bluer(p: Pair) -> None:
    p.plate = np.rint(np.clip(p.plate * [0.8, 1, 1.15], 0, 255)).astype(np.uint8)


def _blurred(p: Pair) -> None:
    p.plate = cv2.GaussianBlur(p.plate, (0, 0), 3)


def _mirrored(p: Pair) -> None:
    p.plate = np.ascontiguousarray(p.plate[:, ::-1])


def _upside_down(p: Pair) -> None:
    p.plate = np.ascontiguousarray(p.plate[::-1, ::-1])


def _small(p: Pair) -> None:
    height, width = p.plate.shape[:2]
    p.plate_size = width // 3, height // 3
    p.plate = cv2.resize(cv2.resize(p.plate, p.plate_size, interpolation=cv2.INTER_AREA), (width, height))


def _bars(p: Pair) -> None:
    height, width = p.plate.shape[:2]
    inner = cv2.resize(p.plate, (width, round(0.78 * height)), interpolation=cv2.INTER_AREA)
    top = (height - len(inner)) // 2
    p.plate = np.zeros_like(p.plate)
    p.plate[top : top + len(inner)] = inner


def _cut(p: Pair) -> None:
    other = _elsewhere(p)
    half = SAMPLES // 2
    p.frames[half:] = [other.shot(index * APART).pixels for index in range(half, SAMPLES)]
    p.cuts = (float(half),)


def _stepped_aside(p: Pair) -> None:
    """The camera stood elsewhere: the near part of the room moved against the far one."""
    height, width = p.plate.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    rows = [cv2.resize(p.rng.random((4, 6), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)]
    p.plate = cv2.remap(p.plate, x + 24 * (rows[0] - 0.5), y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class Case:
    """One way a pair can be.

    Args:
        spoil: what is done to a good pair; None leaves it good.
        names: findings that tell it; any of them will do.
        hand: how the clip is filmed.
        walks: the subject does.
    """

    spoil: Callable[[Pair], None] | None = None
    names: tuple[str, ...] = ()
    hand: Hand = STEADY
    walks: bool = True


CASES = {
    "good": Case(),
    "good, hand-held": Case(hand=LIVELY),
    "good, light drifts": Case(hand=LOCKED),
    "good, subject stays": Case(walks=False),
    "another room": Case(_other_room, ("other-scene",)),
    "person on the plate": Case(_person_on_plate, ("ghost",)),
    "person on the plate, hand-held": Case(_person_on_plate, ("ghost",), LIVELY),
    "plate is a frame of the clip": Case(_frame_of_clip, ("ghost", "nobody")),
    "... whose subject stays": Case(_frame_of_clip, ("ghost", "nobody"), walks=False),
    "a thing is gone": Case(_thing_gone, ("ghost", "moved-object")),
    "a thing came": Case(_thing_new, ("moved-object", "ghost")),
    "black": Case(_black, ("empty-plate",)),
    "clipped": Case(_clipped, ("clipped-plate",)),
    "1.5 stops darker": Case(_darker, ("other-light",)),
    "bluer": Case(_bluer, ("other-light",)),
    "blurred": Case(_blurred, ("soft-plate",)),
    "mirrored": Case(_mirrored, ("turned-plate",)),
    "upside down": Case(_upside_down, ("turned-plate",)),
    "a third of the size": Case(_small, ("small-plate", "soft-plate")),
    "bars": Case(_bars, ("bars",)),
    "cut to another scene": Case(_cut, ("cut",)),
    "camera stood aside": Case(_stepped_aside, ("parallax",)),
}


def _pair(material: Material, number: int, case: Case, takes: dict[tuple[Hand, bool], Pair]) -> Pair:
    """Make a good pair, or take the one that was made before, then spoil it."""
    key = case.hand, case.walks
    if key not in takes:
        take = _film(material, number, case.hand)
        frames = [take.shot(index * APART if case.walks else index).pixels for index in range(SAMPLES)]
        takes[key] = Pair(take.plate, frames, number, material)
    made = replace(takes[key], plate=takes[key].plate.copy(), frames=[frame.copy() for frame in takes[key].frames])
    if case.spoil is not None:
        case.spoil(made)
    return made


def _examined(made: Pair) -> Diagnosis:
    samples = [Sample(Frame(pixels), float(index)) for index, pixels in enumerate(made.frames)]
    size = made.frames[0].shape[1], made.frames[0].shape[0]
    plate = Plate(torch.from_numpy(made.plate).permute(2, 0, 1).float() / 255)
    return examine(plate, samples, size=size, cuts=made.cuts, plate_size=made.plate_size).diagnosis


@dataclass
class Row:
    """What became of the pairs of one kind.

    Args:
        names: findings that tell what is wrong with them; none if they are good.
    """

    names: tuple[str, ...] = ()
    count: int = 0
    found: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)

    def add(self, told: Diagnosis) -> None:
        """Count one more."""
        self.count += 1
        self.verdicts[told.verdict] += 1
        self.found += bool({finding.name for finding in told.findings} & set(self.names))
        self.said.update(finding.name for finding in told.findings if finding.severity != "note")

    def told(self, name: str) -> str:
        """A line of the table."""
        verdicts = " ".join(f"{self.verdicts[verdict]:5}" for verdict in ("good", "usable", "reshoot"))
        words = ", ".join(f"{what} {count}" for what, count in self.said.most_common())
        return f"{name:32} {self.count:5} {self.found if self.names else '-':>5} {verdicts}   {words}"


def _real_pairs(good: list[str], benchmark: Path | None, rows: dict[str, Row]) -> None:
    """Have pairs examined that were filmed, or made for another purpose; all of them are good."""
    for both in good:
        clip, plate = both.rsplit(":", 1)
        told = diagnose(clip, lambda info, plate=plate: load_plate(plate, info.width, info.height)).diagnosis
        rows.setdefault(Path(clip).name, Row()).add(told)
    for item in load_benchmark(benchmark).items if benchmark is not None else ():
        frames = [read_image(path) for path in item.srcs]
        height, width = frames[0].shape[:2]
        samples = [Sample(Frame(pixels), float(index)) for index, pixels in enumerate(frames)]
        told = examine(load_plate(item.plate, width, height), samples, size=(width, height)).diagnosis
        rows.setdefault(f"benchmark: {item.category}", Row()).add(told)


def main() -> None:
    """Read the flags, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="data that tools/prepare_data.py wrote, with things among it")
    parser.add_argument("--count", type=int, default=20, help="pairs of each kind; default: %(default)s")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="KIND")
    parser.add_argument("--good", nargs="*", default=[], metavar="CLIP:PLATE", help="pairs that are known to be good")
    parser.add_argument("--benchmark", type=Path, help="a folder of tools/make_benchmark.py; its pairs are good")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    args = parser.parse_args()
    rows: dict[str, Row] = {}
    _real_pairs(args.good, args.benchmark, rows)
    if args.count:
        material = load_material(args.shards, split="test")
        rows |= {name: Row(CASES[name].names) for name in args.only}
        for number in tqdm(range(args.seed, args.seed + args.count), unit="room", leave=False):
            takes: dict[tuple[Hand, bool], Pair] = {}
            for name in args.only:
                rows[name].add(_examined(_pair(material, number, CASES[name], takes)))
    print(f"{'kind':32} {'pairs':>5} found  good usable reshoot   warned of")
    for name, row in rows.items():
        print(row.told(name))
    if args.json is not None:
        args.json.write_text(json.dumps({name: asdict(row) for name, row in rows.items()}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
