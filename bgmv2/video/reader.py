"""Read a clip: frames upright, whole and in RGB, each with the instant at which it is shown."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from math import atan2, degrees, floor
from pathlib import Path
from types import TracebackType

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.types import ColorInfo, Frame, VideoInfo
from bgmv2.video.color import ToRGB, bits_of, is_full_range, known_matrix, unknown_matrix
from bgmv2.video.deinterlace import Timed, deinterlaced
from bgmv2.video.hdr import light_of
from bgmv2.video.probe import (
    STDIN,
    check_readable,
    film_of,
    is_address,
    is_boxed_picture,
    is_cut_short,
    is_file,
    open_input,
    shown,
)
from bgmv2.video.threads import codec_threads
from bgmv2.video.timing import DEFAULT_RATE, Span, in_order

# Containers that find a key frame by its time, and keep all instants meanwhile. Others are decoded from the beginning.
_SEEKABLE = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "mpegts")


class VideoReader:
    """The frames of a clip.

    Frames come upright: the display matrix of telephones is obeyed, mirrors included. Interlaced ones are made whole.
    Timestamps are the clip's own; those that are missing, or do not increase, are mended with a warning. Iterate once,
    then close.

    What FFmpeg does not hand out is not known: the cropping that a container asks for, beyond that of its codec.

    Args:
        path: a clip in any format that FFmpeg reads, an address, or ``-`` for standard input.
        read: which part of it, and how; None for all.

    Raises:
        VideoError: there is no clip there, it holds no moving picture, none of it can be decoded, or nothing lies in
            the part that was asked for.
    """

    info: VideoInfo

    def __init__(self, path: str | os.PathLike[str], read: ReadConfig | None = None) -> None:
        self._source = os.fspath(path)
        self._name = shown(path)
        self._read = read or ReadConfig()
        # What was warned of.
        self._resized = self._guessed = False
        self._opening: av.VideoFrame | None = None
        self._check()
        self._open()
        if not is_file(self._source) and self._container.streams.audio:
            _warn(f"the sound of {self._name} is not copied: only of files; save it first to keep its sound")
        self._decoded = self._decode()
        self._frames = self._wanted()
        try:
            first = next(self._frames, None)
            if first is None:
                raise self._nothing()
            self._ahead = chain([first], self._frames)
            self._matrix = _display_matrix(self._example)
            self.info = self._describe(self._example)
        except BaseException:
            self.close()
            raise
        self._to_rgb = ToRGB(matrix=self.info.color.matrix, deep=self.info.bits > 8)

    def __iter__(self) -> Iterator[Frame]:
        for decoded, pts in self._ahead:
            yield Frame(_upright(self._pixels(decoded, pts), self._matrix), pts, self._time_base)

    def instants(self) -> Iterator[Fraction]:
        """Say when each frame is shown, in seconds, in place of the frames themselves: no colours are converted."""
        for _, pts in self._ahead:
            yield pts * self._time_base

    def skip(self, count: int) -> None:
        """Pass over the next frames: they are decoded, as what follows needs them, but no colours are converted."""
        for _ in islice(self._ahead, count):
            pass

    def close(self) -> None:
        """Release the file; may be called twice."""
        for stage in (self._frames, self._decoded):
            stage.close()
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _example(self) -> av.VideoFrame:
        """The first frame of the whole clip, even if only a part is read.

        Only a decoded frame tells how the picture stands and what its colours mean, and some clips say it only once.
        """
        assert self._opening is not None
        return self._opening

    def _check(self) -> None:
        """Say what FFmpeg would not say, or not so that a person understands."""
        is_stdin = self._source == STDIN
        if self._read.raw is not None and not is_stdin:
            raise VideoError(f"raw frames come in on standard input: give - as the clip, not {self._name}")
        if self._read.rate is not None and self._read.raw is None:
            raise VideoError(f"{self._name} says itself how fast it is; a rate is for numbered pictures and raw frames")
        if not is_stdin and not is_address(self._source):
            path = Path(self._source)
            check_readable(path, wanted="clip")
            if is_file(path) and is_boxed_picture(path):
                raise self._not_a_clip()

    def _open(self) -> None:
        self._container = open_input(
            self._source, raw=self._read.raw, rate=self._read.rate or DEFAULT_RATE, hwaccel=self._read.hwaccel
        )
        try:
            self._stream = self._find_film(self._container)
        except BaseException:
            self._container.close()
            raise
        stream = self._stream
        stream.thread_type, stream.codec_context.thread_count = "AUTO", codec_threads()
        self._time_base = stream.time_base or 1 / DEFAULT_RATE
        rate = stream.average_rate or stream.guessed_rate
        self._rate = rate if rate is not None and rate > 0 else Fraction(30)
        zero = self._container.start_time
        self._beginning = Fraction(zero, av.time_base) if zero is not None else Fraction(0)
        self._span = Span.of(self._read, self._beginning)
        # What stopped decoding before the clip's end; told when all frames before it are out.
        self._damage: VideoError | None = None
        # Instants in seconds: of the key frame decoding began with, and of the last frame that lay outside the span.
        self._key: Fraction | None = None
        self._skipped: Fraction | None = None

    def _find_film(self, container: InputContainer) -> VideoStream:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise self._not_a_clip()
        stream = film_of(container)
        if stream is None:
            raise VideoError(f"{self._name} holds no moving picture, only sound or text; give the clip itself")
        if stream.codec_context is None:
            raise VideoError(f"{self._name} is coded in a way that FFmpeg cannot decode; export it as H.264 in .mp4")
        return stream

    def _not_a_clip(self) -> VideoError:
        return VideoError(
            f"{self._name} is a picture, but a clip is needed here; give the filmed video, numbered pictures by their "
            f"folder or a pattern such as shot.####.png, or take bgmv2 image for pictures"
        )

    def _wanted(self) -> Generator[Timed, None, None]:
        """Give out the frames of the span, in order, and raise at their end if that is not where they should end."""
        rhythm = max(1, round(1 / (self._rate * self._time_base)))
        frames: Iterable[Timed] = in_order(
            self._begin(), beginning=self._stream.start_time or 0, rhythm=rhythm, warn=self._warn_of_times
        )
        if self._read.deinterlace == "auto":
            frames = deinterlaced(frames, time_base=self._time_base, warn=self._warn_of_fields)
        count = 0
        for frame, pts in frames:
            seconds = pts * self._time_base
            if self._span.is_after(seconds):
                self._skipped = seconds
                return
            if self._span.is_before(seconds):
                self._skipped = seconds
                continue
            yield frame, pts
            count += 1
            if count == self._read.frames:
                return
        if self._damage is not None:
            raise self._damage

    def _begin(self) -> Iterator[av.VideoFrame]:
        """Decode from a key frame that is shown before the span, or from the beginning.

        Frames that are shown before the key frame may refer to others before it, and containers count the time of
        decoding where we mean that of showing. So the key frame and the first frame that comes out are looked at, and
        if they are not early enough, the next try goes farther back.
        """
        self._opening = next(self._decoded, None)
        if self._opening is None:
            return self._decoded
        start, back = self._span.start or self._beginning, Fraction(0)
        if start > self._beginning and is_file(self._source) and self._container.format.name in _SEEKABLE:
            while start - back > self._beginning:
                try:
                    self._container.seek(floor((start - back) / self._time_base) - 1, stream=self._stream)
                except av.error.FFmpegError:
                    break
                self._damage = self._key = None
                self._decoded.close()
                self._decoded = self._decode()
                first = next(self._decoded, None)
                shown_first = None if first is None or first.pts is None else first.pts * self._time_base
                if first is not None and all(
                    instant is not None and self._span.is_before(instant) for instant in (self._key, shown_first)
                ):
                    return chain([first], self._decoded)
                back = max(Fraction(1), 2 * back)
            self._decoded.close()
            self._container.close()
            self._open()
            self._decoded = self._decode()
            return self._decoded
        return chain([self._opening], self._decoded)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decode to the end, or to damage, which is left in `_damage`."""
        is_begun = False
        elapsed = reached = 0.0
        try:
            # All streams, for only together do they tell whether the file goes on for as long as it says.
            for packet in self._container.demux():
                if packet.pts is not None:
                    reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                # Screen recorders mark an unchanged picture by an empty packet; a decoder would take it for the end.
                if packet.stream.index != self._stream.index or (packet.size == 0 and packet.dts is not None):
                    continue
                if self._key is None and packet.is_keyframe and packet.pts is not None:
                    self._key = packet.pts * self._time_base
                try:
                    frames = self._stream.codec_context.decode(packet)
                except av.error.InvalidDataError:
                    if is_begun:
                        raise
                    # A recording that starts between two key frames; players skip to the first one, too.
                    continue
                for frame in frames:
                    is_begun = True
                    if frame.time is not None:
                        elapsed = frame.time - float(self._beginning)
                    self._check_frame(frame, elapsed)
                    yield frame
        except VideoError as error:
            self._damage = error
            return
        except av.error.FFmpegError as error:
            reason = f"the data after that is damaged ({error.strerror})"
            if isinstance(error, av.error.ExitError):
                reason = "the server fell silent"
            elif self._is_cut_short():
                reason = "the rest of the file is missing"
            elif self._read.raw is not None:
                reason = f"a frame of {self._read.raw} came in only in part"
            self._damage = self._broken(elapsed, reason)
            return
        if self._is_cut_short():
            self._damage = self._broken(elapsed, "the rest of the file is missing")
            return
        promised = (self._container.duration or 0) / av.time_base
        if reached < promised - 1:
            # Only a warning: headers are wrong more often than clips are broken.
            _warn(
                f"{self._name} ends after {reached:.1f} s but announces {promised:.1f} s; "
                f"if something is missing at the end, copy or export it again"
            )

    def _is_cut_short(self) -> bool:
        return is_file(self._source) and is_cut_short(Path(self._source))

    def _check_frame(self, frame: av.VideoFrame, elapsed: float) -> None:
        """Warn once of pictures that the decoder had to guess, and refuse those that are halves.

        Raises:
            VideoError: HEVC stores the fields of an interlaced clip as pictures of their own.
        """
        if frame.interlaced_frame and self._stream.codec_context.name == "hevc":
            raise VideoError(
                f"{self._name} is interlaced HEVC, whose half pictures FFmpeg does not put together; "
                f"export it deinterlaced"
            )
        is_skipped = frame.pts is not None and self._span.is_before(frame.pts * self._time_base)
        if frame.is_corrupt and not is_skipped and not self._guessed:
            self._guessed = True
            _warn(f"{self._name} is damaged at {elapsed:.1f} s: the decoder had to guess; look at the result there")

    def _warn_of_times(self, what: str) -> None:
        _warn(
            f"{self._name} holds frames {what}; they are shown when its rate of {float(self._rate):g} a second suggests"
        )

    def _warn_of_fields(self) -> None:
        _warn(
            f"{self._name} is interlaced, so its frames are made whole (bwdif); "
            f"if it only says so by mistake, take --deinterlace off"
        )

    def _broken(self, elapsed: float, reason: str) -> VideoError:
        return VideoError(
            f"{self._name} breaks off after {elapsed:.1f} s: {reason}; "
            f"copy or export it again, or take the part before (--end)"
        )

    def _nothing(self) -> VideoError:
        if self._skipped is None:
            return VideoError(f"no frame of {self._name} can be decoded; copy or export it again")
        return Span.nothing_in(self._name, self._read, self._skipped - self._beginning)

    def _pixels(self, decoded: av.VideoFrame, pts: int) -> np.ndarray:
        """Convert a frame, as stored; one of another size, as streams may have midway, is scaled to the first's."""
        first = self._example
        try:
            pixels = self._to_rgb(decoded)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                f"{self._name} is stored as {decoded.format.name}, which cannot be turned into RGB; export it as H.264"
            ) from error
        height, width = pixels.shape[:2]
        if (width, height) == (first.width, first.height):
            return pixels
        if not self._resized:
            self._resized = True
            instant = float(pts * self._time_base - self._beginning)
            _warn(
                f"{self._name} changes its size from {first.width}x{first.height} to {width}x{height} at "
                f"{instant:.1f} s; what differs from the first size is scaled to it"
            )
        way = cv2.INTER_AREA if width > first.width else cv2.INTER_CUBIC
        return cv2.resize(pixels, (first.width, first.height), interpolation=way)

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream, context = self._stream, self._stream.codec_context
        whole = Fraction(self._container.duration or 0, av.time_base)
        seconds = stream.duration * self._time_base if stream.duration else whole
        turned = self._matrix[0, 0] == 0
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
        aspect = aspect if aspect is not None and aspect > 0 else Fraction(1)
        return VideoInfo(
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rate=self._rate,
            time_base=self._time_base,
            rotation=round(-degrees(atan2(self._matrix[0, 1], self._matrix[0, 0]))) % 360,
            aspect=1 / aspect if turned else aspect,
            color=self._color_of(first),
            bits=min(16, max(8, bits_of(first.format.name))),
            start=self._span.start,
            end=self._span.end,
            frames=self._span.hint(
                self._read, stream.frames or round(seconds * self._rate) or None, self._rate, self._beginning
            ),
        )

    def _color_of(self, first: av.VideoFrame) -> ColorInfo:
        unknown = unknown_matrix(first.colorspace)
        if unknown is not None and not first.format.is_rgb:
            raise VideoError(
                f"the colours of {self._name} are coded as {unknown}, which bgmv2 cannot turn into RGB; "
                f"export it with a BT.709 or BT.2020 matrix"
            )
        return ColorInfo(
            matrix=known_matrix(first.colorspace, first.height),
            primaries=first.color_primaries,
            transfer=first.color_trc,
            # RGB has no other range, but nobody expects full range of its results.
            full_range=is_full_range(first) and not (first.format.is_rgb or first.format.name == "pal8"),
            light=light_of(first),
        )


