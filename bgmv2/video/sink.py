"""Results grow in a hidden folder beside their final name, which they take when whole, so no half-written one bears it.

What lies in that folder at a checkpoint survives whatever ends the process, and a later run can go on behind it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av.error
import cv2
import numpy as np
from filelock import FileLock, Timeout

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.types import Frame

if TYPE_CHECKING:
    from typing_extensions import Self


# Most systems allow 255 bytes in a name. So many leave room for what is added to it; so many characters do in any case.
_LONG, _SHORT = 240, 50
# What libraries raise when the disk or an encoder fails.
DISK_ERRORS = (av.error.FFmpegError, cv2.error, OSError)


def check_folder(path: Path) -> None:
    """Say now, not after hours of work, that nothing can be written beside `path`.

    Args:
        path: the result's final name.

    Raises:
        OutputError: its folder is not there, is no folder, or may not be written to, or its name is too long.
    """
    folder = path.parent
    if not folder.exists():
        raise OutputError(f"there is no folder {folder}; create it, or choose another place for {path.name}")
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file, so {path.name} cannot be written into it; choose another place")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"you may not write into {folder}; choose another place for {path.name}")
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except OSError as error:  # the name is too long
        raise cannot_write(path, error) from error


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
    return path.with_name(f".{path.stem[:_SHORT]}-{secrets.token_hex(4)}{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a hidden name beside `path` for a small file; what is written there takes the place of `path` when whole.

    If the block fails, `path` stays as it is, and nothing lies beside it.

    Raises:
        OutputError: the disk or an encoder fails.
    """
    temporary = beside(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OutputError:  # says all there is to say already
        raise
    except DISK_ERRORS as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def parts_of(path: Path) -> Path:
    """Return the hidden folder in which a result of this name grows; a long name's has a shorter one."""
    name = os.fsencode(path.name)
    shown = path.name if len(name) <= _LONG else f"{path.name[:_SHORT]}-{hashlib.sha256(name).hexdigest()[:16]}"
    return path.with_name(f".{shown}.parts")


def settle(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk itself, so that a power cut does not take them back.

    Raises:
        OSError: the disk fails.
    """
    if os.name == "nt" and path.is_dir():  # Windows settles folders by itself
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Parts:
    """The hidden folder in which one result grows; one process at a time has it.

    Args:
        path: the result's final name.
        kept: an earlier run's parts are gone on with; otherwise they are removed.

    Attributes:
        folder: to write into.

    Raises:
        OutputError: another process writes this result, the folder is somebody else's, or cannot be made.
    """

    def __init__(self, path: Path, *, kept: bool) -> None:
        self.folder = parts_of(path)
        self._waste = self.folder.with_name(f"{self.folder.name}.old")
        self._lock = FileLock(self.folder / "lock")
        try:
            if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / "lock").exists():
                raise OutputError(f"{self.folder} is not of bgmv2, but parts of {path.name} would go there; move it")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            shutil.rmtree(self._waste, ignore_errors=True)
            if not kept:
                self._clear()
        except Timeout as error:
            raise OutputError(f"another run is writing {path}; wait for it, or choose another name") from error
        except OutputError:
            raise
        except OSError as error:
            raise cannot_write(path, error) from error

    def release(self) -> None:
        """Let another process go on; may be called twice."""
        self._lock.release()

    def remove(self) -> None:
        """Remove the folder and all in it; may be called twice."""
        if self._lock.is_locked:
            self.release()
            # Gone at once, so that what is left if a process ends here is not taken for an unfinished run.
            with contextlib.suppress(OSError):
                self.folder.rename(self._waste)
            shutil.rmtree(self._waste, ignore_errors=True)

    @classmethod
    def sweep(cls, path: Path) -> None:
        """Remove what a run left that ended before it could be gone on with, unless another process has it.

        Args:
            path: the result's final name.
        """
        if parts_of(path).exists():
            with contextlib.suppress(OutputError):
                cls(path, kept=True).remove()

    def _clear(self) -> None:
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()


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
    """A `FrameSink` that is also a context manager: an exception discards the result, else it is closed.

    A sink whose `checkpoint` was called can be gone on with: what that returned is given to a new sink as `kept`.
    """

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Add one frame."""

    def checkpoint(self) -> dict[str, Any]:
        """Bring to the disk what was written so far.

        Returns:
            What a sink needs to go on behind it; goes through JSON.
        """
        return {}

    def rewrite(self, segment: int, frame: int) -> None:
        """Go back to what was written between two checkpoints; what is written next, up to a checkpoint, replaces it.

        Args:
            segment: number of checkpoints before it.
            frame: number of frames before it.
        """
        raise NotImplementedError

    def finish(self) -> dict[str, Any]:
        """Make the result whole, in all but its name; does nothing the second time.

        Returns:
            What a sink needs to give it its name, as that of `checkpoint`.
        """
        return {}

    @abstractmethod
    def close(self) -> None:
        """Finish, and give the result its final name; does nothing the second time."""

    @abstractmethod
    def discard(self) -> None:
        """Remove what was written since the last checkpoint, and all if there was none; does nothing after `close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()


class ResumableSink(Sink):
    """A sink that grows in `Parts`.

    Args:
        path: the result's final name.
        kept: what the last checkpoint of an earlier run returned; None begins anew.

    Raises:
        OutputError: as `Parts`.
    """

    def __init__(self, path: Path, kept: Mapping[str, Any] | None) -> None:
        self._path = path
        self._parts = Parts(path, kept=kept is not None)
        self._is_kept = kept is not None  # something lies there that must survive an error
        self._is_whole = kept is not None and bool(kept.get("whole"))
        self._open = True

    def checkpoint(self) -> dict[str, Any]:
        """Bring to the disk what was written so far; returns and raises as `Sink.checkpoint` and `write`."""
        with self._reporting():
            kept = self._save()
            settle(self._parts.folder)
        self._is_kept = True
        return kept

    def finish(self) -> dict[str, Any]:
        """Make the result whole, in all but its name; does nothing the second time.

        Raises:
            OutputError: no frame was written, the disk is full or fails.
            VideoError: what should be carried over from the clip is damaged.
        """
        if not self._is_whole:
            with self._reporting():
                self._complete()
                settle(self._parts.folder)
            self._is_whole = True
        return {"whole": True}

    def close(self) -> None:
        """Finish, and give the result its final name; does nothing the second time.

        Raises:
            OutputError: no frame was written, the disk is full or fails; as `finish`.
            OutputExistsError: something of that name has appeared meanwhile.
        """
        if not self._open:
            return
        self.finish()
        with self._reporting():
            self._publish()
            settle(self._path.parent)
        self._open = False
        self._parts.remove()

    def discard(self) -> None:
        """Remove what was written since the last checkpoint, and all if there was none; does nothing after `close`."""
        if not self._open:
            return
        self._open = False
        self._release()
        if self._is_kept:
            self._parts.release()
        else:
            self._parts.remove()

    @abstractmethod
    def _save(self) -> dict[str, Any]:
        """Bring to the disk what was written so far; what `checkpoint` returns."""

    @abstractmethod
    def _complete(self) -> None:
        """Make the result whole in its parts."""

    @abstractmethod
    def _publish(self) -> None:
        """Give the result its name; does nothing if a run did that and was ended before it could say so."""

    @abstractmethod
    def _release(self) -> None:
        """Close what is open; may be called twice."""

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Discard on any error, and tell errors of the disk and the encoder in one line."""
        try:
            yield
        except BaseException as error:
            self.discard()
            if isinstance(error, DISK_ERRORS) and not isinstance(error, OutputError):
                raise cannot_write(self._path, error) from error
            raise
