"""Write numbered pictures: a folder of PNG, or a pattern such as ``shot.####.exr`` of PNG, TIFF or EXR."""

from __future__ import annotations

import contextlib
import os
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, DamagedRunError, OutputError, OutputExistsError, VideoError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.exr import import_openexr, write_exr
from bgmv2.video.formats import PICTURES
from bgmv2.video.images import encode_image
from bgmv2.video.sequence import Pattern
from bgmv2.video.sink import ResumableSink, Sink, as_ordered, check_folder, settle


class PictureSink(ResumableSink):
    """Numbered pictures, which grow in a hidden folder and are brought to their final place on `close`.

    Timestamps and sound are not kept.

    Args:
        path: of the result, for messages.
        pattern: names of the pictures.
        info: of the frames to come.
        encode: how transparency is written, and whether earlier pictures are replaced.
        kept: what the last `checkpoint` of an earlier run returned, to go on behind it.

    Raises:
        OutputError: nothing can be written there.
        OutputExistsError: such pictures are there already.
    """

    def __init__(
        self, path: Path, pattern: Pattern, info: VideoInfo, encode: EncodeConfig, kept: Mapping[str, Any] | None
    ) -> None:
        self._pattern = pattern
        self._suffix = Path(pattern.name(0)).suffix.lower()
        self._info = info
        self._encode = encode
        # Frames of the whole clip, and the next one's number, which is lower while a segment is written anew.
        self._count: int = 0 if kept is None else kept.get("frames", 0)
        self._next = self._settled = self._count
        if self._suffix == ".exr":
            import_openexr(path, OutputError)
        if kept is None or not kept.get("whole"):
            self._check(path)
        super().__init__(path, kept)
        self._pictures = self._parts.folder / "pictures"
        with self._reporting():
            if not self._is_whole:
                self._pictures.mkdir(exist_ok=True)
                self._check_kept()

    def _check_kept(self) -> None:
        """Say now, not after hours of work, that pictures of an earlier run are gone."""
        for file in map(self._file, range(self._count)):
            if not file.exists() or not file.stat().st_size:
                raise DamagedRunError(f"{file} is gone: start {self._path.name} anew with --overwrite")

    def write(self, frame: Frame) -> None:
        """Write one frame as a picture.

        Args:
            frame: RGB, straight RGBA or grey, 8 or 16 bits, all of which are kept; EXR holds half floats.

        Raises:
            ValueError: the sink is closed.
            OutputError: the disk is full or fails; what was written since the last checkpoint is removed.
        """
        self.write_layers({"": frame.pixels})

    def write_layers(self, layers: Mapping[str, np.ndarray]) -> None:
        """Write one frame as a picture with layers, which only EXR can hold.

        Args:
            layers: name to pixels; the one without a name is the picture itself.

        Raises:
            ValueError: the sink is closed.
            OutputError: the disk is full or fails; what was written since the last checkpoint is removed.
        """
        if not self._open or self._is_whole:
            raise ValueError("these pictures are closed, so they take no more frames")
        is_again = self._next < self._count
        file = self._file(self._next)
        # A picture that is there stays whole until the new one is.
        target = self._parts.folder / f"again{self._suffix}" if is_again else file
        with self._reporting():
            if self._suffix == ".exr":
                premultiply = self._encode.alpha_mode != "straight"
                write_exr(target, layers, color=self._info.color, aspect=self._info.aspect, premultiply=premultiply)
            else:
                (pixels,) = layers.values()
                target.write_bytes(self._encoded(pixels))
            if is_again:
                settle(target)
                os.replace(target, file)
        self._next += 1
        self._count = max(self._count, self._next)

    def rewrite(self, segment: int, frame: int) -> None:
        """Write pictures anew; see `Sink.rewrite`."""
        self._save()
        self._next = self._settled = frame

    def finish(self) -> dict[str, Any]:
        """Make the pictures whole, in all but their place; see `ResumableSink.finish`."""
        return {**super().finish(), "frames": self._count}

    def _save(self) -> dict[str, Any]:
        for index in range(self._settled, self._next):
            settle(self._file(index))
        settle(self._pictures)
        self._settled = self._next
        return {"frames": self._count}

    def _complete(self) -> None:
        if not self._count:
            raise OutputError(f"{self._path} was not written: there was no frame to put into it")
        self._save()
        # What a run that was ended had written behind its last checkpoint.
        for file in self._pictures.iterdir():
            if self._pattern.number(file.name) not in self._numbers:
                file.unlink()

    def _publish(self) -> None:
        if self._pictures.exists():
            self._bring()

    def _release(self) -> None:
        pass

    @property
    def _numbers(self) -> range:
        return range(self._info.number, self._info.number + self._count)

    @abstractmethod
    def _check(self, path: Path) -> None:
        """Raise if pictures of this path could not be brought to their place now."""

    @abstractmethod
    def _bring(self) -> None:
        """Bring them to their place; goes on where a run was ended that had begun with it."""

    def _file(self, index: int) -> Path:
        return self._pictures / self._pattern.name(self._info.number + index)

    def _encoded(self, pixels: np.ndarray) -> bytes:
        is_premultiplied = self._encode.alpha_mode == "premultiplied"
        return encode_image(self._suffix, as_ordered(pixels, self._encode), premultiplied=is_premultiplied)


