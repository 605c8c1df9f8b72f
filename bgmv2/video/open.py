"""Which reader and which writer belongs to a path: the only place that decides it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgmv2.config import EncodeConfig, ReadConfig
from bgmv2.errors import OutputError
from bgmv2.types import FrameSource, VideoInfo
from bgmv2.video import formats
from bgmv2.video.carry import Origin
from bgmv2.video.pictures import ImageFolderSink, ImagePatternSink, share
from bgmv2.video.probe import STDIN, is_address, is_file
from bgmv2.video.raw import RawSink
from bgmv2.video.reader import VideoReader
from bgmv2.video.sequence import ImageSequence, is_pattern
from bgmv2.video.sink import Sink
from bgmv2.video.writer import VideoWriter


def open_source(path: str | os.PathLike[str], read: ReadConfig | None = None) -> FrameSource:
    """Open a clip to read from.

    Args:
        path: a clip in any format that FFmpeg reads, an address such as ``rtsp://camera/1``, ``-`` for standard input,
            or numbered pictures: their folder, or a pattern such as ``shot.####.png`` or ``shot.%04d.png``.
        read: which part of it, and how; None for all.

    Returns:
        Its frames.

    Raises:
        VideoError: it is missing, damaged, or no clip.
    """
    return ImageSequence(path, read) if is_sequence(path) else VideoReader(path, read)


def is_rereadable(clip: str | os.PathLike[str]) -> bool:
    """Tell a clip that can be read again, and from anywhere: no standard input, no address."""
    return is_file(clip) or is_sequence(clip)


def is_sequence(path: str | os.PathLike[str]) -> bool:
    """Tell numbered pictures from a clip; a file that is called like a pattern is a clip."""
    if is_address(path) or os.fspath(path) == STDIN:
        return False
    return os.path.isdir(path) or (is_pattern(path) and not os.path.exists(path))


@dataclass(frozen=True)
class Result:
    """One of the results that are to be written.

    Args:
        path: one of `SINKS`; `-` for raw frames on standard output; a pattern such as ``shot.####.exr`` for numbered
            pictures; without a suffix, with a slash at its end, or where a folder is already, a folder of PNG.
        alpha: its frames are RGBA; otherwise RGB or grey.
        layer: its name, if it is a layer of EXR pictures.
        origin: the clip whose sound, subtitles, chapters and metadata are copied, where the format has them.
        kept: what the last `checkpoint` of an earlier run's sink returned, to go on behind it; None begins anew.
    """

    path: str | os.PathLike[str]
    alpha: bool = False
    layer: str = ""
    origin: Origin | None = None
    kept: Mapping[str, Any] | None = None


def open_sink(
    path: str | os.PathLike[str],
    info: VideoInfo,
    *,
    alpha: bool = False,
    encode: EncodeConfig | None = None,
    origin: Origin | None = None,
) -> Sink:
    """Open a result to write to; its name chooses the format.

    Args:
        path: as that of `Result`; so are `alpha` and `origin`.
        info: size, rate, time base and colours of the frames to come.
        alpha: as said.
        encode: codec, quality, speed, and whether an existing result is replaced.
        origin: as said.

    Returns:
        The sink, also a context manager: an exception discards the result, else it is closed.

    Raises:
        OutputError: the suffix is unknown or cannot hold this, or nothing can be written there.
        OutputExistsError: the result is there already.
        VideoError: the clip of `origin` cannot be read.
    """
    ((_, sink),) = open_sinks({"": Result(path, alpha=alpha, origin=origin)}, info, encode=encode)
    return sink


def open_sinks(
    results: Mapping[str, Result], info: VideoInfo, *, encode: EncodeConfig | None = None
) -> Iterator[tuple[str, Sink]]:
    """Open several results; those that name the same EXR pictures become layers of them.

    Args:
        results: by any key.
        info: as for `open_sink`.
        encode: as for `open_sink`.

    Yields:
        Key and sink of each. Enter one before you take the next, so that none is left open when the next fails.

    Raises:
        OutputError, VideoError: as `open_sink`.
    """
    together: dict[object, list[str]] = {}
    for key, result in results.items():
        together.setdefault(Path(result.path).resolve() if holds_layers(result.path) else key, []).append(key)
    for keys in together.values():
        if len(keys) == 1:
            result = results[keys[0]]
            yield keys[0], SINKS[_kind_of(result.path)](result, info, encode or EncodeConfig())
            continue
        picture = next((key for key in keys if results[key].alpha), keys[0])
        sink = ImagePatternSink(results[picture].path, info, encode=encode, kept=results[picture].kept)
        names = ["" if key == picture else results[key].layer for key in keys]
        yield from zip(keys, share(sink, names), strict=True)


def holds_layers(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path names EXR pictures, which several results may share."""
    return is_pattern(path) and Path(path).suffix.lower() == ".exr"


def _kind_of(path: str | os.PathLike[str]) -> str:
    """Return the key of `SINKS` for a path.

    Raises:
        OutputError: its suffix is unknown, or it names one picture.
    """
    if os.fspath(path) == formats.RAW:
        return formats.RAW
    final = Path(path)
    suffix = final.suffix.lower()
    if final.name.lower() in (*formats.CONTAINERS, *formats.PICTURES):
        raise OutputError(f"{final} is a suffix without a name; call it {final.with_name(f'out{final.name}')}")
    if os.fspath(path).endswith(("/", os.sep)) or (final.is_dir() and suffix not in SINKS):
        return ""
    if suffix in formats.PICTURES and not is_pattern(path):
        many = final.with_name(f"{final.stem}.######{final.suffix}")
        raise OutputError(f"{final} names one picture, but a clip has many; number them: {many}, or give a folder")
    if suffix not in SINKS:
        known = ", ".join(formats.CONTAINERS)
        raise OutputError(
            f"{final} has an unknown suffix; use {known}, a pattern such as out.######.exr, "
            f"or a name without suffix for a folder of PNG"
        )
    return suffix


def _video(result: Result, info: VideoInfo, encode: EncodeConfig) -> Sink:
    return VideoWriter(result.path, info, alpha=result.alpha, encode=encode, origin=result.origin, kept=result.kept)


def _pattern(result: Result, info: VideoInfo, encode: EncodeConfig) -> Sink:
    return ImagePatternSink(result.path, info, encode=encode, kept=result.kept)


def _folder(result: Result, info: VideoInfo, encode: EncodeConfig) -> Sink:
    return ImageFolderSink(result.path, info, encode=encode, kept=result.kept)


def _raw(result: Result, info: VideoInfo, encode: EncodeConfig) -> Sink:
    return RawSink(info, encode=encode)


SINKS: dict[str, Callable[[Result, VideoInfo, EncodeConfig], Sink]] = {
    **dict.fromkeys(formats.CONTAINERS, _video),
    **dict.fromkeys(formats.PICTURES, _pattern),
    formats.RAW: _raw,
    "": _folder,
}
