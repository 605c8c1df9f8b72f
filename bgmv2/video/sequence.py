"""Read numbered pictures as a clip: a folder of them, or a pattern such as ``shot.####.png`` or ``shot.%04d.png``."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.types import ColorInfo, Frame, VideoInfo
from bgmv2.video.exr import exr_tags, read_exr
from bgmv2.video.images import list_images, read_image
from bgmv2.video.timing import DEFAULT_RATE, Span

# Pictures are RGB of sRGB: H.273 calls its curve 13, and its primaries, those of BT.709, 1. Matrix and range are for
# results, where everybody expects these.
_SRGB = ColorInfo(matrix=1, primaries=1, transfer=13, full_range=False)

_PLACE = re.compile(r"%(?:0(\d+))?d|#+")
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


class ImageSequence:
    """The frames of numbered pictures, which follow each other at a steady rate; the first is shown at 0 s.

    Args:
        path: a folder that holds one sequence and no other picture, or a pattern with one place for the number.
        read: the rate, and which part is taken; None for all at `DEFAULT_RATE`.

    Raises:
        VideoError: there is no picture, one is missing between others, the folder holds several sequences, or nothing
            lies in the part that was asked for.
    """

    info: VideoInfo

    def __init__(self, path: str | os.PathLike[str], read: ReadConfig | None = None) -> None:
        read = read or ReadConfig()
        if read.raw is not None:
            raise VideoError(f"raw frames come in on standard input: give - as the clip, not {os.fspath(path)}")
        rate = DEFAULT_RATE if read.rate is None else Fraction(read.rate).limit_denominator(1_000_000)
        span = Span.of(read, Fraction(0))
        numbered = _numbered(path)
        files = list(numbered.values())
        self._files = [
            (index, file)
            for index, file in enumerate(files)
            if not span.is_before(index / rate) and not span.is_after(index / rate)
        ][: read.frames]
        if not self._files:
            raise Span.nothing_in(os.fspath(path), read, (len(files) - 1) / rate)
        self._warned = False
        first = self._files[0][1]
        pixels = self._picture(first)
        self._shape, self._dtype = pixels.shape, pixels.dtype
        aspect, primaries = exr_tags(first) if first.suffix.lower() == ".exr" else (Fraction(1), _SRGB.primaries)
        self.info = VideoInfo(
            width=pixels.shape[1],
            height=pixels.shape[0],
            rate=rate,
            time_base=1 / rate,
            aspect=aspect,
            color=replace(_SRGB, primaries=primaries),
            bits=8 * pixels.itemsize,
            start=span.start,
            end=span.end,
            frames=len(self._files),
            number=list(numbered)[self._files[0][0]],
        )

    def __iter__(self) -> Iterator[Frame]:
        for index, file in self._files:
            pixels = self._picture(file)
            if pixels.shape != self._shape or pixels.dtype != self._dtype:
                raise VideoError(
                    f"{file} has {pixels.shape[1]}x{pixels.shape[0]} pixels of {8 * pixels.itemsize} bits, "
                    f"the first picture {self.info.width}x{self.info.height} of {self.info.bits}; make them all alike"
                )
            yield Frame(pixels, index, self.info.time_base)

    def instants(self) -> Iterator[Fraction]:
        """Say when each picture is shown, in seconds, in place of the pictures themselves, which are not read."""
        for index, _ in self._files:
            yield index * self.info.time_base

    def skip(self, count: int) -> None:
        """Pass over the next pictures, which are not read."""
        self._files = self._files[count:]

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _picture(self, file: Path) -> np.ndarray:
        return read_exr(file, self._warn) if file.suffix.lower() == ".exr" else read_image(file)

    def _warn(self, message: str) -> None:
        """Tell of one picture what holds of most."""
        if not self._warned:
            warnings.warn(message, Bgmv2Warning, stacklevel=4)
        self._warned = True


@dataclass(frozen=True)
class Pattern:
    """The names of numbered pictures.

    Args:
        folder: where they lie.
        before: the number.
        digits: of the number at least; zeros make it so long.
        after: the number.
    """

    folder: Path
    before: str
    digits: int
    after: str

    @classmethod
    def of(cls, path: Path) -> Pattern:
        """Read a name such as ``shot.####.png`` or ``shot.%04d.png``; a single ``#`` beside such a place is a letter.

        Raises:
            VideoError: it has not one place for the number.
        """
        places = list(_PLACE.finditer(path.name))
        if len(places) > 1:  # as in take#2.####.png
            places = [place for place in places if place[0] != "#"]
        if len(places) != 1:
            raise VideoError(f"{path} needs one place for the number, such as #### or %04d, and has {len(places)}")
        place = places[0]
        digits = int(place[1] or 1) if place[0].startswith("%") else len(place[0])
        return cls(path.parent, path.name[: place.start()], digits, path.name[place.end() :])

    def name(self, number: int) -> str:
        """Return the name of the picture with a number."""
        return f"{self.before}{number:0{self.digits}d}{self.after}"

    def number(self, name: str) -> int | None:
        """Return the number of a picture by its name; None if the name is none of these."""
        match = re.fullmatch(rf"{re.escape(self.before)}(\d+){re.escape(self.after)}", name)
        return int(match[1]) if match is not None and self.name(int(match[1])) == name else None

    def holds(self, path: Path) -> bool:
        """Tell whether a file is one of these pictures."""
        return self.number(path.name) is not None and path.resolve().parent == self.folder.resolve()

    def found(self) -> dict[int, Path]:
        """Return the pictures that are there, by their number."""
        if not self.folder.is_dir():
            return {}
        numbered = ((self.number(file.name), file) for file in self.folder.iterdir())
        return {number: file for number, file in numbered if number is not None}


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Tell whether a name has a place for a number, ``####`` or ``%04d``."""
    return _PLACE.search(os.path.basename(os.fspath(path))) is not None


