"""Write a clip: any codec of `formats.CODECS`, with everything of the source that its container can hold."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.carry import Carrier, Origin
from bgmv2.video.color import RGB_MATRIX, ToCodedRGB, ToYUV, is_rgb, known_matrix
from bgmv2.video.formats import Choice, choose
from bgmv2.video.matroska import reserve_aspect, write_aspect
from bgmv2.video.sink import Sink, as_ordered, beside, cannot_write, check_file

# SVT-AV1 tells its settings on stderr, and its errors, which FFmpeg tells us.
os.environ.setdefault("SVT_LOG", "0")


class VideoWriter(Sink):
    """A clip written beside its final name, which it takes on `close`.

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
    ) -> None:
        self.info = info
        self._path = Path(path)
        self._alpha = alpha
        self._encode = encode or EncodeConfig()
        choice = choose(self._path, info, alpha=alpha, encode=self._encode)
        check_file(self._path, overwrite=self._encode.overwrite)
        if choice.bits < info.bits:
            warnings.warn(
                f"{self._path.name} keeps {choice.bits} of the clip's {info.bits} bits: {choice.codec.title} holds no "
                f"more in {self._path.suffix}; .mkv with FFV1 and numbered pictures do",
                Bgmv2Warning,
                stacklevel=2,
            )
        self._temporary = beside(self._path)
        self._zero = 0
        self._count = 0
        self._last: int | None = None
        self._open = True
        self._container: OutputContainer | None = None
        self._carrier: Carrier | None = None
        with self._reporting():
            options = _container_options(self._path.suffix.lower(), info.time_base)
            self._container = container = av.open(f"file:{self._temporary}", "w", container_options=options)
            self._stream = self._add_stream(container, choice)
            if origin is not None:
                self._carrier = Carrier(origin, container, self._stream, info=info, name=self._path)
            self._is_patched = info.aspect != 1 and container.format.name in ("matroska", "webm")
            if self._is_patched:
                reserve_aspect(container, self._stream)
            container.start_encoding()

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Args:
            frame: of the size and channels that were announced, later than the one before it.

        Raises:
            ValueError: it is not, or the writer is closed.
            OutputError: the disk is full or fails; nothing is left behind.
        """
        if not self._open:
            raise ValueError("this writer is closed, so it takes no more frames")
        pixels = frame.pixels
        if pixels.shape[:2] != (self.info.height, self.info.width) or (pixels.shape[2:] == (4,)) != self._alpha:
            size = f"{self.info.width}x{self.info.height}"
            raise ValueError(f"this clip is {size} with alpha = {self._alpha}, got {pixels.shape = }")
        pts = round(frame.pts * frame.time_base / self.info.time_base)
        if self._last is not None and pts <= self._last:
            raise ValueError(f"frames come in order of presentation, got {pts = } after {self._last}")
        with self._reporting():
            if self._last is None:
                self._zero = 0 if self.info.start is None else pts
                if self._carrier is not None:
                    self._carrier.begin(self._zero * self.info.time_base)
            self._last = pts
            self._count += 1
            self._mux(self._stream.encode(self._coded(as_ordered(pixels, self._encode), pts - self._zero)))

    def close(self) -> None:
        """Finish the clip and give it its name; does nothing the second time.

        Raises:
            OutputError: no frame was written, the disk is full or fails; nothing is left behind.
            OutputExistsError: a file of that name has appeared meanwhile.
        """
        if not self._open:
            return
        if self._last is None:
            self.discard()
            raise OutputError(f"{self._path} was not written: there was no frame to put into it")
        with self._reporting():
            packets = self._stream.encode(None)
            if self._count <= 2:
                # x265 tells decoding times from the third frame on, and garbage if there is none.
                for packet in packets:
                    packet.dts = packet.pts
            self._mux(packets)
            if self._carrier is not None:
                self._carrier.finish((self._last - self._zero) * self.info.time_base + 1 / self.info.rate)
            assert self._container is not None
            self._container.close()
            if self._is_patched:
                write_aspect(self._temporary, self.info.width, self.info.height, self.info.aspect)
            check_file(self._path, overwrite=self._encode.overwrite)
            os.replace(self._temporary, self._path)
        self._open = False

    def discard(self) -> None:
        """Remove what was written so far; does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        if self._carrier is not None:
            self._carrier.close()
        # Gone before it is closed, FFmpeg does not spend minutes on moving its index to the front.
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        if self._container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
        self._temporary.unlink(missing_ok=True)

    def _add_stream(self, container: OutputContainer, choice: Choice) -> VideoStream:
        stream = container.add_stream(choice.encoder, rate=self.info.rate, options=choice.options)
        assert isinstance(stream, VideoStream)
        color, context = self.info.color, stream.codec_context
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
        context.thread_type, context.thread_count = "AUTO", 0
        context.sample_aspect_ratio = self.info.aspect
        context.colorspace, context.color_range = matrix, ColorRange.JPEG if full_range else ColorRange.MPEG
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        if choice.codec.tag is not None and container.format.name in ("mp4", "mov"):
            context.codec_tag = choice.codec.tag
        try:
            context.open()
        except av.error.FFmpegError as error:
            given = " and ".join(f"{name} {value}" for name, value in choice.options.items())
            raise OutputError(
                f"{self._path} cannot be written: {choice.encoder} refuses {self.info.width}x{self.info.height} "
                f"with {given}; check these, or choose another --codec"
            ) from error
        return stream

    def _coded(self, pixels: np.ndarray, pts: int) -> av.VideoFrame:
        picture = self._to_coded(pixels)
        picture.pts, picture.time_base = pts, self.info.time_base
        # ProRes asks each frame, not its encoder.
        picture.color_primaries, picture.color_trc = self.info.color.primaries, self.info.color.transfer
        return picture

    def _mux(self, packets: list[Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            if self._carrier is not None and packet.dts is not None:
                # Sound goes just ahead of the picture, so that neither piles up in memory.
                self._carrier.copy(until=Fraction(packet.dts) * packet.time_base)
            self._container.mux(packet)

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Discard everything on any error, and tell errors of the disk and the encoder in one line."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, av.error.FFmpegError | OSError) and not isinstance(error, OutputError):
                raise cannot_write(self._path, error) from error
            raise


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
