"""Time and memory of a whole conversion: how well the stages overlap, and whether memory grows with the clip.

    python tools/bench.py memory                                the sample clip, once and three times over
    python tools/bench.py memory --clip clip.mp4 --plate plate.png --times 1 10 100

Every run is the command as users start it, in a process of its own: an .mp4 with the clip's sound, ProRes, a folder of
PNG and a report. What it prints are ratios within one run, because machines differ and are shared.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av

from benching import command

SAMPLE = Path(__file__).parents[2] / "tests" / "sample"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--clip", type=Path, default=SAMPLE / "clip.mp4", help="default: the sample clip")
    parser.add_argument("--plate", type=Path, default=SAMPLE / "plate.jpg", help="default: its plate")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3], help="repetitions; default: %(default)s")


def run(args: argparse.Namespace) -> None:
    """Convert, print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for times in args.times:
            clip = folder / f"{times}{args.clip.suffix}"
            repeat(args.clip, times, clip)
            done = convert(clip, args.plate, args.device, folder)
            last, peak = done.told[-1], done.peak
            total = sum(last["stages"].values())
            parts = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in last["stages"].items())
            print(
                f"{times} x: {last['frames']} frames, {last['frames'] / last['seconds']:.2f} a second; "
                f"wall time is {last['seconds'] / total:.2f} of the sum of the stages ({parts}); "
                f"peak memory {peak / 2**20:.0f} MiB",
                flush=True,
            )
            clip.unlink()


def repeat(clip: Path, times: int, target: Path) -> None:
    """Write a clip several times in a row, with its sound, without encoding it again."""
    with av.open(str(target), "w") as output:
        copies = {}
        offset = 0.0  # in seconds
        for _ in range(times):
            with av.open(str(clip)) as source:
                wanted = [stream for stream in source.streams if stream.type in ("video", "audio")]
                for stream in wanted:
                    if stream.index not in copies:
                        copies[stream.index] = output.add_stream_from_template(stream)
                begin = end = 0.0
                for packet in source.demux(wanted):
                    if packet.dts is None or packet.pts is None:
                        continue
                    begin = min(begin, packet.dts * packet.time_base)
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                    ticks = round(offset / packet.time_base)
                    packet.pts += ticks
                    packet.dts += ticks
                    packet.stream = copies[packet.stream.index]
                    output.mux(packet)
                offset += float(end - begin)


def convert(clip: Path, plate: Path, device: str, folder: Path) -> command.Run:
    """Convert a clip to what takes the most memory."""
    results = ["-o", folder / "com.mp4", "--rgba", folder / "rgba.mov", "--pha", folder / "pha"]
    given = ["--plate", plate, "--backdrop", "magenta", "--device", device, "--overwrite"]
    return command.run("convert", clip, *given, *results, "--report", folder / "report.json")
