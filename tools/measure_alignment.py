"""Measure how well the plate is aligned to handheld clips whose homographies are known, and what the matte loses.

    python tools/measure_alignment.py data/shards --json now.json --plot now.png
    python tools/measure_alignment.py data/shards --matte 50 --sheet edges.png --beside before.json

Clips are made from the test split by `handheld.py`, from a seed. Corner error is the mean distance of the plate's four
corners from where they should be, in pixels of the frame. Through a lens that bends (`--barrel`) they have no such
place, and only the median distance over the picture counts, with meshes and without (`flat`). Lost are frames with a
corner error above 5 px, or that were held; bent are those with a mesh. MAD is that of alpha: of all pixels, of those
that the plate shows, and near the subject's edges; `truth` is aligned by the true homography, `locked-off` is the same
scene from a tripod. Times are those of one core.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from handheld import HARD, Film, Hand, Shot, locked_off
from tqdm import tqdm

from bgmv2 import sheets
from bgmv2.develop import matte_against
from bgmv2.errors import Bgmv2Error
from bgmv2.matter import Matter
from bgmv2.metrics import mad, unknown_band
from bgmv2.plate import align, finder
from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.dense import sampled
from bgmv2.plate.geometry import corners_of, project
from bgmv2.plate.place import place_plate
from bgmv2.plate.views import as_plate
from bgmv2.training.data import load_material
from bgmv2.video.images import write_image

LOST = 5.0  # px
# What is timed, by the names under which the aligner calls it.
PARTS: dict[str, tuple[Any, str]] = {
    "refine": (finder.Dense, "refine"),
    "bend": (finder.Bender, "bend"),
    "reduce": (align, "reduced"),
    "structure": (align, "detail"),
    "track": (finder.Finder, "track"),
    "search": (finder.Finder, "search"),
    "light": (align.LightMeter, "measure"),
}
CELL, SHOWN = 200, 6
# So many points in a row, and in a column, are compared in every frame.
GRID = 24


class Stopwatch:
    """Seconds of one thread in each part, without those of the parts within it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a function so that its time is added up."""

        @wraps(work)
        def measured(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            begin = time.thread_time()
            try:
                return work(*args, **kwargs)
            finally:
                took = time.thread_time() - begin
                self.seconds[name] += took - self._inner.pop()
                self._inner[-1] += took

        return measured

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the aligner's parts, the rest of it as `rest`."""
        parts = {"rest": (Aligner, "align"), **PARTS}
        patches = [mock.patch.object(o, n, self.timed(part, getattr(o, n))) for part, (o, n) in parts.items()]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


@dataclass
class Result:
    """What was measured of one variant, frame by frame."""

    mean: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    bend: list[float] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    mad: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    band: list[float] = field(default_factory=list)

    def add(self, found: Alignment, film: Film, index: int) -> None:
        """Compare an alignment with the truth."""
        corners = corners_of(*film.size)
        distance = np.linalg.norm(project(found.homography, corners) - project(film.camera(index), corners), axis=1)
        self.mean.append(round(float(distance.mean()), 4))
        self.largest.append(round(float(distance.max()), 4))
        height, width = film.size
        points = np.stack(np.meshgrid(*(np.linspace(0, n - 1, GRID) for n in (width, height))), axis=2).reshape(-1, 2)
        apart = np.linalg.norm(_source(found, points, film.size) - film.source(index, points), axis=1)
        self.inside.append(round(float(np.median(apart)), 4))
        self.bend.append(round(found.bend, 3))
        self.status.append(found.status)

    @property
    def lost(self) -> int:
        """How many frames were held or are far off."""
        return sum(error > LOST or status == "held" for error, status in zip(self.mean, self.status, strict=True))

    def summary(self) -> dict[str, Any]:
        """The numbers that people read."""
        told: dict[str, Any] = {}
        if self.mean:
            of = {"corner": self.mean, "largest corner": self.largest, "inside": self.inside}
            for name, errors in of.items():
                if not errors:  # of an earlier version
                    continue
                told |= {f"{name} median": float(np.median(errors)), f"{name} p99": float(np.percentile(errors, 99))}
            told |= {
                "bent": sum(bend > 0 for bend in self.bend),
                "lost": self.lost,
                "frames": len(self.mean),
                "status": dict(Counter(self.status)),
            }
        if self.seconds:
            told["milliseconds"] = {name: 1000 * seconds / len(self.mean) for name, seconds in self.seconds.items()}
        if self.mad:
            mads = {"MAD": self.mad, "seen MAD": self.seen, "band MAD": self.band}
            told |= {name: float(np.mean(values)) for name, values in mads.items()}
        return told


