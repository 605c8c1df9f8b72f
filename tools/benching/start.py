"""How long the command takes to begin: to its help, and to the first frame that is done.

Each is a process of its own, from its start on, on the sample clip.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benching import command
from benching.memory import SAMPLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    helped = [to_help() for _ in range(args.rounds)]
    framed = [to_first_frame(args.device) for _ in range(args.rounds)]
    for what, seconds in (("bgmv2 --help", helped), ("the first frame of bgmv2 convert", framed)):
        print(f"{what}: {median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def to_help() -> float:
    """Seconds until `bgmv2 --help` has ended."""
    begun = time.perf_counter()
    subprocess.run([*command.CALL, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def to_first_frame(device: str) -> float:
    """Seconds until `bgmv2 convert` says that a frame is done.

    Raises:
        SystemExit: it said something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = ["--plate", SAMPLE / "plate.jpg", "--device", device, "-o", Path(folder) / "out.mp4", "--json"]
        begun = time.perf_counter()
        call = [*command.CALL, "convert", SAMPLE / "clip.mp4", *words]
        with subprocess.Popen(list(map(str, call)), stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            seconds = time.perf_counter() - begun
            process.kill()
    if '"frames": 1' not in line:
        raise SystemExit(f"the first that it said was {line!r}")
    return seconds
