"""Carry the sound of a clip over to its result, untouched."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video.probe import open_input


class SoundCopy:
    """Copies the packets of all audio streams of a clip into a container, a little at a time.

    Sound and picture keep the time they have in the source, so they stay together as they were. A stream that the
    container cannot hold is left out with one warning.

    Args:
        path: the clip whose sound is copied.
        output: the container to copy it to; it has not begun to write yet.
        name: of the result, for the warning.

    Raises:
        VideoError: the clip cannot be read.
    """

    def __init__(self, path: Path, output: OutputContainer, *, name: Path) -> None:
        self._path = path
        self._output = output
        self._input = open_input(path)
        # Source stream index -> stream of the result.
        self._copies: dict[int, AudioStream] = {}
        left_out = []
        for stream in self._input.streams.audio:
            if _can_hold(output.format.name, stream):
                self._copies[stream.index] = output.add_stream_from_template(stream)
            else:
                left_out.append(_codec_of(stream))
        if left_out:
            warnings.warn(
                f"{name.name} goes without the sound of {path.name}: {name.suffix} cannot hold {', '.join(left_out)}; "
                f"convert it to {'Opus' if name.suffix.lower() == '.webm' else 'AAC'} first to keep it",
                Bgmv2Warning,
                stacklevel=4,
            )
        self._packets = self._read()
        self._next = next(self._packets, None)

    def copy(self, until: Fraction | None = None) -> None:
        """Copy on.

        Args:
            until: up to this decoding time, in seconds of the source; None copies all that is left.

        Raises:
            VideoError: the sound is damaged.
            FFmpegError: the container cannot be written to.
        """
        while self._next is not None:
            packet = self._next
            assert packet.dts is not None
            if until is not None and packet.dts * packet.time_base > until:
                return
            self._next = next(self._packets, None)
            packet.stream = self._copies[packet.stream.index]
            self._output.mux(packet)

    def close(self) -> None:
        """Release the source; may be called twice."""
        self._packets.close()
        self._input.close()

    def _read(self) -> Generator[Packet, None, None]:
        streams = [stream for stream in self._input.streams.audio if stream.index in self._copies]
        if not streams:
            return
        last: dict[int, int] = {}
        try:
            for packet in self._input.demux(streams):
                # A time that does not advance belongs to a damaged packet; no container takes it.
                if packet.dts is None or packet.dts <= last.get(packet.stream.index, packet.dts - 1):
                    continue
                last[packet.stream.index] = packet.dts
                yield packet
        except av.error.FFmpegError as error:
            raise VideoError(
                f"the sound of {self._path} is damaged ({error.strerror}); export it again, or go without its sound"
            ) from error


def _can_hold(container: str, stream: AudioStream) -> bool:
    """Tell by trial, in memory, whether a container takes a stream; its list of codecs knows only half of it."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _codec_of(stream: AudioStream) -> str:
    return "an unknown codec" if stream.codec_context is None else stream.codec_context.name.upper()