class ImageFolderSink(PictureSink):
    """A folder of numbered PNG, ``000000.png``, ``000001.png`` and so on, which takes its name when whole.

    Args:
        path: the folder; an empty one that is there already is used.
        info: of the frames to come.
        encode: how transparency is written, and whether to replace a folder that holds nothing but such numbered PNG.
            No other folder is ever replaced.
        kept: as that of `PictureSink`.

    Raises:
        OutputError: nothing can be written there, or it holds other files.
        OutputExistsError: it holds numbered PNG already.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        encode: EncodeConfig | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        folder = Path(path).absolute()
        super().__init__(folder, Pattern(folder, "", 6, ".png"), info, encode or EncodeConfig(), kept)

    def _check(self, path: Path) -> None:
        folder = path
        check_folder(folder)
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputError(f"{folder} is a file, but a folder of PNG would be written; choose another name")
        names = os.listdir(folder)
        stranger = next((name for name in names if self._pattern.number(name) is None), None)
        if stranger is not None:
            raise OutputError(f"{folder} holds other files, such as {stranger}; choose a new or an empty folder")
        if names and not self._encode.overwrite:
            raise OutputExistsError(f"{folder} is there already; choose another name, or allow --overwrite")

    def _bring(self) -> None:
        self._check(self._path)
        old = self._parts.folder / "earlier"
        if self._path.exists():
            self._path.rename(old)
        try:
            self._pictures.rename(self._path)
        except OSError:
            if old.exists():
                old.rename(self._path)
            raise


class ImagePatternSink(PictureSink):
    """Numbered pictures by a pattern, ``out/shot.####.exr`` or ``out/shot.%04d.exr``, beside whatever else is there.

    The folder is made if it is missing. On `close` all pictures come out of a hidden one in it, one by one.

    Args:
        path: the pattern; its suffix is one of `formats.PICTURES`.
        info: of the frames to come.
        encode: how transparency is written, and whether pictures of these numbers are replaced; others stay.
        kept: as that of `PictureSink`.

    Raises:
        OutputError: nothing can be written there, the pattern has not one place for the number, or the package for EXR
            is missing.
        OutputExistsError: there is a picture of such a name already.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        info: VideoInfo,
        *,
        encode: EncodeConfig | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        path = Path(path).absolute()
        if path.suffix.lower() not in PICTURES:
            raise OutputError(f"{path} is no pattern of pictures; use one of {', '.join(PICTURES)} at its end")
        try:
            pattern = Pattern.of(path)
        except VideoError as error:
            raise OutputError(str(error)) from error
        self._is_new = not pattern.folder.exists()
        super().__init__(path, pattern, info, encode or EncodeConfig(), kept)

    def _check(self, path: Path) -> None:
        folder = self._pattern.folder
        check_folder(path if folder.exists() else folder)
        there = next(iter(self._pattern.found().values()), None)
        if there is not None and not self._encode.overwrite:
            raise OutputExistsError(f"{there} is there already; choose another name, or allow --overwrite")

    def _bring(self) -> None:
        files = list(self._pictures.iterdir())
        if len(files) == self._count:  # else an earlier run has begun with it, and what is there is ours
            self._check(self._path)
        for file in files:
            os.replace(file, self._pattern.folder / file.name)
        others = [file for number, file in self._pattern.found().items() if number not in self._numbers]
        if others:
            warnings.warn(
                f"{len(others)} other pictures of {self._path.name} stay as they were, such as {others[0].name}: "
                f"remove them if they belong to an earlier run",
                Bgmv2Warning,
                stacklevel=2,
            )

    def discard(self) -> None:
        """Discard them; see `Sink.discard`. The folder goes, too, if it was made for them."""
        super().discard()
        if self._is_new:
            with contextlib.suppress(OSError):  # pictures or others' files lie in it
                self._pattern.folder.rmdir()


class Layer(Sink):
    """One layer of EXR pictures that several results share; a picture is written when all its layers are there.

    Args:
        shared: what the layers have in common.
        name: of this layer; empty for the picture itself.
    """

    def __init__(self, shared: _Layers, name: str) -> None:
        self._shared = shared
        self._name = name

    def write(self, frame: Frame) -> None:
        """Add one frame of this layer; arguments and errors as those of `PictureSink.write`."""
        self._shared.add(self._name, frame.pixels)

    def checkpoint(self) -> dict[str, Any]:
        """Bring all layers to the disk; see `Sink.checkpoint`."""
        return self._shared.sink.checkpoint()

    def rewrite(self, segment: int, frame: int) -> None:
        """Write all layers of some frames anew; see `Sink.rewrite`."""
        self._shared.sink.rewrite(segment, frame)

    def finish(self) -> dict[str, Any]:
        """Make the pictures whole; see `Sink.finish`."""
        return self._shared.sink.finish()

    def close(self) -> None:
        """Finish this layer; with the last one the pictures come to their place, as by `PictureSink.close`."""
        self._shared.close(self._name)

    def discard(self) -> None:
        """Remove all layers; does nothing after the last one is closed."""
        self._shared.sink.discard()


class _Layers:
    def __init__(self, sink: PictureSink, names: Sequence[str]) -> None:
        self.sink = sink
        self._waiting: dict[str, np.ndarray | None] = dict.fromkeys(names)
        self._unfinished = set(names)

    def add(self, name: str, pixels: np.ndarray) -> None:
        self._waiting[name] = pixels
        layers = {name: layer for name, layer in self._waiting.items() if layer is not None}
        if len(layers) == len(self._waiting):
            self.sink.write_layers(layers)
            self._waiting = dict.fromkeys(self._waiting)

    def close(self, name: str) -> None:
        self._unfinished.discard(name)
        if not self._unfinished:
            self.sink.close()


def share(sink: PictureSink, names: Sequence[str]) -> list[Layer]:
    """Let several results write into the same EXR pictures.

    Args:
        sink: of EXR pictures.
        names: of the layers, one for each result; the empty one is the picture itself.

    Returns:
        A sink for each name.
    """
    layers = _Layers(sink, names)
    return [Layer(layers, name) for name in names]
