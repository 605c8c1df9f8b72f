"""Write a clip: any codec of `formats.CODECS`, with everything of the source that its container can hold."""

from __future__ import annotations

import contextlib
import os
import warnings
import zlib
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, DamagedRunError, OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.carry import Carrier, Origin
from bgmv2.video.color import RGB_MATRIX, ToCodedRGB, ToYUV, is_rgb, known_matrix
from bgmv2.video.formats import choose
from bgmv2.video.matroska import reserve_aspect, write_aspect
from bgmv2.video.sink import ResumableSink, as_ordered, check_file, settle
from bgmv2.video.threads import codec_threads

# SVT-AV1 tells its settings on stderr, and its errors, which FFmpeg tells us.
os.environ.setdefault("SVT_LOG", "0")


class VideoWriter(ResumableSink):
    """A clip that grows in segments beside its final name, which it takes on `close`.

    Each segment is encoded by an encoder of its own and kept in a file of its own; the clip is put together of them at
    the end. So it is the same clip whether one run wrote it or several.

    Timestamps are kept: variable frame rate, a start other than zero, and the distance to the sound survive. mp4 and
    mov hold them exactly, mkv and webm in milliseconds. Only if the clip's beginning was not asked for, the first frame
    is moved to zero, and everything with it.

    Colours are stored with the matrix, primaries, transfer and range of `info.color`, and tagged so; ProRes is always
    limited range, QuickTime Animation and FFV1 are RGB. The shape of pixels is tagged.

    Args:
        path: final name; its suffix is a row of `formats.CONTAINERS`.
        info: size, rate, time base, colours and bits of the frames to come.
        alpha: the frames are RGBA; otherwise RGB or grey.
        encode: codec, quality, speed, and whether an existing file is replaced.
        origin: the clip whose sound, subtitles, chapters and metadata are copied; None for a bare result.
        kept: what the last `checkpoint` of an earlier run returned, to go on behind it.

    Raises:
        OutputError: the suffix cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
        VideoError: the clip of `origin` cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        alpha: bool = False,
        encode: EncodeConfig | None = None,
        origin: Origin | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        final = Path(path)
        self.info = info
        self._alpha = alpha
        self._encode = encode or EncodeConfig()
        self._choice = choose(final, info, alpha=alpha, encode=self._encode)
        is_published = kept is not None and bool(kept.get("whole"))
        check_file(final, overwrite=self._encode.overwrite or is_published)
        super().__init__(final, kept)
        self._whole = self._parts.folder / f"whole{final.suffix}"
        earlier = kept or {}
        self._segment: int = earlier.get("segments", 0)
        self._segments = self._segment
        self._zero: int = earlier.get("zero", 0)
        self._last: int | None = earlier.get("last")
        # Of the whole clip, where `_last` may be of a segment that is written anew.
        self._final: int | None = self._last
        self._is_again = False
        self._store: _Store | None = None
        self._encoder: VideoCodecContext | None = None
        self._container: OutputContainer | None = None
        self._carrier: Carrier | None = None
        if self._is_whole:
            return
        if self._choice.bits < info.bits:
            warnings.warn(
                f"{final.name} keeps {self._choice.bits} of the clip's {info.bits} bits: {self._choice.codec.title} "
                f"holds no more in {final.suffix}; .mkv with FFV1 and numbered pictures do",
                Bgmv2Warning,
                stacklevel=2,
            )
        with self._reporting():
            self._check_kept()
            self._open_container(origin)

    def _check_kept(self) -> None:
        """Say now, not after hours of work, that segments of an earlier run are gone."""
        for segment in range(self._segments):
            file = self._kept_file(segment)
            for needed in (file, _Store.times_of(file)):
                if not needed.exists():
                    raise DamagedRunError(f"{needed} is gone: start {self._path.name} anew with --overwrite")

    def _open_container(self, origin: Origin | None) -> None:
        """Begin the clip, so that what it cannot hold is known before hours of work."""
        info = self.info
        options = _container_options(self._path.suffix.lower(), info.time_base)
        self._container = container = av.open(f"file:{self._whole}", "w", container_options=options)
        stream = container.add_stream(self._choice.encoder, rate=info.rate, options=self._choice.options)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        self._set_up(stream.codec_context, tag=container.format.name in ("mp4", "mov"))
        # The clip's own encoder only tells what belongs into the clip's head. It lives as long as the clip, and with it
        # would the frames that it looks ahead at; so segments have encoders of their own.
        if origin is not None:
            self._carrier = Carrier(origin, container, stream, info=info, name=self._path)
        self._is_patched = info.aspect != 1 and container.format.name in ("matroska", "webm")
        if self._is_patched:
            reserve_aspect(container, stream)
        container.start_encoding()

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Args:
            frame: of the size and channels that were announced, later than the one before it.

        Raises:
            ValueError: it is not, or the writer is closed.
            OutputError: the disk is full or fails; what was written since the last checkpoint is removed.
        """
        if not self._open or self._is_whole:
            raise ValueError("this writer is closed, so it takes no more frames")
        pixels = frame.pixels
        if pixels.shape[:2] != (self.info.height, self.info.width) or (pixels.shape[2:] == (4,)) != self._alpha:
            size = f"{self.info.width}x{self.info.height}"
            raise ValueError(f"this clip is {size} with alpha = {self._alpha}, got {pixels.shape = }")
        pts = round(frame.pts * frame.time_base / self.info.time_base)
        if self._last is not None and pts <= self._last:
            raise ValueError(f"frames come in order of presentation, got {pts = } after {self._last}")
        with self._reporting():
            if self._final is None:
                self._zero = 0 if self.info.start is None else pts
            self._last = pts
            self._final = pts if self._final is None else max(self._final, pts)
            if self._store is None:
                file = self._file(self._segment, again=self._is_again)
                self._store = _Store(file, self._choice.codec.store, self._stream)
                self._encoder = self._new_encoder()
            assert self._encoder is not None
            self._store.add(self._encoder.encode(self._coded(as_ordered(pixels, self._encode), pts - self._zero)))

    def rewrite(self, segment: int, frame: int) -> None:
        """Write a segment anew; see `Sink.rewrite`."""
        self._end_segment()
        self._segment, self._last, self._is_again = segment, None, True

    def _save(self) -> dict[str, Any]:
        self._end_segment()
        return {"segments": self._segments, "zero": self._zero, "last": self._final}

    def _end_segment(self) -> None:
        if self._store is None:
            return
        assert self._encoder is not None
        packets = self._encoder.encode(None)
        if self._store.frames + len(packets) <= 2:
            # x265 tells decoding times from the third frame on, and garbage if there is none.
            for packet in packets:
                packet.dts = packet.pts
        self._store.add(packets)
        self._store.close()
        self._store = self._encoder = None
        self._segment += 1
        self._segments = max(self._segments, self._segment)

    def _complete(self) -> None:
        self._end_segment()
        if self._final is None:
            raise OutputError(f"{self._path} was not written: there was no frame to put into it")
        assert self._container is not None
        if self._carrier is not None:
            self._carrier.begin(self._zero * self.info.time_base)
        before = None
        for segment in range(self._segments):
            for packet in _Store.read(self._kept_file(segment), self._choice.codec.store):
                assert packet.dts is not None
                if before is not None and packet.dts <= before:
                    # Where the rate of frames varies, an encoder may begin earlier than the one before it ended.
                    packet.dts = before + 1
                before, packet.time_base, packet.stream = packet.dts, self.info.time_base, self._stream
                if self._carrier is not None:
                    # Sound goes just ahead of the picture, so that neither piles up in memory.
                    self._carrier.copy(until=before * self.info.time_base)
                self._container.mux(packet)
        if self._carrier is not None:
            self._carrier.finish((self._final - self._zero) * self.info.time_base + 1 / self.info.rate)
        self._container.close()
        if self._is_patched:
            write_aspect(self._whole, self.info.width, self.info.height, self.info.aspect)
        settle(self._whole)

    def _publish(self) -> None:
        if self._whole.exists():
            check_file(self._path, overwrite=self._encode.overwrite)
            os.replace(self._whole, self._path)
        elif not self._path.exists():
            raise OutputError(f"{self._path} was written, but is gone; start anew with --overwrite")

    def _release(self) -> None:
        if self._carrier is not None:
            self._carrier.close()
        if self._is_whole:
            return
        # Gone before it is closed, FFmpeg does not spend minutes on moving its index to the front.
        for file in (self._whole, *((self._store.file,) if self._store is not None else ())):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        for container in (self._container, None if self._store is None else self._store.container):
            if container is not None:
                with contextlib.suppress(av.error.FFmpegError, OSError):
                    container.close()
        self._whole.unlink(missing_ok=True)

    def _file(self, segment: int, *, again: bool = False) -> Path:
        # What is written anew has a name of its own: a segment is two files, which cannot be replaced as one.
        return self._parts.folder / f"{segment:06d}{'-again' * again}.{self._choice.codec.store}"

    def _kept_file(self, segment: int) -> Path:
        again = self._file(segment, again=True)
        return again if again.exists() else self._file(segment)

    def _new_encoder(self) -> VideoCodecContext:
        context = CodecContext.create(self._choice.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        context.options = dict(self._choice.options)
        context.framerate = self.info.rate
        # As the clip's own does: containers keep it in their head.
        context.flags |= Flags.global_header
        self._set_up(context, tag=False)
        return context

    def _set_up(self, context: VideoCodecContext, *, tag: bool) -> None:
        choice, color = self._choice, self.info.color
        self._to_coded: ToYUV | ToCodedRGB
        if is_rgb(choice.pixel_format):
            matrix, full_range = RGB_MATRIX, True
            self._to_coded = ToCodedRGB(pixel_format=choice.pixel_format)
        else:
            matrix = known_matrix(color.matrix, self.info.height)
            full_range = color.full_range and choice.codec.full_range
            self._to_coded = ToYUV(matrix=matrix, full_range=full_range, pixel_format=choice.pixel_format)
        context.width, context.height = self.info.width, self.info.height
        context.pix_fmt = choice.pixel_format
        context.time_base = self.info.time_base
        context.bit_rate = 0
        context.thread_type, context.thread_count = "AUTO", codec_threads()
        context.sample_aspect_ratio = self.info.aspect
        context.colorspace, context.color_range = matrix, ColorRange.JPEG if full_range else ColorRange.MPEG
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if choice.codec.tag is not None and tag:
            context.codec_tag = choice.codec.tag
        try:
            context.open()
        except av.error.FFmpegError as error:
            given = " and ".join(f"{name} {value}" for name, value in choice.options.items())
            raise OutputError(
                f"{self._path} cannot be written: {choice.encoder} refuses {self.info.width}x{self.info.height} "
                f"with {given}; check these, or choose another --codec"
            ) from error

    def _coded(self, pixels: np.ndarray, pts: int) -> av.VideoFrame:
        picture = self._to_coded(pixels)
        picture.pts, picture.time_base = pts, self.info.time_base
        # ProRes asks each frame, not its encoder.
        picture.color_primaries, picture.color_trc = self.info.color.primaries, self.info.color.transfer
        return picture


class _Store:
    """The packets of one segment: what is in them in a container, and beside it their times, which few containers keep.

    Args:
        file: to write; it appears whole or not at all.
        kind: FFmpeg's name of the container.
        film: the stream that the packets belong to.
    """

    def __init__(self, file: Path, kind: str, film: VideoStream) -> None:
        self._final = file
        self.file = file.with_suffix(".part")
        self.container = av.open(f"file:{self.file}", "w", format=kind)
        self._stream = self.container.add_stream_from_template(film, opaque=True)
        self.container.start_encoding()
        # Of each packet its times, and a checksum of them and of what is in it.
        self._times: list[tuple[int, int, int, int]] = []

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self._times)

    def add(self, packets: list[Packet]) -> None:
        """Keep packets as they come from the encoder."""
        for packet in packets:
            assert packet.pts is not None and packet.dts is not None
            times = packet.pts, packet.dts, packet.duration or 0
            self._times.append((*times, _checksum(packet, times)))
            # Increasing is all that the container asks.
            packet.pts = packet.dts = len(self._times)
            packet.time_base, packet.stream = Fraction(1, 1000), self._stream
            self.container.mux(packet)

    def close(self) -> None:
        """Bring the segment to the disk."""
        self.container.close()
        times = self.times_of(self._final)
        np.array(self._times, np.int64).tofile(times)
        settle(times)
        settle(self.file)
        os.replace(self.file, self._final)

    @staticmethod
    def times_of(file: Path) -> Path:
        """Return the file that holds the times of a segment."""
        return file.with_suffix(".times")

    @classmethod
    def read(cls, file: Path, kind: str) -> Iterator[Packet]:
        """Read a segment's packets, with the times that they had, in ticks of the film.

        Raises:
            DamagedRunError: it is not as it was written.
        """
        times = cls.times_of(file)
        with _reading(times):
            rows = np.fromfile(times, np.int64).reshape(-1, 4).tolist()
        with _reading(file), av.open(f"file:{file}", format=kind) as container:
            packets = (packet for packet in container.demux(video=0) if packet.size)
            for packet, (pts, dts, duration, checksum) in zip(packets, rows, strict=True):
                if _checksum(packet, (pts, dts, duration)) != checksum:
                    raise ValueError("other bytes than were written")
                packet.pts, packet.dts, packet.duration = pts, dts, duration
                yield packet


def _checksum(packet: Packet, times: tuple[int, int, int]) -> int:
    return zlib.crc32(bytes(packet), zlib.crc32(np.array(times, np.int64).tobytes()))


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DamagedRunError(f"{file} is damaged: start anew with --overwrite") from error


def _container_options(suffix: str, time_base: Fraction) -> dict[str, str]:
    if suffix not in (".mp4", ".mov"):
        # FFmpeg would move the whole clip so that sound which begins before zero, as AAC does, begins there; blocks of
        # Matroska can hold such times.
        return {"avoid_negative_ts": "disabled"}
    # A start other than zero is stored in this unit, milliseconds unless told otherwise.
    unit = time_base.denominator
    while unit < 48000:
        unit *= 2
    return {"movflags": "+faststart", "movie_timescale": str(unit)}