def _warn(message: str) -> None:
    warnings.warn(message, Bgmv2Warning, stacklevel=3)


def _display_matrix(frame: av.VideoFrame) -> np.ndarray:
    """Read how the stored picture is to be turned.

    Args:
        frame: a decoded frame.

    Returns:
        ``(2, 2)`` of -1, 0 and 1: a stored pixel (x, y), as a row vector, times this matrix points to where it is
        shown, with x to the right and y downwards. Turns are rounded to quarters.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2, dtype=int)
    matrix = np.frombuffer(data, dtype="<i4").reshape(3, 3)[:2, :2].astype(float)  # type: ignore[call-overload]
    diagonal = np.eye(2, dtype=bool)
    turned = np.abs(matrix[~diagonal]).sum() > np.abs(matrix[diagonal]).sum()
    quarters = np.where(diagonal ^ turned, np.sign(matrix), 0).astype(int)
    # A damaged one may turn nothing into anything.
    return quarters if np.abs(quarters).sum() == 2 else np.eye(2, dtype=int)


def _upright(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turn and mirror a picture by quarters.

    Args:
        pixels: ``(H, W, C)``.
        matrix: ``(2, 2)`` as `_display_matrix` returns it.

    Returns:
        The upright picture, contiguous.
    """
    if matrix[0, 0] == 0:
        pixels = pixels.swapaxes(0, 1)
    right, down = matrix.sum(axis=0)
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])
