"""Write numbered pictures: a folder of PNG, or a pattern such as ``shot.####.exr`` of PNG, TIFF or EXR."""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError, OutputExistsError, VideoError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.exr import import_openexr, write_exr
from bgmv2.video.formats import PICTURES
from bgmv2.video.images import encode_image
from bgmv2.video.sequence import Pattern
from bgmv2.video.sink import Sink, as_ordered, beside, cannot_write, check_folder


class PictureSink(Sink):
    """Numbered pictures, written into a hidden folder and brought to their final place on `close`.

    Timestamps and sound are not kept.

    Args:
        path: of the result, for messages.
        pattern: names of the pictures.
        info: of the frames to come.
        encode: how transparency is written, and whether earlier pictures are replaced.

    Raises:
        OutputError: nothing can be written there.
        OutputExistsError: such pictures are there already.
    """

    def __init__(self, path: Path, pattern: Pattern, info: VideoInfo, encode: EncodeConfig) -> None:
        self._path = path
        self._pattern = pattern
        self._suffix = Path(pattern.name(0)).suffix.lower()
        self._info = info
        self._encode = encode
        self._count = 0
        self._open = True
        if self._suffix == ".exr":
            import_openexr(path, OutputError)
        self._check()
        # Beside the folder, or in it if other things lie there, which may be on another disk than the folder above.
        self._temporary = self._hidden()
        try:
            self._temporary.mkdir()
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, frame: Frame) -> None:
        """Write one frame as a picture.

        Args:
            frame: RGB, straight RGBA or grey, 8 or 16 bits, all of which are kept; EXR holds half floats.

        Raises:
            ValueError: the sink is closed.
            OutputError: the disk is full or fails; nothing is left behind.
        """
        self.write_layers({"": frame.pixels})

    def write_layers(self, layers: Mapping[str, np.ndarray]) -> None:
        """Write one frame as a picture with layers, which only EXR can hold.

        Args:
            layers: name to pixels; the one without a name is the picture itself.

        Raises:
            ValueError: the sink is closed.
            OutputError: the disk is full or fails; nothing is left behind.
        """
        if not self._open:
            raise ValueError("these pictures are closed, so they take no more frames")
        file = self._temporary / self._pattern.name(self._info.number + self._count)
        try:
            if self._suffix == ".exr":
                premultiply = self._encode.alpha_mode != "straight"
                write_exr(file, layers, color=self._info.color, aspect=self._info.aspect, premultiply=premultiply)
            else:
                (pixels,) = layers.values()
                file.write_bytes(self._encoded(pixels))
        except (OSError, cv2.error) as error:
            self.discard()
            raise cannot_write(self._path, error) from error
        self._count += 1

    def close(self) -> None:
        """Bring the pictures to their place; does nothing the second time.

        Raises:
            OutputError: no frame was written, or the pictures cannot be moved; nothing is left behind.
            OutputExistsError: pictures of these names have appeared meanwhile.
        """
        if not self._open:
            return
        try:
            if not self._count:
                raise OutputError(f"{self._path} was not written: there was no frame to put into it")
            self._check()
            self._publish()
        except OutputError:
            self.discard()
            raise
        except OSError as error:
            self.discard()
            raise cannot_write(self._path, error) from error
        self._open = False

    def discard(self) -> None:
        """Remove what was written so far; does nothing after `close`."""
        if self._open:
            self._open = False
            shutil.rmtree(self._temporary, ignore_errors=True)

    @abstractmethod
    def _check(self) -> None:
        """Raise if the pictures could not be brought to their place now."""

    @abstractmethod
    def _hidden(self) -> Path:
        """Choose where they are written first."""

    @abstractmethod
    def _publish(self) -> None:
        """Bring them to their place."""

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

    Raises:
        OutputError: nothing can be written there, or it holds other files.
        OutputExistsError: it holds numbered PNG already.
    """

    def __init__(self, path: str | os.PathLike[str], info: VideoInfo, *, encode: EncodeConfig | None = None) -> None:
        folder = Path(path).absolute()
        super().__init__(folder, Pattern(folder, "", 6, ".png"), info, encode or EncodeConfig())

    def _check(self) -> None:
        folder = self._path
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

    def _hidden(self) -> Path:
        return beside(self._path)

    def _publish(self) -> None:
        if not self._path.exists():
            self._temporary.rename(self._path)
            return
        old = beside(self._path)
        self._path.rename(old)
        try:
            self._temporary.rename(self._path)
        except OSError:
            old.rename(self._path)
            raise
        shutil.rmtree(old)


class ImagePatternSink(PictureSink):
    """Numbered pictures by a pattern, ``out/shot.####.exr`` or ``out/shot.%04d.exr``, beside whatever else is there.

    The folder is made if it is missing. On `close` all pictures are moved into it, one by one.

    Args:
        path: the pattern; its suffix is one of `formats.PICTURES`.
        info: of the frames to come.
        encode: how transparency is written, and whether pictures of these names are replaced, all of them.

    Raises:
        OutputError: nothing can be written there, the pattern has not one place for the number, or the package for EXR
            is missing.
        OutputExistsError: there is a picture of such a name already.
    """

    def __init__(self, path: str | os.PathLike[str], info: VideoInfo, *, encode: EncodeConfig | None = None) -> None:
        path = Path(path).absolute()
        if path.suffix.lower() not in PICTURES:
            raise OutputError(f"{path} is no pattern of pictures; use one of {', '.join(PICTURES)} at its end")
        try:
            pattern = Pattern.of(path)
        except VideoError as error:
            raise OutputError(str(error)) from error
        super().__init__(path, pattern, info, encode or EncodeConfig())

    def _check(self) -> None:
        folder = self._pattern.folder
        check_folder(self._path if folder.exists() else folder)
        there = next(iter(self._pattern.found().values()), None)
        if there is not None and not self._encode.overwrite:
            raise OutputExistsError(f"{there} is there already; choose another name, or allow --overwrite")

    def _hidden(self) -> Path:
        folder = self._pattern.folder
        return beside(self._path.with_suffix("")) if folder.exists() else beside(folder)

    def _publish(self) -> None:
        folder = self._pattern.folder
        if not folder.exists():
            self._temporary.rename(folder)
            return
        earlier = self._pattern.found()
        for file in self._temporary.iterdir():
            number = self._pattern.number(file.name)
            assert number is not None
            os.replace(file, folder / file.name)
            earlier.pop(number, None)
        for file in earlier.values():
            file.unlink()
        self._temporary.rmdir()


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
