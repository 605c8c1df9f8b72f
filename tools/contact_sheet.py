"""Lay frames of several clips or pictures side by side: a column for each instant, a row for each file.

python tools/contact_sheet.py sheet.png clip.mp4 plate.png alpha.mp4 out.mp4 --frames 0 40 80
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from bgmv2.video.color import to_bits
from bgmv2.video.images import read_image, write_image
from bgmv2.video.open import open_source
from bgmv2.video.probe import kind_of


def row(path: Path, frames: list[int], width: int) -> np.ndarray:
    """The frames of one file in a row, ``(h, W, 3)`` uint8; a picture is repeated.

    Raises:
        ValueError: the clip is shorter than asked for.
    """
    if kind_of(path) == "picture":
        return np.hstack([_reduced(read_image(path), width)] * len(frames))
    found = {}
    with closing(open_source(path)) as source:
        for index, frame in enumerate(source):
            if index in frames:
                found[index] = _reduced(frame.pixels, width)
            if len(found) == len(set(frames)):
                return np.hstack([found[index] for index in frames])
    raise ValueError(f"{path} has no frame {max(frames)}")


def _reduced(pixels: np.ndarray, width: int) -> np.ndarray:
    height = round(pixels.shape[0] * width / pixels.shape[1])
    return cv2.resize(to_bits(pixels, 8), (width, height), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Read the flags, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("files", type=Path, nargs="+", help="clips and pictures, one row each")
    parser.add_argument("--frames", type=int, nargs="+", default=[0], help="numbers of the frames, from 0 on")
    parser.add_argument("--width", type=int, default=320, help="of each cell in pixels; default: %(default)s")
    args = parser.parse_args()
    write_image(args.output, np.vstack([row(p, args.frames, args.width) for p in args.files]), overwrite=True)


if __name__ == "__main__":
    main()
