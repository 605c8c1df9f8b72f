"""Does a result still fit its clip? Compares instants, sound, size and colour tags, but never the pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from bgmv2.config import ReadConfig
from bgmv2.errors import VideoError
from bgmv2.progress import counted
from bgmv2.types import ColorInfo, VideoInfo
from bgmv2.video.carry import packets_of
from bgmv2.video.color import is_rgb
from bgmv2.video.open import is_sequence
from bgmv2.video.probe import film_of, is_file, open_input
from bgmv2.video.reader import VideoReader
from bgmv2.video.sequence import ImageSequence

# What people call some numbers of ITU-T H.273.
_MATRICES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}
_PRIMARIES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 9: "BT.2020", 12: "Display P3"}
_TRANSFERS = {1: "BT.709", 6: "BT.601", 13: "sRGB", 14: "BT.2020", 16: "PQ", 18: "HLG"}


@dataclass(frozen=True)
class Difference:
    """One way in which a result does not fit its clip.

    Args:
        what: `frames`, `instants`, `sound`, `duration`, `size`, `aspect`, `matrix`, `primaries`, `transfer`, `range` or
            `light`.
        said: the difference, in a line for people.
    """

    what: str
    said: str

    def __str__(self) -> str:
        return f"{self.what}: {self.said}"


@dataclass(frozen=True)
class Verification:
    """How a result compares with its clip.

    Args:
        frames: of the result.
        sounds: tracks of sound that were compared.
        differences: none if it fits.
    """

    frames: int
    sounds: int
    differences: tuple[Difference, ...]


def verify(
    clip: str | os.PathLike[str],
    result: str | os.PathLike[str],
    *,
    read: ReadConfig = ReadConfig(),
    sound: bool = True,
    progress: bool = False,
) -> Verification:
    """Compare a result with the clip it was made of.

    Both are decoded once, side by side, and the sound is compared packet by packet; memory is that of a few frames.

    Args:
        clip: a file, or numbered pictures.
        result: a video, or numbered pictures, of which only number and size are compared.
        read: the part of the clip that the result holds, as it was asked for.
        sound: the result should hold the clip's sound; alpha and other data do not.
        progress: show a progress bar on stderr, if that is a terminal.

    Returns:
        What differs.

    Raises:
        VideoError: one of them cannot be read.
    """
    for path in (clip, result):
        if os.path.exists(path) and not is_sequence(path) and not is_file(path):
            raise VideoError(f"{os.fspath(path)} can be read only once, but verifying takes two looks; give a file")
    with closing(_open(clip, read)) as before, closing(_open(result, ReadConfig())) as after:
        old, new = before.info, after.info
        is_video = isinstance(after, VideoReader)
        instants = counted(before.instants(), shown=progress, unit="frame", total=old.frames)
        pace = _Pace(instants, after.instants(), old, new, timed=is_video)
        differences = [*pace.compare(), *_shape(old, new)]
    sounds, end = 0, pace.end
    if is_video:
        differences += _colors(old.color, new.color, Path(result))
        if is_file(clip) and sound:
            limit = pace.end if read.frames is not None else None
            sounds, found, end = _sounds(Path(clip), Path(result), old, zero=pace.zero, film_end=pace.end, limit=limit)
            differences += found
        differences += _duration(Path(result), end, tolerance=max(1 / old.rate, Fraction(1, 10)))
    return Verification(pace.count, sounds, tuple(differences))


def _open(path: str | os.PathLike[str], read: ReadConfig) -> VideoReader | ImageSequence:
    return ImageSequence(path, read) if is_sequence(path) else VideoReader(path, read)


class _Pace:
    """Walks along the instants of clip and result together, so that one missing frame is told as one.

    Args:
        before: instants of the clip's frames, in its own seconds.
        after: those of the result's.
        old: of the clip.
        new: of the result.
        timed: the result has instants; otherwise its frames are only counted.
    """

    def __init__(
        self, before: Iterator[Fraction], after: Iterator[Fraction], old: VideoInfo, new: VideoInfo, *, timed: bool
    ) -> None:
        self._before, self._after, self._timed = before, after, timed
        self._start, self._rhythm = old.start, 1 / old.rate
        # Half a tick of whoever counts more coarsely.
        self._tolerance = max(old.time_base, new.time_base) / 2
        self._missing = self._surplus = self._moved = 0
        self._first: dict[str, tuple[Fraction, Fraction]] = {}
        # Instant of the clip that is 0 in the result; frames of the result; when the clip's last frame ends there.
        self.zero, self.count, self.end = Fraction(0), 0, Fraction(0)

    def compare(self) -> list[Difference]:
        """Walk to the end of both."""
        olds, news = [self._next_old(), self._next_old()], [self._next_new(), self._next_new()]
        while olds[0] is not None or news[0] is not None:
            step = self._step(olds[0], news[0], olds[1], news[1])
            if step != "surplus":
                olds = [olds[1], self._next_old()]
            if step != "missing":
                news = [news[1], self._next_new()]
        return self._differences()

    def _step(
        self, old: Fraction | None, new: Fraction | None, next_old: Fraction | None, next_new: Fraction | None
    ) -> str:
        """Tell how the next two frames stand to each other, and make a note of it."""
        if old is None or new is None:
            what = "surplus" if old is None else "missing"
        elif not self._timed or self._is_same(old, new):
            return "same"
        elif self._is_same(next_old, new):
            what = "missing"
        elif self._is_same(old, next_new):
            what = "surplus"
        elif abs(old - new) <= self._rhythm / 2:
            what = "moved"
        else:
            what = "missing" if old < new else "surplus"
        instant = new if old is None else old
        assert instant is not None
        self._first.setdefault(what, (instant, instant if new is None else new))
        self._missing += what == "missing"
        self._surplus += what == "surplus"
        self._moved += what == "moved"
        return what

    def _is_same(self, one: Fraction | None, other: Fraction | None) -> bool:
        return one is not None and other is not None and abs(one - other) <= self._tolerance

    def _next_old(self) -> Fraction | None:
        instant = next(self._before, None)
        if instant is None:
            return None
        if self._start is not None and not self.end:
            # A part that does not begin with the clip begins at zero.
            self.zero = instant
        self.end = instant - self.zero + self._rhythm
        return instant - self.zero

    def _next_new(self) -> Fraction | None:
        instant = next(self._after, None)
        self.count += instant is not None
        return instant

    def _differences(self) -> list[Difference]:
        found = []
        if self._missing:
            where = f", the first at {_at(self._first['missing'][0])}" if self._timed else ""
            found.append(Difference("frames", f"{_number(self._missing, 'is', 'are')} missing{where}"))
        if self._surplus:
            where = f", the first at {_at(self._first['surplus'][1])}" if self._timed else ""
            found.append(Difference("frames", f"{_number(self._surplus, 'is', 'are')} too many{where}"))
        if self._moved:
            old, new = self._first["moved"]
            said = f"{_number(self._moved, 'is', 'are')} shown at another time, the first at {_at(new)}, not {_at(old)}"
            found.append(Difference("instants", said))
        return found


def _shape(old: VideoInfo, new: VideoInfo) -> list[Difference]:
    found = []
    if (old.width, old.height) != (new.width, new.height):
        found.append(Difference("size", f"{new.width}x{new.height} pixels, not {old.width}x{old.height}"))
    # Matroska stores the width at which a picture is shown in whole pixels.
    if abs(old.aspect - new.aspect) > Fraction(1, new.width) + Fraction(1, 1000):
        found.append(Difference("aspect", f"pixels are {new.aspect} times as wide as high, not {old.aspect}"))
    return found


def _colors(old: ColorInfo, new: ColorInfo, result: Path) -> list[Difference]:
    with open_input(result) as container:
        film = film_of(container)
        assert film is not None and film.codec_context.pix_fmt is not None
        codec, rgb = film.codec_context.name, is_rgb(film.codec_context.pix_fmt)
    found = []
    # RGB has neither matrix nor range, and ProRes knows only one range.
    if not rgb and {old.matrix, new.matrix} != {5, 6} and old.matrix != new.matrix:
        found.append(Difference("matrix", _instead(_MATRICES, old.matrix, new.matrix)))
    if not rgb and codec != "prores" and old.full_range != new.full_range:
        ranges = ("limited, 16 to 235", "full, 0 to 255")
        found.append(Difference("range", f"{ranges[new.full_range]}, not {ranges[old.full_range]}"))
    if old.primaries != new.primaries:
        found.append(Difference("primaries", _instead(_PRIMARIES, old.primaries, new.primaries)))
    if old.transfer != new.transfer:
        found.append(Difference("transfer", _instead(_TRANSFERS, old.transfer, new.transfer)))
    levels = [None if color.light is None else color.light.content for color in (old, new)]
    if codec in ("hevc", "av1", "libdav1d") and levels[0] != levels[1]:
        found.append(Difference("light", f"brightest pixel and frame are {levels[1]}, not {levels[0]}"))
    return found


def _sounds(
    clip: Path, result: Path, info: VideoInfo, *, zero: Fraction, film_end: Fraction, limit: Fraction | None
) -> tuple[int, list[Difference], Fraction]:
    """Compare all tracks of sound.

    Args:
        clip: the clip.
        result: what was made of it.
        info: of the clip, with the part that was taken.
        zero: instant of the clip that is 0 in the result.
        film_end: when the last frame ends, in seconds of the result.
        limit: where the sound should end; None where the clip's ends.

    Returns:
        How many there are, what differs, and when the last of film and sound ends.
    """
    with open_input(clip) as before, open_input(result) as after:
        tracks = list(zip_longest(before.streams.audio, after.streams.audio))
    found, end = [], film_end
    for index, (old, new) in enumerate(tracks):
        name = f"track {index + 1}"
        if old is None or new is None:
            found.append(Difference("sound", f"{name} is {'missing' if new is None else 'not of the clip'}"))
            continue
        with open_input(clip) as before, open_input(result) as after:
            one = _Sound(before, before.streams.audio[index], info, zero, limit)
            other = _Sound(after, after.streams.audio[index], VideoInfo(1, 1), Fraction(0), None)
            said = _compare_sound(one, other)
            end = max(end, one.end)
        if said is not None:
            found.append(Difference("sound", f"{name} {said}"))
    return len(tracks), found, end


class _Sound:
    """The bytes of a track of sound, and when they sound; containers may cut them into packets as they like."""

    def __init__(
        self, container: InputContainer, stream: Stream, info: VideoInfo, zero: Fraction, limit: Fraction | None
    ) -> None:
        self._packets = packets_of(container, [stream], info, zero=zero)
        self._limit = limit
        self.tick = stream.time_base or Fraction(1, 1000)
        self.rest = b""
        self.begin: Fraction | None = None  # of the packet whose first bytes are the first of the rest
        self.end = Fraction(0)

    def fill(self) -> bool:
        """Take the next packet if all bytes are used up; tell whether there are bytes."""
        self.begin = None if self.rest else self.begin
        while not self.rest:
            packet = next(self._packets, None)
            if packet is None or packet.pts is None:
                return False
            begin = packet.pts * self.tick
            if self._limit is not None and begin >= self._limit:
                return False
            self.rest, self.begin = _bare(bytes(packet)), begin
            self.end = begin + (packet.duration or 0) * self.tick
        return True


def _compare_sound(old: _Sound, new: _Sound) -> str | None:
    """Compare two tracks to their end; return the first difference, as the end of a sentence."""
    tolerance = max(old.tick, new.tick)
    while True:
        more_old, more_new = old.fill(), new.fill()
        if not more_old and not more_new:
            return None
        if not more_new:
            return f"ends after {_at(new.end)}, the clip's goes on"
        if not more_old:
            return f"goes on after {_at(old.end)}, where the clip's ends"
        length = min(len(old.rest), len(new.rest))
        if old.rest[:length] != new.rest[:length]:
            return f"is not the clip's from {_at(new.end if new.begin is None else new.begin)} on"
        if old.begin is not None and new.begin is not None and abs(old.begin - new.begin) > tolerance:
            return f"sounds at {_at(new.begin)}, not at {_at(old.begin)}"
        old.rest, new.rest = old.rest[length:], new.rest[length:]


def _bare(data: bytes) -> bytes:
    """Take off the header that AAC has in transport streams only.

    Source: ISO/IEC 13818-7, ADTS: twelve ones begin it, and it is longer by a checksum unless a bit says no.
    """
    if len(data) > 9 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]
    return data


def _duration(result: Path, end: Fraction, *, tolerance: Fraction) -> list[Difference]:
    """Compare what the result announces with where film and sound should end; players stop where it says."""
    with open_input(result) as container:
        if container.duration is None:
            return []
        announced = Fraction(container.duration, av.time_base)
        begin = Fraction(container.start_time or 0, av.time_base)
    # Some containers count from zero, some from the first frame.
    if min(abs(announced - end), abs(announced + begin - end)) <= tolerance:
        return []
    return [Difference("duration", f"{_at(announced)} are announced, not {_at(end)}")]


def _instead(names: dict[int, str], old: int, new: int) -> str:
    was, now = (f"{names[number]} ({number})" if number in names else f"number {number}" for number in (old, new))
    return f"{now}, not {was}"


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {many}"


def _at(seconds: Fraction) -> str:
    return f"{float(seconds):.3f} s"
