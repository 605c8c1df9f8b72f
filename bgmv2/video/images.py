"""Single pictures, and folders of numbered PNG."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from bgmv2.errors import OutputError, OutputExistsError, VideoError
from bgmv2.types import Frame
from bgmv2.video.probe import check_readable, is_boxed_picture, kind_of
from bgmv2.video.sink import Sink, beside, cannot_write, check_file, check_folder

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]
# OpenCV's WebP is lossless and its TIFF is compressed without loss, unless told otherwise.
_WRITTEN: dict[str, list[int]] = {".png": [], ".jpg": _JPEG, ".jpeg": _JPEG, ".tif": [], ".tiff": [], ".webp": []}
_DEEP = (".png", ".tif", ".tiff")
_OPAQUE_ONLY = (".jpg", ".jpeg")
SUFFIXES = tuple(_WRITTEN)
_LISTED = (*_WRITTEN, ".bmp", ".avif", ".jp2", ".ppm")

_NUMBERED = re.compile(r"\d{6,}\.png")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture, upright and in RGB.

    Args:
        path: a picture in any format that OpenCV reads. Its orientation tag is obeyed, grey becomes RGB, and
            transparency is dropped without blending.

    Returns:
        ``(H, W, 3)``, uint8 or uint16, full range.

    Raises:
        VideoError: there is no picture there, or it cannot be read.
    """
    path = Path(path)
    check_readable(path, wanted="picture")
    try:
        with _quiet():
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise VideoError(f"{path} cannot be read: {error.err or 'it is too large'}; save it again as PNG") from error
    if pixels is None:
        raise VideoError(f"{path} {_why_no_picture(path)}")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise VideoError(f"{path} holds {pixels.dtype} values; save it as PNG or TIFF with 8 or 16 bits")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def write_image(path: str | os.PathLike[str], pixels: np.ndarray, *, overwrite: bool = False) -> None:
    """Write a picture, so that it stands under its name only when whole.

    Args:
        path: .png, .tif and .webp keep every value, .jpg nearly; .png and .tif keep 16 bits, the others round to 8.
        pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` straight RGBA or ``(H, W)`` grey; uint8 or uint16.
        overwrite: replace a picture that is there already.

    Raises:
        ValueError: the array has another shape or type.
        OutputError: the format cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
    """
    path = Path(path)
    pixels = Frame(pixels).pixels
    check_image(path, alpha=pixels.shape[2:] == (4,), overwrite=overwrite)
    if path.suffix.lower() not in _DEEP and pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    temporary = beside(path)
    try:
        temporary.write_bytes(_encode(path.suffix.lower(), pixels))
        os.replace(temporary, path)
    except (OSError, cv2.error) as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_image(path: str | os.PathLike[str], *, alpha: bool = False, overwrite: bool = False) -> None:
    """Say now, not after hours of work, that a picture cannot be written.

    Args:
        path: the picture's final name.
        alpha: it will be RGBA; otherwise RGB or grey.
        overwrite: an existing picture may be replaced.

    Raises:
        OutputError: the format cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITTEN:
        raise OutputError(f"{path} has no suffix of a picture; use one of {', '.join(_WRITTEN)}")
    if alpha and suffix in _OPAQUE_ONLY:
        raise OutputError(f"{suffix} holds no transparency; use .png, .tif or .webp for {path.stem}")
    check_file(path, overwrite=overwrite)


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the pictures of a folder as a person counts them: ``2.png`` before ``10.png``.

    Args:
        folder: looked at without its sub-folders; hidden files and other kinds of files are passed over.

    Returns:
        At least one path.

    Raises:
        VideoError: there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError(f"there is no folder {folder}; check the name")
    found = [p for p in folder.iterdir() if p.suffix.lower() in _LISTED and p.is_file() and p.name[0] != "."]
    if not found:
        raise VideoError(f"there is no picture in {folder}; put PNG, JPEG, TIFF or WebP files there")
    return sorted(found, key=lambda p: [(int(s), "") if s.isdecimal() else (-1, s) for s in re.split(r"(\d+)", p.name)])


class ImageFolderSink(Sink):
    """A folder of numbered PNG: ``000000.png``, ``000001.png`` and so on.

    It is written beside its final name, which it takes on `close`. Timestamps and sound are not kept.

    Args:
        path: the folder; an empty one that is there already is used.
        overwrite: replace a folder that holds nothing but such numbered PNG. No other folder is ever replaced.

    Raises:
        OutputError: nothing can be written there, or it holds other files.
        OutputExistsError: it holds numbered PNG already.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self._path = Path(path).absolute()
        self._overwrite = overwrite
        check_folder(self._path)
        self._check_replaceable()
        self._temporary = beside(self._path)
        self._count = 0
        self._open = True
        try:
            self._temporary.mkdir()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def write(self, frame: Frame) -> None:
        """Write one frame as a picture.

        Args:
            frame: RGB, RGBA or grey, 8 or 16 bits, all of which PNG keeps.

        Raises:
            ValueError: the sink is closed.
            OutputError: the disk is full or fails; nothing is left behind.
        """
        if not self._open:
            raise ValueError("this folder is closed, so it takes no more frames")
        try:
            (self._temporary / f"{self._count:06d}.png").write_bytes(_encode(".png", frame.pixels))
        except (OSError, cv2.error) as error:
            self.discard()
            raise cannot_write(self._path, error) from error
        self._count += 1

    def close(self) -> None:
        """Give the folder its name; does nothing the second time.

        Raises:
            OutputError: no frame was written, or the folder cannot be renamed; nothing is left behind.
            OutputExistsError: a folder of that name has been filled meanwhile.
        """
        if not self._open:
            return
        try:
            if not self._count:
                raise OutputError(f"{self._path} was not written: there was no frame to put into it")
            self._check_replaceable()
            if self._path.exists():
                old = beside(self._path)
                self._path.rename(old)
                try:
                    self._temporary.rename(self._path)
                except OSError:
                    old.rename(self._path)
                    raise
                shutil.rmtree(old)
            else:
                self._temporary.rename(self._path)
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

    def _check_replaceable(self) -> None:
        if not self._path.exists():
            return
        if not self._path.is_dir():
            raise OutputError(f"{self._path} is a file, but a folder of PNG would be written; choose another name")
        names = os.listdir(self._path)
        stranger = next((name for name in names if not _NUMBERED.fullmatch(name)), None)
        if stranger is not None:
            raise OutputError(f"{self._path} holds other files, such as {stranger}; choose a new or an empty folder")
        if names and not self._overwrite:
            raise OutputExistsError(f"{self._path} is there already; choose another name, or allow --overwrite")


def _encode(suffix: str, pixels: np.ndarray) -> bytes:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    whole, data = cv2.imencode(suffix, pixels, _WRITTEN[suffix])
    if not whole:
        raise OSError(f"OpenCV cannot encode {suffix}")
    return data.tobytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the C libraries behind OpenCV from writing to stderr past Python; what is wrong is told by an exception."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed, as in a service
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _why_no_picture(path: Path) -> str:
    """Finish the sentence that begins with the name of a file that is no picture."""
    kind = None
    with contextlib.suppress(VideoError):
        kind = "picture" if is_boxed_picture(path) else kind_of(path)
    if kind == "video":
        return "is a video, but a picture is needed here; save one of its frames as PNG, or take bgmv2 convert"
    if kind == "sound":
        return "is a sound, but a picture is needed here; give a PNG or JPEG"
    return "cannot be read as a picture: it is damaged or of an unknown kind; save it again as PNG or JPEG"
