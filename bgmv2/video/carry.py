"""Carry over from a clip to its result what is no picture: sound, subtitles, data, attachments, chapters, metadata."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.types import VideoInfo
from bgmv2.video.probe import film_of, open_input

if TYPE_CHECKING:
    from av.container.core import Chapter

_KINDS = {
    "audio": "the sound",
    "subtitle": "the subtitles",
    "data": "the data",
    "attachment": "the attachment",
    "video": "the cover",
}

# What tells of the file that was read, not of its content, or is wrong once the film is encoded anew.
_OF_THE_FILE = re.compile(
    r"major_brand|minor_version|compatible_brands|encoder|software|vendor_id|rotate|duration(-\w+)?|timecode"
    r"|(bps|number_of_|_statistics_)\w*(-\w+)?",
    re.IGNORECASE,
)
# Some languages have two codes in ISO 639-2; FFmpeg writes only one of them into QuickTime's files.
_QUICKTIME_LANGUAGES = {
    "cym": "wel",
    "cze": "ces",
    "deu": "ger",
    "ell": "gre",
    "eus": "baq",
    "fas": "per",
    "fre": "fra",
    "hye": "arm",
    "isl": "ice",
    "kat": "geo",
    "mkd": "mac",
    "msa": "may",
    "nld": "dut",
    "rum": "ron",
    "slo": "slk",
    "sqi": "alb",
    "swe": "sve",
    "zho": "chi",
}
# mp4 and mov know few names of metadata, unless told to store any.
_ANY_NAME = "+use_metadata_tags"
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.])(\d\d+)")


@dataclass(frozen=True)
class Origin:
    """The clip that a result comes from, and what of it is carried over.

    Args:
        clip: its path.
        tracks: sound, subtitles, data and attachments, too; otherwise only chapters, timecode and metadata.
        ends_with_film: nothing of them beyond the last frame.
    """

    clip: Path
    tracks: bool = True
    ends_with_film: bool = False


class Carrier:
    """Copies what is no picture from a clip into a container: packets as they are, a little at a time.

    All streams keep their distance in time to each other. What the container cannot hold is left out with one warning.

    Args:
        origin: where it comes from.
        output: the container; it has not begun to write yet, and holds the film and nothing else.
        film: the stream of the encoded picture; it gets the metadata of the clip's.
        info: of the clip, with the part of it that was asked for.
        name: of the result, for the warning.

    Raises:
        VideoError: the clip cannot be read.
    """

    def __init__(
        self, origin: Origin, output: OutputContainer, film: VideoStream, *, info: VideoInfo, name: Path
    ) -> None:
        self._origin = origin
        self._output = output
        self._info = info
        # Source stream index -> stream of the result.
        self._copies: dict[int, Stream] = {}
        self._packets: Generator[Packet, None, None] | None = None
        self._next: Packet | None = None
        self._input = open_input(origin.clip)
        try:
            left_out = self._label(film) + (self._add_tracks() if origin.tracks else [])
        except BaseException:
            self._input.close()
            raise
        if left_out:
            warnings.warn(
                f"{name.name} goes without {_listed(left_out)} of {origin.clip.name}: {name.suffix} cannot hold that; "
                f"{'keep the clip for it' if name.suffix.lower() == '.mkv' else '.mkv holds nearly everything'}",
                Bgmv2Warning,
                stacklevel=4,
            )

    def begin(self, zero: Fraction) -> None:
        """Begin to copy, once the first frame is known.

        Args:
            zero: instant of the clip, in seconds, that is 0 in the result. What ends before it is left out if the
                clip's beginning was not asked for.
        """
        wanted = [stream for stream in self._input.streams if stream.index in self._copies]
        self._packets = packets_of(self._input, wanted, self._info, zero=zero)
        self._next = self._advance()

    def copy(self, until: Fraction | None) -> None:
        """Copy on.

        Args:
            until: what is decoded before this, in seconds of the result; None copies all that is left.

        Raises:
            VideoError: the clip is damaged.
            FFmpegError: the container cannot be written to.
        """
        while self._next is not None:
            packet = self._next
            assert packet.dts is not None
            if until is not None and packet.dts * packet.time_base >= until:
                return
            self._next = self._advance()
            packet.stream = self._copies[packet.stream.index]
            try:
                self._output.mux(packet)
            except (av.error.ArgumentError, av.error.InvalidDataError) as error:  # no disk says so
                raise self._damaged(error) from error

    def finish(self, film_end: Fraction) -> None:
        """Copy what is left, and release the source.

        Args:
            film_end: when the last frame ends, in seconds of the result.

        Raises:
            VideoError: the clip is damaged.
            FFmpegError: the container cannot be written to.
        """
        self.copy(until=film_end if self._origin.ends_with_film else None)
        self.close()

    def close(self) -> None:
        """Release the source; may be called twice."""
        if self._packets is not None:
            self._packets.close()
        self._input.close()

    def _advance(self) -> Packet | None:
        assert self._packets is not None
        try:
            return next(self._packets, None)
        except av.error.FFmpegError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: av.error.FFmpegError) -> VideoError:
        return VideoError(
            f"the sound of {self._origin.clip} is damaged ({error.strerror}); export it again, or go without its sound"
        )

    def _label(self, film: VideoStream) -> list[str]:
        """Bring over metadata, timecode and chapters; return what of it is lost."""
        tags = _kept(self._input.metadata)
        if tags.get("location-eng") == tags.get("location"):
            tags.pop("location-eng", None)
        if self._is_boxed and any(key.startswith("com.") for key in tags):
            # As QuickTime itself stores such names.
            self._output.container_options["movflags"] += _ANY_NAME
        self._output.metadata.update(tags)
        source = film_of(self._input)
        if source is not None:
            self._name(source, film)
        timecode = _timecode_of(self._input.metadata, *(stream.metadata for stream in self._input.streams))
        if timecode is not None:
            film.metadata["timecode"] = later(timecode, self._skipped, self._info.rate)
        self._output.set_chapters(list(self._chapters()))
        return self._lost_labels(film) if self._is_boxed else []

    @property
    def _is_boxed(self) -> bool:
        return self._output.format.name in ("mp4", "mov")

    @property
    def _skipped(self) -> Fraction:
        """How much of the clip's beginning was not asked for, in seconds."""
        if self._info.start is None:
            return Fraction(0)
        source = film_of(self._input)
        if source is None or source.start_time is None or source.time_base is None:
            return self._info.start
        return max(Fraction(0), self._info.start - source.start_time * source.time_base)

    def _name(self, source: Stream, copy: Stream) -> None:
        """Bring over what is said of a stream."""
        tags = _kept(source.metadata)
        if "name" in tags:
            tags["title"] = tags.pop("name")  # as QuickTime calls it
        if self._output.format.name == "mov" and "language" in tags:
            tags["language"] = _QUICKTIME_LANGUAGES.get(tags["language"], tags["language"])
        copy.metadata.clear()
        copy.metadata.update(tags)
        copy.disposition = source.disposition

    def _chapters(self) -> Iterator[Chapter]:
        start, end = self._info.start or Fraction(0), self._info.end
        if end is None and self._origin.ends_with_film and self._info.frames is not None:
            end = start + self._info.frames / self._info.rate
        for chapter in self._input.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            first, last = chapter["start"] * base, chapter["end"] * base
            first, last = max(first, start), last if end is None else min(last, end)
            if first < last:
                yield {
                    **chapter,
                    "time_base": base,
                    "start": round((first - start) / base),
                    "end": round((last - start) / base),
                }

    def _lost_labels(self, film: VideoStream) -> list[str]:
        """Find out by trial, in memory, which metadata mp4 and mov drop; other containers hold any."""
        memory = io.BytesIO()
        # Without +faststart, for which FFmpeg would open the file again by its name.
        options = {"movflags": _ANY_NAME} if _ANY_NAME in self._output.container_options["movflags"] else {}
        with av.open(memory, "w", format=self._output.format.name, container_options=options) as trial:
            blank = trial.add_mux_stream("mpeg4", self._info.rate, width=16, height=16, time_base=self._info.time_base)
            blank.metadata.update(film.metadata)
            trial.metadata.update(self._output.metadata)
            trial.start_encoding()
        memory.seek(0)
        with av.open(memory, metadata_errors="replace") as written:
            held = {key.lower() for key in written.metadata}
        lost = [key for key in self._output.metadata if key.lower() not in held]
        if "timecode" in film.metadata and "timecode" not in held:
            lost.append("timecode")
        return [f"the metadata {', '.join(lost)}"] if lost else []

    def _add_tracks(self) -> list[str]:
        """Add a stream for each of the clip's that the container can hold; return the others."""
        left_out = []
        for stream in self._input.streams:
            is_film = stream.type == "video" and not stream.disposition & Disposition.attached_pic
            is_chapters = stream.discard == Discard.all
            is_timecode = stream.type == "data" and "timecode" in stream.metadata
            if is_film or is_chapters or is_timecode:
                continue
            if _can_hold(self._output.format.name, stream):
                copy = self._output.add_stream_from_template(stream, opaque=True)
                self._name(stream, copy)
                self._copies[stream.index] = copy
            else:
                left_out.append(f"{_KINDS.get(stream.type, 'a track')} ({_codec_of(stream)})")
        return left_out


