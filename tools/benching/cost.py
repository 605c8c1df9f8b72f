"""What a frame costs by its size, by how much of it the subject fills, and by the length of the clip.

    python tools/bench.py cost --plot cost.png
    python tools/bench.py cost --times 1 10 --json cost.json

Sizes and subjects are of the network alone, with the settings that `bgmv2` chooses for a size; the last is the command
on the sample clip, again and again. Needs `pip install .[bench]` for the plot.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benching import memory
from benching.network import SAMPLE, Setting, dtypes, in_turns, network, pictures
from bgmv2.budget import pixels_for, scale_for
from bgmv2.device import choose_device
from bgmv2.nn.fast import FastMatting

SIZES = {"360p": (360, 640), "720p": (720, 1280), "1080p": (1080, 1920), "1440p": (1440, 2560), "4K": (2160, 3840)}
# Of the sample clip's, which fills half of the height.
SUBJECTS = (0.2, 0.35, 0.5, 0.7, 0.85)
HD = SIZES["1080p"]


@dataclass(frozen=True)
class Costs:
    """Milliseconds of a frame unless said.

    Args:
        by_size: of each precision, at each of `SIZES`.
        by_subject: of each way to look, for each of `SUBJECTS`, at HD in float32.
        by_length: frames of the clip, milliseconds of a frame, and MiB at the peak.
    """

    by_size: dict[str, list[float]]
    by_subject: dict[str, list[float]]
    by_length: list[tuple[int, float, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="default: all")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--times", type=int, nargs="*", default=[1, 2, 4], help="repetitions of the clip; default: %(default)s"
    )
    parser.add_argument("--json", type=Path, help="write all that was measured")
    parser.add_argument("--plot", type=Path, help="draw it")


def run(args: argparse.Namespace) -> None:
    """Measure, print, write."""
    device = choose_device(args.device)
    costs = Costs(
        by_size(args.sizes, device, args.rounds), by_subject(device, args.rounds), by_length(args.times, args.device)
    )
    print(told(costs, args.sizes))
    if args.json is not None:
        args.json.write_text(json.dumps(asdict(costs), indent=1) + "\n", encoding="utf-8")
    if args.plot is not None:
        plot(costs, args.sizes, args.plot)


def usual(size: tuple[int, int], subject: float = 1.0) -> Setting:
    """What `bgmv2` chooses for a size ``(H, W)``."""
    return Setting(f"{size[1]}x{size[0]}", size, scale_for(*size), pixels_for(*size), subject=subject)


def by_size(names: list[str], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Measure the network at some of `SIZES`, in each precision."""
    costs: dict[str, list[float]] = {}
    for name in names:
        ways = {str(dtype).removeprefix("torch."): {"dtype": dtype} for dtype in dtypes(device)}
        for way, ms in _ways(usual(SIZES[name]), device, rounds, ways).items():
            costs.setdefault(way, []).append(ms)
    return costs


def by_subject(device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Measure the network at HD with smaller and larger subjects, as it looks everywhere and where they are."""
    costs: dict[str, list[float]] = {}
    for subject in SUBJECTS:
        ways = {f"--region {word}": {"follow": word == "auto"} for word in ("off", "auto")}
        for way, ms in _ways(usual(HD, subject), device, rounds, ways).items():
            costs.setdefault(way, []).append(ms)
    return costs


def _ways(setting: Setting, device: torch.device, rounds: int, ways: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Median milliseconds of a frame in each of several ways, in turns."""
    model = network(setting, "mobilenetv2").to(device)
    packed = [x.contiguous(memory_format=torch.channels_last) for x in pictures(setting, device)]
    rivals = {}
    for name, how in ways.items():
        answer = FastMatting(model, **how)
        answer(*packed)
        rivals[name] = lambda answer=answer: answer(*packed)
    return {name: median(ms) for name, ms in in_turns(rivals, rounds, device).items()}


def by_length(times: list[int], device: str) -> list[tuple[int, float, float]]:
    """Measure the command on the sample clip, repeated."""
    costs = []
    for count in times:
        with tempfile.TemporaryDirectory() as name:
            clip = Path(name) / "clip.mp4"
            memory.repeat(SAMPLE / "clip.mp4", count, clip)
            done = memory.convert(clip, SAMPLE / "plate.jpg", device, Path(name))
        costs.append((done.told[-1]["frames"], 1000 / done.rate, done.peak / 2**20))
    return costs


def told(costs: Costs, sizes: list[str]) -> str:
    """Lay it out for people."""
    lines = [f"{'ms a frame':16}" + "".join(f"{name:>9}" for name in sizes)]
    lines += [f"{way:16}" + "".join(f"{ms:9.0f}" for ms in each) for way, each in costs.by_size.items()]
    lines += ["", f"{'subject, HD':16}" + "".join(f"{share:9.2f}" for share in SUBJECTS)]
    lines += [f"{way:16}" + "".join(f"{ms:9.0f}" for ms in each) for way, each in costs.by_subject.items()]
    lines += ["", *(f"{frames} frames: {ms:.0f} ms a frame, {mib:.0f} MiB" for frames, ms, mib in costs.by_length)]
    return "\n".join(lines)


def plot(costs: Costs, sizes: list[str], path: Path) -> None:
    """Draw the three."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    by_size, by_subject, by_length = figure.subplots(1, 3)
    megapixels = [SIZES[name][0] * SIZES[name][1] / 1e6 for name in sizes]
    for way, each in costs.by_size.items():
        by_size.plot(megapixels, each, marker="o", label=way)
    for x, name in zip(megapixels, sizes, strict=True):
        by_size.annotate(name, (x, 0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points")
    by_size.set(xlabel="megapixels", ylabel="ms a frame", ylim=(0, None), title="by size: the network")
    for way, each in costs.by_subject.items():
        by_subject.plot([share**2 for share in SUBJECTS], each, marker="o", label=way)
    by_subject.set(xlabel="subject's area, sample clip's = 1", ylim=(0, None), title="by subject: the network, HD")
    if costs.by_length:
        frames, ms, mib = zip(*costs.by_length, strict=True)
        by_length.plot(frames, ms, marker="o", label="ms a frame")
        by_length.plot(frames, mib, marker="s", label="MiB at the peak")
    by_length.set(xlabel="frames", ylim=(0, None), title="by length: the command, 1280x720")
    for axes in (by_size, by_subject, by_length):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, dpi=80)
