"""Time and memory of a whole conversion: how well the stages overlap, and whether memory grows with the clip.

    python tools/bench.py                                                    the sample clip, once and three times over
    python tools/bench.py --clip clip.mp4 --plate plate.png --times 1 10 100

    python tools/bench.py pipeline                                           each stage alone, and all together

Every run is the command as users start it, in a process of its own: an .mp4 with the clip's sound, ProRes, a folder of
PNG and a report. What it prints are ratios within one run, because machines differ and are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from benching import pipeline

SAMPLE = Path(__file__).parent.parent / "tests" / "sample"
COMMAND = "import sys; from bgmv2.cli import main; sys.exit(main())"


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


def run(clip: Path, plate: Path, device: str, folder: Path) -> tuple[dict, int]:
    """Convert a clip; return what was told at the end, and the peak of memory in bytes."""
    results = ["-o", folder / "com.mp4", "--rgba", folder / "rgba.mov", "--pha", folder / "pha"]
    given = ["--plate", plate, "--backdrop", "magenta", "--device", device, "--overwrite", "--json"]
    words = ["convert", clip, *given, *results, "--report", folder / "report.json"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        told = [json.loads(line) for line in process.stdout]
    # Of this process alone, unlike the resources of all children.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(told[-1]["message"] if told else f"exit code {process.returncode}")
    return told[-1], usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    """Read the flags, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    if sys.argv[1:2] == ["pipeline"]:
        pipeline.add_arguments(parser)
        pipeline.run(parser.parse_args(sys.argv[2:]))
        return
    parser.add_argument("--clip", type=Path, default=SAMPLE / "clip.mp4", help="default: the sample clip")
    parser.add_argument("--plate", type=Path, default=SAMPLE / "plate.jpg", help="default: its plate")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3], help="repetitions; default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for times in args.times:
            clip = folder / f"{times}{args.clip.suffix}"
            repeat(args.clip, times, clip)
            done, peak = run(clip, args.plate, args.device, folder)
            total = sum(done["stages"].values())
            parts = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in done["stages"].items())
            print(
                f"{times} x: {done['frames']} frames, {done['frames'] / done['seconds']:.2f} a second; "
                f"wall time is {done['seconds'] / total:.2f} of the sum of the stages ({parts}); "
                f"peak memory {peak / 2**20:.0f} MiB",
                flush=True,
            )
            clip.unlink()


if __name__ == "__main__":
    main()