def packets_of(
    container: InputContainer, wanted: Sequence[Stream], info: VideoInfo, *, zero: Fraction
) -> Generator[Packet, None, None]:
    """Read packets of the part of a clip that was asked for, at the times they have in a result.

    Args:
        container: the clip; it is read once.
        wanted: streams of it; all others are passed over.
        info: of the clip, with the part.
        zero: instant of the clip, in seconds, that is 0 in the result.

    Yields:
        Packets whose decoding times increase in each stream, from the first that is not over at 0 to the last that
        begins before the end.

    Raises:
        FFmpegError: the clip is damaged.
    """
    for stream in container.streams:
        if stream not in wanted:
            stream.discard = Discard.all
    last: dict[int, int] = {}
    over: set[int] = set()
    for packet in container.demux(wanted) if wanted else ():
        index, base = packet.stream.index, packet.time_base
        if packet.size and packet.stream.disposition & Disposition.attached_pic and base is not None:
            # A cover has no time; it belongs to the beginning.
            packet.pts = packet.dts = round(zero / base)
        # A time that does not advance belongs to a damaged packet; no container takes it.
        if packet.dts is None or base is None or packet.dts <= last.get(index, packet.dts - 1):
            continue
        last[index] = packet.dts
        if info.end is not None and packet.dts * base >= info.end:
            over.add(index)
            if len(over) == len(wanted):
                return
        elif _move(packet, round(zero / base)) or info.start is None:
            yield packet


