"""Write a clip: H.264, or with transparency ProRes 4444 or VP9, with the sound of the source."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.audio import SoundCopy
from bgmv2.video.color import ToYUV, known_matrix
from bgmv2.video.sink import Sink, beside, cannot_write, check_file


@dataclass(frozen=True)
class _Encoder:
    name: str
    pixel_format: str
    options: dict[str, str]


def _h264(info: VideoInfo, encode: EncodeConfig) -> _Encoder:
    # 4:2:0 halves the picture and cannot hold an odd size. Colour at full size can, at the price that few but VLC, mpv
    # and editors play it; a clip that silently lost a column would no longer fit its source.
    odd = info.width % 2 or info.height % 2
    options = {"crf": str(encode.crf), "preset": encode.preset}
    return _Encoder("libx264", "yuv444p" if odd else "yuv420p", options)


def _vp9(pixel_format: str, encode: EncodeConfig) -> _Encoder:
    options = {
        # VP9 counts quality to 63 where H.264 counts to 51.
        "crf": str(round(encode.crf * 63 / 51)),
        "deadline": "good",
        "cpu-used": "4",
        "row-mt": "1",
    }
    if pixel_format == "yuva420p":
        # Alternate reference frames are never shown, and the alpha layer cannot follow them.
        options["auto-alt-ref"] = "0"
    return _Encoder("libvpx-vp9", pixel_format, options)


def _prores(info: VideoInfo, encode: EncodeConfig) -> _Encoder:
    return _Encoder("prores_ks", "yuva444p10le", {"profile": "4"})


_OPAQUE: dict[str, Callable[[VideoInfo, EncodeConfig], _Encoder]] = {
    ".mp4": _h264,
    ".mov": _h264,
    ".mkv": _h264,
    ".webm": lambda info, encode: _vp9("yuv420p", encode),
}
_TRANSPARENT: dict[str, Callable[[VideoInfo, EncodeConfig], _Encoder]] = {
    ".mov": _prores,
    ".webm": lambda info, encode: _vp9("yuva420p", encode),
}
SUFFIXES = tuple(_OPAQUE)


class VideoWriter(Sink):
    """A clip written beside its final name, which it takes on `close`.

    Timestamps are kept: variable frame rate, a start other than zero, and the distance to the sound survive. mp4 and
    mov hold them exactly. mkv and webm count in milliseconds and know no time before zero: sound that begins there, as
    AAC does, moves the whole clip by those few milliseconds.

    The picture is stored in limited range with the matrix, primaries and transfer of `info.color`, and tagged so.

    Args:
        path: final name; .mp4, .mov and .mkv hold H.264 (an odd size as 4:4:4), .webm VP9; with alpha, .mov holds
            ProRes 4444 and .webm VP9.
        info: size, rate, time base and colours of the frames to come.
        alpha: the frames are RGBA; otherwise RGB or grey.
        encode: quality, speed, and whether an existing file is replaced.
        audio_from: a clip whose sound is copied; None for a silent result.

    Raises:
        OutputError: the suffix cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
        VideoError: `audio_from` cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        alpha: bool = False,
        encode: EncodeConfig | None = None,
        audio_from: str | os.PathLike[str] | None = None,
    ) -> None:
        self.info = info
        self._path = Path(path)
        self._alpha = alpha
        self._encode = encode or EncodeConfig()
        encoder = _choose(self._path, info, alpha=alpha, encode=self._encode)
        check_file(self._path, overwrite=self._encode.overwrite)
        self._temporary = beside(self._path)
        self._last: int | None = None
        self._open = True
        self._container: OutputContainer | None = None
        self._sound: SoundCopy | None = None
        with self._reporting():
            options = _container_options(self._path.suffix.lower(), info.time_base)
            self._container = container = av.open(f"file:{self._temporary}", "w", container_options=options)
            self._stream = self._add_stream(container, encoder)
            if audio_from is not None:
                self._sound = SoundCopy(Path(audio_from), container, name=self._path)
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
        self._last = pts
        picture = self._to_yuv(pixels)
        picture.pts, picture.time_base = pts, self.info.time_base
        if hasattr(picture, "color_primaries"):
            # ProRes asks each frame, not its encoder; PyAV before 17 has no words for it.
            picture.color_primaries, picture.color_trc = self.info.color.primaries, self.info.color.transfer
        with self._reporting():
            self._mux(self._stream.encode(picture))

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
            self._mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.copy()
                self._sound.close()
            assert self._container is not None
            self._container.close()
            check_file(self._path, overwrite=self._encode.overwrite)
            os.replace(self._temporary, self._path)
        self._open = False

    def discard(self) -> None:
        """Remove what was written so far; does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        if self._sound is not None:
            self._sound.close()
        # Gone before it is closed, FFmpeg does not spend minutes on moving its index to the front.
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)
        if self._container is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
        self._temporary.unlink(missing_ok=True)

    def _add_stream(self, container: OutputContainer, encoder: _Encoder) -> VideoStream:
        stream = container.add_stream(encoder.name, rate=self.info.rate, options=encoder.options)
        assert isinstance(stream, VideoStream)
        color, context = self.info.color, stream.codec_context
        matrix = known_matrix(color.matrix, self.info.height)
        self._to_yuv = ToYUV(matrix=matrix, pixel_format=encoder.pixel_format)
        context.width, context.height = self.info.width, self.info.height
        context.pix_fmt = encoder.pixel_format
        context.time_base = self.info.time_base
        context.bit_rate = 0
        context.thread_type, context.thread_count = "AUTO", 0
        context.colorspace, context.color_range = matrix, ColorRange.MPEG
        context.color_primaries, context.color_trc = color.primaries, color.transfer
        try:
            context.open()
        except av.error.FFmpegError as error:
            given = ", ".join(f"{name} {value}" for name, value in encoder.options.items())
            raise OutputError(
                f"{self._path} cannot be written: {encoder.name} refuses {self.info.width}x{self.info.height} "
                f"with {given}; check these"
            ) from error
        return stream

    def _mux(self, packets: list[Packet]) -> None:
        assert self._container is not None
        for packet in packets:
            if self._sound is not None and packet.dts is not None:
                # Sound goes just ahead of the picture, so that neither piles up in memory.
                self._sound.copy(until=Fraction(packet.dts) * packet.time_base)
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
        return {}
    # A start other than zero is stored in this unit, milliseconds unless told otherwise.
    unit = time_base.denominator
    while unit < 48000:
        unit *= 2
    return {"movflags": "+faststart", "movie_timescale": str(unit)}


def _choose(path: Path, info: VideoInfo, *, alpha: bool, encode: EncodeConfig) -> _Encoder:
    suffix = path.suffix.lower()
    if suffix not in _OPAQUE:
        raise OutputError(f"{path} has no suffix of a video; use one of {', '.join(_OPAQUE)}")
    if alpha and suffix not in _TRANSPARENT:
        raise OutputError(
            f"{suffix} holds no transparency; use .mov (ProRes 4444), .webm (VP9), "
            f"or a name without suffix (PNG folder)"
        )
    return (_TRANSPARENT if alpha else _OPAQUE)[suffix](info, encode)
