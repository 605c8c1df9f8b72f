"""How near the whole conversion comes to its slowest stage: each stage alone, all together, and memory.

Each stage works alone on frames that are in memory, in one process, with the threads it has in a conversion. All
together is the command as users start it, in a process of its own, from its first frame to its last.

On a GPU the stages have machines of their own, and the slowest of them bounds the rate. On the CPU they share its
cores, so that the sum of their work on all cores bounds it, too: no order of work gets more out of the cores than there
is. Both bounds are told; the ratio is that to the lower one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import torch
from tables import put, put_into, rows

from benching import command
from bgmv2 import Matter, RunConfig, compose
from bgmv2.backdrop import open_backdrop
from bgmv2.config import EncodeConfig
from bgmv2.memory import keep_memory
from bgmv2.plate.align import Aligner
from bgmv2.plate.keeper import Keeper
from bgmv2.plate.sources import load_plate
from bgmv2.types import Frame, Matte, VideoInfo
from bgmv2.video.images import read_image, write_image
from bgmv2.video.open import open_sink, open_source

SAMPLE = Path(__file__).parents[2] / "tests" / "sample"
BEGIN, END = "<!-- pipeline: made by tools/bench.py pipeline -->", "<!-- pipeline: end -->"
SIZES = {"hd": (1920, 1080), "4k": (3840, 2160)}
STAGES = ("decode", "align", "upload", "base", "refine", "follow", "compose", "download", "encode")
_WARM = 2  # frames that are not counted: memory, threads and kernels are made ready in them


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a frame costs in a stage.

    Args:
        seconds: of wall time, the mean.
        work: of processor time on all cores, the mean.
    """

    seconds: float
    work: float


