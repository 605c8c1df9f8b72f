"""Matte the sample clip, say where the result lies, and how far its alpha is from the truth.

python tools/demo.py tests/sample demo
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

import bgmv2
from bgmv2.metrics import mad
from bgmv2.progress import Bar
from bgmv2.video.open import open_source


def error_of(pred: Path, true: Path) -> float:
    """Mean absolute error of alpha over all frames, 0..1.

    Raises:
        ValueError: the clips differ in length.
    """
    with closing(open_source(pred)) as ours, closing(open_source(true)) as theirs:
        frames = zip(ours, theirs, strict=True)
        return float(np.mean([mad(a.pixels[..., 0] / 255, b.pixels[..., 0] / 255) for a, b in frames]))


def main() -> None:
    """Read the flags, matte, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sample", type=Path, help="folder with clip.mp4, plate.jpg and alpha.mp4")
    parser.add_argument("output", type=Path, help="folder for the results")
    args = parser.parse_args()
    args.output.mkdir(exist_ok=True)
    com, pha = args.output / "over_green.mp4", args.output / "alpha.mp4"
    matter = bgmv2.Matter()
    print(f"matting {args.sample / 'clip.mp4'}: {matter}", file=sys.stderr)
    with Bar() as watcher:
        report = bgmv2.convert(
            args.sample / "clip.mp4",
            plate=args.sample / "plate.jpg",
            com=com,
            pha=pha,
            encode=bgmv2.EncodeConfig(overwrite=True),
            matter=matter,
            watch=watcher,
        )
    print(report)
    error = error_of(pha, args.sample / "alpha.mp4")
    print(f"alpha is {error:.4f} away from the truth on average (0 is perfect, 1 worst)")
    print(f"look at {com} and {pha}")


if __name__ == "__main__":
    main()
