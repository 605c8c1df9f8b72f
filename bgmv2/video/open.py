"""Which reader and which writer belongs to a path: the only place that decides it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import FrameSource, VideoInfo
from bgmv2.video.images import ImageFolderSink
from bgmv2.video.reader import VideoReader
from bgmv2.video.sink import Sink
from bgmv2.video.writer import SUFFIXES, VideoWriter


def open_source(path: str | os.PathLike[str]) -> FrameSource:
    """Open a clip to read from.

    Args:
        path: a clip in any format that FFmpeg reads.

    Returns:
        Its frames.

    Raises:
        VideoError: it is missing, damaged, or no clip.
    """
    return VideoReader(path)


def open_sink(
    path: str | os.PathLike[str],
    info: VideoInfo,
    *,
    alpha: bool = False,
    encode: EncodeConfig | None = None,
    audio_from: str | os.PathLike[str] | None = None,
) -> Sink:
    """Open a result to write to; its suffix chooses the format.

    Args:
        path: one of `SINKS`; without a suffix, with a slash at its end, or where a folder is already, a folder of PNG.
        info: size, rate, time base and colours of the frames to come.
        alpha: the frames are RGBA; otherwise RGB or grey.
        encode: quality, speed, and whether an existing result is replaced.
        audio_from: a clip whose sound is copied, where the format has sound.

    Returns:
        The sink, also a context manager: an exception discards the result, else it is closed.

    Raises:
        OutputError: the suffix is unknown or cannot hold this, or nothing can be written there.
        OutputExistsError: the result is there already.
        VideoError: `audio_from` cannot be read.
    """
    final = Path(path)
    is_folder = os.fspath(path).endswith(("/", os.sep)) or (final.is_dir() and final.suffix.lower() not in SINKS)
    suffix = "" if is_folder else final.suffix.lower()
    if suffix not in SINKS:
        known = ", ".join(filter(None, SINKS))
        raise OutputError(f"{final} has an unknown suffix; use {known}, or a name without suffix for a folder of PNG")
    return SINKS[suffix](final, info, alpha, encode or EncodeConfig(), audio_from)


_Audio = str | os.PathLike[str] | None


def _video(path: Path, info: VideoInfo, alpha: bool, encode: EncodeConfig, audio_from: _Audio) -> Sink:
    return VideoWriter(path, info, alpha=alpha, encode=encode, audio_from=audio_from)


def _folder(path: Path, info: VideoInfo, alpha: bool, encode: EncodeConfig, audio_from: _Audio) -> Sink:
    return ImageFolderSink(path, overwrite=encode.overwrite)


SINKS: dict[str, Callable[[Path, VideoInfo, bool, EncodeConfig, _Audio], Sink]] = {
    **dict.fromkeys(SUFFIXES, _video),
    "": _folder,
}