def find_sequence(path: str | os.PathLike[str]) -> list[Path]:
    """List numbered pictures in their order.

    Args:
        path: a folder or a pattern. The number's place stands for as many digits as it has ``#``, or as it says between
            ``%0`` and ``d``, and for more where these do not suffice; ``%d`` stands for a number without zeros before
            it. The first number may be any.

    Returns:
        At least one path.

    Raises:
        VideoError: there is no picture, one is missing between others, or the folder holds several sequences.
    """
    return list(_numbered(path).values())


def _numbered(path: str | os.PathLike[str]) -> dict[int, Path]:
    """Find the pictures, in the order of their numbers, and see that none is missing."""
    path = Path(path)
    numbered = _in_folder(path) if path.is_dir() else _by_pattern(path)
    numbers = sorted(numbered)
    for number, following in zip(numbers, numbers[1:], strict=False):
        if following != number + 1:
            before, after = numbered[number], numbered[following]
            raise VideoError(
                f"after {before} number {number + 1} is missing: the next picture is {after.name}; "
                f"render what is missing, or number the pictures anew"
            )
    return {number: numbered[number] for number in numbers}


def _by_pattern(path: Path) -> dict[int, Path]:
    pattern = Pattern.of(path)
    if not path.parent.is_dir():
        raise VideoError(f"there is no folder {path.parent}; check the name")
    numbered = pattern.found()
    if not numbered:
        raise VideoError(f"there is no picture {path}; check the name, and how many digits its numbers have")
    return numbered


def _in_folder(folder: Path) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    kinds: dict[tuple[str, str], Path] = {}
    for file in list_images(folder):
        match = _LAST_NUMBER.fullmatch(file.stem)
        if match is None:
            raise VideoError(
                f"{file} has no number, so its place among the frames is unknown; "
                f"give a pattern such as {folder / 'shot.####.png'}, or put it elsewhere"
            )
        kinds.setdefault((match[1], match[3] + file.suffix.lower()), file)
        if len(kinds) > 1:
            one, other = (found.name for found in kinds.values())
            raise VideoError(
                f"{folder} holds several sequences, such as those of {one} and {other}; "
                f"give one as a pattern such as {folder / 'shot.####.png'}"
            )
        number = int(match[2])
        if number in numbered:
            raise VideoError(f"{numbered[number]} and {file.name} bear the same number; remove one of them")
        numbered[number] = file
    return numbered
