"""Results are written beside their final name and renamed when whole, so a half-written one never bears the name."""

from __future__ import annotations

import errno
import os
import secrets
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.types import Frame

if TYPE_CHECKING:
    from typing_extensions import Self


def check_folder(path: Path) -> None:
    """Say now, not after hours of work, that nothing can be written beside `path`.

    Args:
        path: the result's final name.

    Raises:
        OutputError: its folder is not there, is no folder, or may not be written to.
    """
    folder = path.parent
    if not folder.exists():
        raise OutputError(f"there is no folder {folder}; create it, or choose another place for {path.name}")
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, so {path.name} cannot be written into it; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"you may not write into {folder}; choose another place for {path.name}")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Say now, not after hours of work, that a file cannot be written.

    Args:
        path: the file's final name.
        overwrite: an existing file may be replaced.

    Raises:
        OutputError: its folder is not there or may not be written to, or `path` is a folder.
        OutputExistsError: the file is there already.
    """
    check_folder(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file, such as {path / ('out' + path.suffix)}")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"{path} is there already; choose another name, or allow --overwrite")


def beside(path: Path) -> Path:
    """Return a hidden name in the folder of `path`, with its suffix, that nobody else uses."""
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")


def cannot_write(path: Path | str, error: Exception) -> OutputError:
    """Tell a person that writing failed.

    Args:
        path: the result's final name.
        error: what the system or FFmpeg raised.

    Returns:
        The error to raise.
    """
    reason = getattr(error, "strerror", None) or str(error)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    advice = "make room or choose another place" if full else "choose another place or another format"
    return OutputError(f"{path} cannot be written: {reason}; {advice}")


def as_ordered(pixels: np.ndarray, encode: EncodeConfig) -> np.ndarray:
    """Multiply straight colours by their alpha if that was ordered, on the code values, as editors do it.

    Args:
        pixels: ``(H, W, 4)`` straight RGBA, or another number of channels, which have no alpha; uint8 or uint16.
        encode: its `alpha_mode` counts.

    Returns:
        Of the same shape and type, each value to the nearest; the array itself if nothing changes.
    """
    if encode.alpha_mode != "premultiplied" or pixels.shape[2:] != (4,):
        return pixels
    top = int(np.iinfo(pixels.dtype).max)
    result = pixels.copy()
    product = pixels[..., :3].astype(np.uint32) * pixels[..., 3:]
    result[..., :3] = (product + top // 2) // top
    return result


class Sink(ABC):
    """A `FrameSink` that is also a context manager: an exception discards the result, else it is closed."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Add one frame."""

    @abstractmethod
    def close(self) -> None:
        """Finish, and give the result its final name; does nothing the second time."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written so far; does nothing after `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()