@dataclasses.dataclass(frozen=True)
class Report:
    """What was measured at one size.

    Args:
        size: width and height.
        network: what it runs on, and in which precision.
        stages: by name.
        together: frames a second of the whole command.
        memory: its peak in MiB.
        cores: that this process may use.
    """

    size: tuple[int, int]
    network: str
    stages: dict[str, Cost]
    together: float
    memory: float
    cores: int

    @property
    def slowest(self) -> str:
        """The stage that takes the longest alone."""
        return max(self.stages, key=lambda name: self.stages[name].seconds)

    @property
    def bounds(self) -> dict[str, float]:
        """Frames a second that cannot be exceeded: by the slowest stage, and by the work of all on these cores."""
        work = sum(cost.work for cost in self.stages.values())
        return {"slowest": 1 / self.stages[self.slowest].seconds, "cores": self.cores / work}

    @property
    def ratio(self) -> float:
        """All together, against the lower bound."""
        return self.together / min(self.bounds.values())

    def to_json(self) -> dict[str, Any]:
        """All of it, for machines."""
        return {**dataclasses.asdict(self), "slowest": self.slowest, "bounds": self.bounds, "ratio": self.ratio}

    def __str__(self) -> str:
        """A table in Markdown, and what follows from it."""
        cells = [
            [name, f"{1 / cost.seconds:.1f}", f"{1000 * cost.seconds:.1f}", f"{1000 * cost.work:.1f}"]
            for name, cost in self.stages.items()
        ]
        bounds = self.bounds
        return "\n".join(
            [
                f"{self.size[0]}x{self.size[1]}, {self.network}",
                "",
                *rows(["stage alone", "frames/s", "ms", "ms of all cores"], cells),
                "",
                f"together {self.together:.2f} frames/s; bounds: "
                f"slowest stage ({self.slowest}) {bounds['slowest']:.2f}, "
                f"work of all stages on {self.cores} cores {bounds['cores']:.2f}; ratio to the lower {self.ratio:.2f}; "
                f"ratio to the slowest stage {self.together / bounds['slowest']:.2f}; "
                f"peak memory {self.memory:.0f} MiB",
            ]
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the flags."""
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="default: all")
    parser.add_argument("--clip", type=Path, default=SAMPLE / "clip.mp4", help="default: the sample clip, scaled")
    parser.add_argument("--plate", type=Path, default=SAMPLE / "plate.jpg", help="default: its plate, scaled")
    parser.add_argument("--frames", type=int, default=32, metavar="N", help="of the clip; default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--precision", default="auto", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all numbers there")
    parser.add_argument("--plot", type=Path, metavar="OUT", help="draw what a frame costs in each stage")
    parser.add_argument("--table", type=Path, help=f"file in which the tables go between {BEGIN} and {END}")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    keep_memory()
    if args.table is not None:
        put("", args.table.read_text(encoding="utf-8"), BEGIN, END)  # says now that there is no place for it
    reports = []
    for name in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            reports.append(measure(args, SIZES[name], Path(folder)))
        print(reports[-1], flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps([report.to_json() for report in reports], indent=2) + "\n", encoding="utf-8")
    if args.plot is not None:
        plot(reports, args.plot)
    if args.table is not None:
        put_into(args.table, "\n\n".join(map(str, reports)), BEGIN, END)


def measure(args: argparse.Namespace, size: tuple[int, int], folder: Path) -> Report:
    """Measure all of it at one size."""
    clip, plate = enlarged(args.clip, args.plate, size, args.frames, folder)
    config = RunConfig(device=args.device, precision=args.precision)
    matter = Matter.from_config(config)
    stages = stages_alone(clip, plate, matter)
    words = ["--plate", plate, "--device", args.device, "--precision", args.precision]
    together = command.run("convert", clip, *words, "-o", folder / "out.mp4")
    return Report(size, str(matter), stages, together.rate, together.peak / 2**20, len(os.sched_getaffinity(0)))


def enlarged(clip: Path, plate: Path, size: tuple[int, int], count: int, folder: Path) -> tuple[Path, Path]:
    """Make a clip and its plate of another size; a clip of fewer frames begins again."""
    info = VideoInfo(*size)
    target = folder / "clip.mp4"
    with open_sink(target, info, encode=EncodeConfig(crf=18, preset="veryfast")) as sink:
        number = 0
        while number < count:
            with closing(open_source(clip)) as source:
                for frame in source:
                    pixels = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_CUBIC)
                    sink.write(Frame(pixels, number, info.time_base))
                    number += 1
                    if number == count:
                        break
    write_image(folder / "plate.png", cv2.resize(read_image(plate), size, interpolation=cv2.INTER_CUBIC))
    return target, folder / "plate.png"


def stages_alone(clip: Path, plate: Path, matter: Matter) -> dict[str, Cost]:
    """Let each stage work on what the one before it has made of the clip."""
    device = matter.device
    costs: dict[str, Cost] = {}
    with closing(open_source(clip)) as source:
        info, frames = source.info, []
        costs["decode"] = _cost(iter(source), keep=frames)
    clean = load_plate(plate, info.width, info.height)
    aligner = Aligner(clean)
    alignments: list[Any] = []
    costs["align"] = _cost((aligner.align(frame.pixels) for frame in frames), keep=alignments)
    keeper = Keeper(clean.to(device), (info.height, info.width))

    def uploaded() -> Iterator[tuple[torch.Tensor, ...]]:
        for frame in frames:
            src = compose.from_integers(frame.pixels, device=device)[None]
            yield src, matter.upload(src)

    def followed() -> Iterator[torch.Tensor]:
        for alignment in alignments:
            placed, seen = keeper.place(alignment)
            yield matter.upload(placed)
            keeper.learn(src, pha, placed, seen, alignment)

    pairs: list[Any] = []
    with torch.inference_mode():
        costs["upload"] = _cost(uploaded(), device, keep=pairs, most=1)
        src, src_in = pairs[0]
        bgr, _ = keeper.place(alignments[0])
        bgr_in = matter.upload(bgr)
        usual = matter.settings(info.height, info.width)[0]

        def matted() -> Matte:
            return matter.matte(src_in, plate=bgr_in)

        # The refiner cannot work without the base network, but that can without it.
        matter.spend(dataclasses.replace(usual, pixels=0))
        costs["base"] = base = _cost(_again(matted, frames), device)
        matter.spend(usual)
        whole = _cost(_again(matted, frames), device)
        costs["refine"] = Cost(max(0.0, whole.seconds - base.seconds), max(0.0, whole.work - base.work))
        pha, fgr = matted()[:2]
        costs["follow"] = _cost(followed(), device)
        backdrop = open_backdrop("green", width=info.width, height=info.height)

        def composed() -> torch.Tensor:
            clear = compose.despill(fgr, pha, src, bgr)
            return compose.to_uint8(compose.over(clear, pha, backdrop.at(0.0, bgr))[0].permute(1, 2, 0))

        costs["compose"] = _cost(_again(composed, frames), device)
        com = composed()
        costs["download"] = _cost(_again(lambda: com.cpu().numpy(), frames))
    pictures = [com.cpu().numpy()] * len(frames)
    begun, worked = time.perf_counter(), time.process_time()
    with open_sink(clip.with_name("alone.mp4"), info) as sink:
        for picture, frame in zip(pictures, frames, strict=True):
            sink.write(Frame(picture, frame.pts, frame.time_base))
    # Encoders look ahead: much of their work is done when the last frame is in.
    walls, works = time.perf_counter() - begun, time.process_time() - worked
    costs["encode"] = Cost(walls / len(frames), works / len(frames))
    return costs


def _again(work: Callable[[], Any], frames: list[Frame]) -> Iterator[Any]:
    return (work() for _ in frames)


def _cost(
    items: Iterator[Any], device: torch.device | None = None, *, keep: list[Any] | None = None, most: int | None = None
) -> Cost:
    """Iterate what works when it is asked; the first frames are not counted."""
    walls, works = [], []
    while True:
        begun, worked = time.perf_counter(), time.process_time()
        try:
            item = next(items)
        except StopIteration:
            break
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        walls.append(time.perf_counter() - begun)
        works.append(time.process_time() - worked)
        if keep is not None and (most is None or len(keep) < most):
            keep.append(item)
    # Decoders work in bursts, so that a median of single frames would tell nothing of them.
    counted = slice(min(_WARM, len(walls) - 1), None)
    return Cost(fmean(walls[counted]), fmean(works[counted]))


def plot(reports: list[Report], path: Path) -> None:
    """Draw what a frame costs in each stage, alone, and what it costs in all together."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(reports), figsize=(5 * len(reports), 4), squeeze=False)
    for axis, report in zip(axes[0], reports, strict=True):
        axis.barh(list(report.stages), [1000 * cost.seconds for cost in report.stages.values()])
        axis.axvline(1000 / report.together, color="black", label="all together")
        axis.axvline(1000 / report.bounds["cores"], color="grey", linestyle=":", label="work of all on the cores")
        axis.invert_yaxis()
        axis.set_title(f"{report.size[0]}x{report.size[1]}")
        axis.set_xlabel("ms per frame")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