class Mattes:
    """What the network makes of some of the frames, aligned and not, and as a locked-off camera would film them."""

    def __init__(self, every: int, weights: str | None):
        self.every, self._matter = every, Matter(weights, "cpu")
        self.cells: list[np.ndarray] = []

    def add(self, film: Film, locked: Film, index: int, found: dict[str, Alignment], results: dict[str, Result]):
        """Matte a frame by every alignment, by the true one, and the same instant filmed from a tripod."""
        shot = film.shot(index)
        found = {**found, "truth": replace(found["now"], homography=shot.homography)}
        phas = {}
        for name, alignment in found.items():
            phas[name] = self._matte(film, shot, alignment, results[name])
        still = locked.shot(index)
        aligner = Aligner(locked.plate)
        self._matte(locked, still, aligner.align(still.pixels), results["locked-off"])
        if len(self.cells) < SHOWN:
            self.cells.append(self._cell(film, shot, found, phas))

    def _matte(self, film: Film, shot: Shot, alignment: Alignment, result: Result) -> np.ndarray:
        src, plate = self._matter.upload(shot.pixels), as_plate(film.plate)
        matte, _, covered = matte_against(self._matter, src, plate, alignment)
        pha = matte.pha[0, 0].float().numpy()
        result.mad.append(mad(pha, shot.pha))
        result.seen.append(mad(pha, shot.pha, where=covered[0, 0].numpy() > 0))
        result.band.append(mad(pha, shot.pha, where=unknown_band(shot.pha)))
        return pha

    def _cell(self, film: Film, shot: Shot, found: dict[str, Alignment], phas: dict[str, np.ndarray]) -> np.ndarray:
        """Lay out an edge of the subject at 1:1: the frame, what is left of it less the plate, alpha."""
        band = unknown_band(shot.pha).astype(np.float32)
        most = cv2.boxFilter(band, -1, (CELL, CELL), borderType=cv2.BORDER_CONSTANT)
        y, x = np.unravel_index(most.argmax(), most.shape)
        height, width = shot.pha.shape
        top, left = int(np.clip(y - CELL // 2, 0, height - CELL)), int(np.clip(x - CELL // 2, 0, width - CELL))
        window = slice(top, top + CELL), slice(left, left + CELL)
        cells = [("frame", shot.pixels[window]), ("true alpha", _grey(shot.pha[window]))]
        for name in ("now", "off"):
            placed = place_plate(as_plate(film.plate).bgr[None], found[name])[0].permute(1, 2, 0).numpy()
            apart = np.abs(shot.pixels / np.float32(255) - placed)[window] * 4
            cells += [(f"{name}: frame - plate, x4", _pixels(apart)), (f"{name}: alpha", _grey(phas[name][window]))]
        pictures = []
        for label, picture in cells:
            picture = np.ascontiguousarray(picture)
            sheets.label(picture, label)
            pictures.append(picture)
        return sheets.grid(pictures, len(pictures))


def _source(found: Alignment, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which points of the plate an alignment puts at points ``(N, 2)`` of the frame."""
    if found.mesh is not None:
        nodes = points * ((np.array(found.mesh.shape[1::-1]) - 1) / (np.array(size[::-1]) - 1))
        points = points - np.stack([sampled(found.mesh[..., axis], nodes) for axis in (0, 1)], axis=1)
    return project(np.linalg.inv(found.homography), points)


def _pixels(picture: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _grey(pha: np.ndarray) -> np.ndarray:
    return _pixels(np.repeat(pha[..., None], 3, axis=2))


def measure(args: argparse.Namespace) -> tuple[dict[str, Result], Mattes | None]:
    """Film, align and, if asked for, matte all clips."""
    material = load_material(args.data, split="test")
    names = ["now", "off", *(["flat"] if args.barrel else []), *(["truth", "locked-off"] if args.matte else [])]
    results = {name: Result() for name in names}
    watch = Stopwatch()
    mattes = Mattes(args.matte, args.weights) if args.matte else None
    size, hand = (args.size[1], args.size[0]), replace(HARD if args.hard else Hand(), barrel=args.barrel)
    frames = -(-args.frames // args.clips)
    with tqdm(total=args.clips * frames, unit="frame", disable=None) as progress:
        for clip in range(args.clips):
            film = Film(material, args.seed + clip, hand, size=size, frames=frames)
            locked = Film(material, args.seed + clip, locked_off(hand), size=size, frames=frames)
            aligners = {"now": Aligner(film.plate), "off": Aligner(film.plate, mode="off")}
            for index, shot in enumerate(film):
                with watch.watching():
                    found = {"now": aligners["now"].align(shot.pixels)}
                found["off"] = aligners["off"].align(shot.pixels)
                if args.barrel:
                    found["flat"] = replace(found["now"], mesh=None)
                for name, alignment in found.items():
                    results[name].add(alignment, film, index)
                if mattes and index % mattes.every == mattes.every // 2:
                    mattes.add(film, locked, index, found, results)
                progress.update()
    results["now"].seconds = dict(watch.seconds)
    return results, mattes


def text(summaries: dict[str, dict[str, Any]]) -> str:
    """Lay it out for people."""
    heads = ("median", "p99", "median", "p99", "median", "p99", "bent", "lost", "MAD x1000", "where seen", "at edges")
    lines = [
        f"{'':12}{'corner error, px':>26}{'the largest of 4, px':>26}{'in the picture, px':>26}",
        f"{'':12}" + "".join(f"{head:>13}" for head in heads),
    ]
    for name, told in summaries.items():
        kinds = ("corner", "largest corner", "inside")
        cells = [told.get(f"{kind} {what}") for kind in kinds for what in ("median", "p99")]
        said = [f"{cell:.3f}" if cell is not None else "" for cell in cells]
        said.append(f"{told.get('bent', '')}")
        said.append(f"{told['lost']} of {told['frames']}" if "lost" in told else "")
        said += [f"{1000 * told[key]:.2f}" if key in told else "" for key in ("MAD", "seen MAD", "band MAD")]
        lines.append(f"{name:12}" + "".join(f"{cell:>13}" for cell in said))
    for name, told in summaries.items():
        if "milliseconds" in told:
            parts = ", ".join(f"{part} {value:.1f}" for part, value in told["milliseconds"].items())
            lines.append(f"{name}: {sum(told['milliseconds'].values()):.1f} ms a frame on one core ({parts})")
    return "\n".join(lines)


def plot(results: dict[str, Result], path: Path) -> None:
    """Draw which share of the frames has which error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    for name, result in results.items():
        if result.mean:
            share = (np.arange(len(result.mean)) + 1) / len(result.mean)
            axes.plot(np.sort(np.maximum(result.mean, 1e-3)), share, label=name)
    for goal in (0.3, 1.0):
        axes.axvline(goal, color="grey", linestyle=":")
    axes.set(xscale="log", xlabel="corner error in px", ylabel="share of the frames")
    axes.legend()
    axes.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Read the flags, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by tools/prepare_data.py")
    parser.add_argument("--frames", type=int, default=1000, help="of all clips together; default: %(default)s")
    parser.add_argument("--clips", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; default: %(default)s")
    parser.add_argument("--barrel", type=float, default=0.0, help="distortion of the lens; default: none")
    parser.add_argument("--hard", action="store_true", help="close-ups, motion blur, more noise and compression")
    parser.add_argument("--matte", type=int, metavar="N", help="matte every Nth frame, which takes seconds for each")
    parser.add_argument("--weights", help="for --matte; default: those that come with bgmv2")
    parser.add_argument("--json", type=Path, help="write all numbers")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="show earlier numbers too, from --json")
    parser.add_argument("--plot", type=Path, help="draw the errors")
    parser.add_argument("--sheet", type=Path, help="with --matte: write edges at 1:1, with alignment and without")
    args = parser.parse_args()
    if args.sheet and not args.matte:
        parser.error("--sheet shows mattes: give --matte as well")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        earlier = {path.stem: Result(**json.loads(path.read_text())["now"]) for path in args.beside}
        results, mattes = measure(args)
    except (Bgmv2Error, OSError, ValueError, KeyError, TypeError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    print(text({name: result.summary() for name, result in {**earlier, **results}.items()}))
    if args.json:
        args.json.write_text(json.dumps({name: vars(result) for name, result in results.items()}) + "\n")
    if args.plot:
        plot({**earlier, **results}, args.plot)
    if args.sheet and mattes:
        write_image(args.sheet, np.vstack(mattes.cells), overwrite=True)


if __name__ == "__main__":
    main()
