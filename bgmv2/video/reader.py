"""Read a clip: frames upright, in RGB, each with the instant at which it is shown."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from math import atan2, degrees
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.types import ColorInfo, Frame, VideoInfo
from bgmv2.video.color import ToRGB, known_matrix
from bgmv2.video.probe import check_readable, film_of, is_boxed_picture, is_cut_short, open_input


class VideoReader:
    """The frames of a clip.

    Frames come upright: the display matrix of telephones is obeyed, mirrors included. Timestamps are the clip's own;
    one that is missing, or not after the frame before it, is replaced by the next in the clip's rhythm. Iterate once,
    then close.

    Args:
        path: a clip in any format that FFmpeg reads.

    Raises:
        VideoError: there is no clip there, it holds no moving picture, or none of it can be decoded.
    """

    info: VideoInfo

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        check_readable(self._path, wanted="clip")
        if is_boxed_picture(self._path):
            raise self._not_a_clip()
        self._container = open_input(self._path)
        try:
            self._stream = self._find_film(self._container)
            self._stream.thread_type = "AUTO"
            self._decoded = self._decode()
            # Only a decoded frame tells how the picture stands and what its colours mean.
            first = next(self._decoded, None)
            if first is None:
                raise VideoError(f"no frame of {self._path} can be decoded; copy or export it again")
            self._first = first
            self._matrix = _display_matrix(first)
            self.info = self._describe(first)
        except BaseException:
            self._container.close()
            raise
        self._to_rgb = ToRGB(
            matrix=self.info.color.matrix,
            full_range=self.info.color.full_range,
            deep=max(component.bits for component in first.format.components) > 8,
        )

    def __iter__(self) -> Iterator[Frame]:
        rhythm = max(1, round(1 / (self.info.rate * self.info.time_base)))
        pts = (self._stream.start_time or 0) - rhythm
        for index, decoded in enumerate(chain([self._first], self._decoded)):
            is_late = decoded.pts is not None and (index == 0 or decoded.pts > pts)
            pts = decoded.pts if is_late else pts + rhythm  # type: ignore[assignment]
            pixels = self._to_rgb(decoded, width=self._first.width, height=self._first.height)
            yield Frame(_upright(pixels, self._matrix), pts, self.info.time_base)

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._decoded.close()
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find_film(self, container: InputContainer) -> VideoStream:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            raise self._not_a_clip()
        stream = film_of(container)
        if stream is None:
            raise VideoError(f"{self._path} holds no moving picture, only sound or text; give the clip itself")
        if stream.codec_context is None:
            raise VideoError(f"{self._path} is coded in a way that FFmpeg cannot decode; export it as H.264 in .mp4")
        return stream

    def _not_a_clip(self) -> VideoError:
        return VideoError(
            f"{self._path} is a picture, but a clip is needed here; "
            f"give the filmed video, or take bgmv2 image for pictures"
        )

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decode to the end, and raise if that is not where the clip should end."""
        start: float | None = None
        elapsed = reached = 0.0
        try:
            # All streams, for only together do they tell whether the file goes on for as long as it says.
            for packet in self._container.demux():
                if packet.pts is not None:
                    reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                # Screen recorders mark an unchanged picture by an empty packet; a decoder would take it for the end.
                if packet.stream.index != self._stream.index or (packet.size == 0 and packet.dts is not None):
                    continue
                try:
                    frames = self._stream.codec_context.decode(packet)
                except av.error.InvalidDataError:
                    if start is not None:
                        raise
                    # A recording that starts between two key frames; players skip to the first one, too.
                    continue
                for frame in frames:
                    if frame.time is not None:
                        start = frame.time if start is None else start
                        elapsed = frame.time - start
                    yield frame
        except av.error.FFmpegError as error:
            raise self._broken(elapsed, f"the data after that is damaged ({error.strerror})") from error
        if is_cut_short(self._path):
            raise self._broken(elapsed, "the rest of the file is missing")
        promised = (self._container.duration or 0) / av.time_base
        if reached < promised - 1:
            # Only a warning: headers are wrong more often than clips are broken.
            warnings.warn(
                f"{self._path} ends after {reached:.1f} s but announces {promised:.1f} s; "
                f"if something is missing at the end, copy or export it again",
                Bgmv2Warning,
                stacklevel=2,
            )

    def _broken(self, elapsed: float, reason: str) -> VideoError:
        return VideoError(
            f"{self._path} breaks off after {elapsed:.1f} s: {reason}; "
            f"copy or export it again, or trim it to the part before"
        )

    def _describe(self, first: av.VideoFrame) -> VideoInfo:
        stream = self._stream
        rate = stream.average_rate or stream.guessed_rate or Fraction(30)
        assert stream.time_base is not None
        whole = Fraction(self._container.duration or 0, av.time_base)
        seconds = stream.duration * stream.time_base if stream.duration else whole
        matrix = known_matrix(first.colorspace, first.height)
        turned = self._matrix[0, 0] == 0
        return VideoInfo(
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            rate=rate,
            time_base=stream.time_base,
            rotation=round(-degrees(atan2(self._matrix[0, 1], self._matrix[0, 0]))) % 360,
            color=ColorInfo(
                matrix=matrix,
                primaries=stream.codec_context.color_primaries,
                transfer=stream.codec_context.color_trc,
                full_range=_is_full_range(first),
            ),
            frames=stream.frames or round(seconds * rate) or None,
        )


def _is_full_range(frame: av.VideoFrame) -> bool:
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.is_rgb


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
    return np.where(diagonal ^ turned, np.sign(matrix), 0).astype(int)


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