def _move(packet: Packet, ticks: int) -> bool:
    """Bring a packet to a time `ticks` earlier; tell whether any of it is left."""
    assert packet.dts is not None
    pts = packet.dts if packet.pts is None else packet.pts
    packet.pts, packet.dts = pts - ticks, packet.dts - ticks
    remaining = packet.pts + (packet.duration or 0)
    if packet.pts < 0 < remaining and packet.stream.type == "subtitle":
        # Sound that begins early is cut by an edit list; no player does so with text.
        packet.pts = packet.dts = 0
        packet.duration = remaining
    return packet.pts >= 0 or remaining > 0


def later(timecode: str, seconds: Fraction, rate: Fraction) -> str:
    """Move a timecode on.

    Args:
        timecode: ``01:00:00:00``, or ``01:00:00;00`` if it drops frame numbers.
        seconds: by how much, 0 or more.
        rate: frames per second of the film.

    Returns:
        The timecode of the frame that is shown then; what is no timecode, as it is.

    Source: SMPTE ST 12-1; of each minute but every tenth the first numbers are dropped, 2 of 30 or 4 of 60.
    """
    match = _TIMECODE.fullmatch(timecode)
    if match is None:
        return timecode
    mark = match[4]
    hours, minutes, whole, frames = (int(match[group]) for group in (1, 2, 3, 5))
    per_second = max(1, round(rate))
    dropped = 0 if mark == ":" else round(per_second / 15)
    minute, ten_minutes = 60 * per_second - dropped, 600 * per_second - 9 * dropped
    total_minutes = 60 * hours + minutes
    number = (total_minutes * 60 + whole) * per_second + frames - dropped * (total_minutes - total_minutes // 10)
    number = (number + round(seconds * rate)) % (144 * ten_minutes)
    tens, rest = divmod(number, ten_minutes)
    # The numbers come back in: none in the first minute of ten, then `dropped` more with each.
    if rest >= 60 * per_second:
        rest += dropped * (1 + (rest - 60 * per_second) // minute)
    number = tens * 600 * per_second + rest
    whole, frames = divmod(number, per_second)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{mark}{frames:02d}"


def _can_hold(container: str, stream: Stream) -> bool:
    """Tell by trial, in memory, whether a container takes a stream; its list of codecs knows only half of it."""
    if stream.type == "attachment" and container == "webm":
        return False  # FFmpeg drops it without a word
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            copy = trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
            if stream.type == "data":
                # Some data is refused only when all is written, after hours of work.
                packet = av.Packet(b"0123")
                packet.stream, packet.time_base = copy, Fraction(1, 1000)
                packet.pts = packet.dts = 0
                trial.mux(packet)
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _kept(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if not _OF_THE_FILE.fullmatch(key)}


def _timecode_of(*metadata: dict[str, str]) -> str | None:
    """Return the first timecode; containers store it with the film, in a track of its own or for the whole file."""
    found = (value for tags in metadata for key, value in tags.items() if key.lower() == "timecode")
    return next(found, None)


def _codec_of(stream: Stream) -> str:
    if stream.type == "attachment":
        return stream.metadata.get("filename", "without a name")
    if stream.codec_context is not None:
        return stream.codec_context.name.upper()
    return getattr(stream, "name", None) or stream.metadata.get("handler_name", "of an unknown kind")


def _listed(items: list[str]) -> str:
    *first, last = dict.fromkeys(items)
    return f"{', '.join(first)} and {last}" if first else last
