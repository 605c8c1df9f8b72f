"""Time and memory of a whole conversion: how well the stages overlap, and whether memory grows with the clip.

    python tools/bench.py                                                    the sample clip, once and three times over
    python tools/bench.py --clip clip.mp4 --plate plate.png --times 1 10

Every run is a process of its own. What it prints are ratios within one run, because machines differ and are shared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import av

SAMPLE = Path(__file__).parent.parent / "tests" / "sample"
RUN = """
import json, resource, sys
import bgmv2
clip, plate, device, folder = sys.argv[1:]
report = bgmv2.convert(
    clip, plate=plate, com=f"{folder}/com.mp4", pha=f"{folder}/pha.mp4", rgba=f"{folder}/rgba.mov",
    backdrop="magenta", run=bgmv2.RunConfig(device=device), encode=bgmv2.EncodeConfig(overwrite=True),
)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(dict(frames=report.frames, seconds=report.seconds, stages=dict(report.stages), peak=peak)))
"""


def repeat(clip: Path, times: int, target: Path) -> None:
    """Write a clip's picture several times in a row, without encoding it again."""
    with av.open(str(target), "w") as output:
        stream = None
        offset = 0
        for _ in range(times):
            with av.open(str(clip)) as source:
                template = source.streams.video[0]
                stream = stream or output.add_stream_from_template(template)
                end = 0
                for packet in source.demux(template):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = stream
                    output.mux(packet)
                offset += end


def main() -> None:
    """Read the flags, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, default=SAMPLE / "clip.mp4", help="default: the sample clip")
    parser.add_argument("--plate", type=Path, default=SAMPLE / "plate.jpg", help="default: its plate")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 3], help="repetitions; default: %(default)s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for times in args.times:
            clip = Path(folder, f"{times}.mp4")
            repeat(args.clip, times, clip)
            words = [sys.executable, "-c", RUN, str(clip), str(args.plate), args.device, folder]
            result = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
            total = sum(result["stages"].values())
            parts = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in result["stages"].items())
            unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
            print(
                f"{times} x: {result['frames']} frames, {result['frames'] / result['seconds']:.2f} a second; "
                f"wall time is {result['seconds'] / total:.2f} of the sum of the stages ({parts}); "
                f"peak memory {result['peak'] * unit / 2**20:.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
