"""What is kept of a conversion until it is done, so that a run that was killed can be gone on with."""

from __future__ import annotations

import hashlib
import json
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import safetensors.torch
import torch

from bgmv2 import fingerprint
from bgmv2.errors import Bgmv2Warning, DamagedRunError, OutputError, OutputExistsError
from bgmv2.video.images import list_images
from bgmv2.video.open import is_sequence
from bgmv2.video.probe import is_file
from bgmv2.video.sequence import Pattern, is_pattern
from bgmv2.video.sink import Parts, cannot_write, parts_of, settle

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
_NAME = "job.json"
_FIRST = "mark-000000.json"
_TENSORS = ".safetensors"


@dataclass(frozen=True)
class Mark:
    """How far a conversion has come; all of it goes through JSON.

    Args:
        frames: written to each result.
        sinks: what each result's sink said at its checkpoint, by role.
        aligner: `Aligner.state` after the last of these frames.
        start: when the first frame of the clip is shown, in seconds.
        whole: all frames are written, and the results want nothing but their names.
        repaired: segments that were written anew.
        repaired_frames: frames in them that were matted again.
        plate: of one that was made of the clip: `said`, how, and `content`, the fingerprint of its file.
        kept: name of the file of tensors that belong to this mark; empty if there are none.
    """

    frames: int
    sinks: Mapping[str, Any] = field(default_factory=dict)
    aligner: Mapping[str, Any] = field(default_factory=dict)
    start: float = 0.0
    whole: bool = False
    repaired: int = 0
    repaired_frames: int = 0
    plate: Mapping[str, str] = field(default_factory=dict)
    kept: str = ""


@dataclass(frozen=True)
class _Head:
    """What lies in the hidden folder of each result.

    Args:
        first: the hidden folder of the first result, seen from where this one lies.
        settings: of the run, by their fingerprints.
    """

    first: str
    settings: Mapping[str, str]


class Job:
    """The settings of a conversion and the marks it left, in the hidden folder of its first result.

    A context manager: if the conversion fails behind a mark, it says that the run can be gone on with.

    Args:
        outputs: paths of all results; marks lie with the first.
        settings: all that the results depend on; what differs from an unfinished run's is told by its key.
        resume: go on with an unfinished run; begin anew if there is none.
        overwrite: begin anew even if an unfinished run is there.
        keeps_all: the tensors of earlier marks will be asked for, too.

    Attributes:
        last: mark that was left, by this run or the one that is gone on with; of no frames if there is none.
        folder: hidden, for what else is to be kept; it is there once the sinks are open.

    Raises:
        OutputExistsError: an unfinished run is there, and nothing was said of it.
        OutputError: it was made with other settings.
        DamagedRunError: it is damaged.
    """

    def __init__(
        self,
        outputs: Sequence[Path],
        settings: Mapping[str, Any],
        *,
        resume: bool,
        overwrite: bool,
        keeps_all: bool = False,
    ) -> None:
        self._keeps_all = keeps_all
        self._outputs = [output.absolute() for output in outputs]
        self._folders = [parts_of(output) for output in self._outputs]
        self._name = outputs[0].name
        self._settings = {name: fingerprint.of_values(value) for name, value in settings.items()}
        self.folder = self._folders[0]
        self.last = Mark(0)
        # Only the last is kept in memory: a long clip leaves thousands.
        self._count = 0
        unfinished = [folder for folder in self._folders if _is_marked(folder)]
        if unfinished and resume:
            self._take_up(unfinished)
        elif unfinished and not overwrite:
            raise OutputExistsError(
                f"an unfinished run lies in {unfinished[0]}: go on with --resume, or start anew with --overwrite"
            )
        self._is_marked = self._count > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if not _is_marked(self.folder):
            # Some results may have been brought to the disk before another one failed.
            for output, folder in zip(self._outputs, self._folders, strict=True):
                if not _is_marked(folder):
                    Parts.sweep(output)
        elif self._is_marked and not isinstance(error, DamagedRunError):
            warnings.warn(
                f"what is finished of {self._name} is kept in {self.folder}: the same command with --resume goes on",
                Bgmv2Warning,
                stacklevel=2,
            )

    def mark(self, mark: Mark, tensors: Mapping[str, torch.Tensor] | None = None) -> Mark:
        """Remember that the conversion has come so far; what sinks wrote is on the disk already.

        Args:
            mark: to remember.
            tensors: to be kept with it; None if those that it names are there already.

        Returns:
            The mark, which names the tensors.

        Raises:
            OutputError: the disk is full or fails.
        """
        try:
            if not self._is_marked:
                for folder in self._folders:
                    # Relative, so that they may be moved together.
                    first = os.path.relpath(self.folder, folder.parent)
                    _write(folder / _NAME, asdict(_Head(first, self._settings)))
                self._is_marked = True
            if tensors is not None:
                mark = replace(mark, kept=_keep(self.folder, tensors) if tensors else "")
            _write(self._file(self._count), asdict(mark))
            if not self._keeps_all:
                for file in self.folder.glob(f"*{_TENSORS}"):
                    if file.name != mark.kept:
                        file.unlink()
        except OSError as error:
            raise cannot_write(self._name, error) from error
        self._count += 1
        self.last = mark
        return mark

    def after(self, segments: int) -> Mark:
        """Return the mark that was left behind so many segments.

        Raises:
            DamagedRunError: it is damaged or gone.
        """
        return self._read(self._file(segments - 1), Mark) if segments else Mark(0)

    def tensors(self, mark: Mark) -> dict[str, torch.Tensor]:
        """Return what was kept with a mark.

        Raises:
            DamagedRunError: it is damaged or gone.
        """
        if not mark.kept:
            return {}
        file = self.folder / mark.kept
        try:
            content = file.read_bytes()
            if _tensors_name(content) != mark.kept:
                raise ValueError(f"{file} is not as it was written")
            return safetensors.torch.load(content)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise self._damaged() from error

    def _take_up(self, unfinished: Sequence[Path]) -> None:
        """Find the marks of an unfinished run.

        Raises:
            OutputError: as the class.
        """
        stranger = next((folder for folder in unfinished if _first_of(folder) not in (self.folder, None)), None)
        if stranger is not None or self.folder not in unfinished:
            raise OutputError(
                f"{stranger or unfinished[0]} is of a run with other results; ask for the same ones, or start anew "
                f"with --overwrite"
            )
        settings = self._read(self.folder / _NAME, _Head).settings
        other = [name for name in {**settings, **self._settings} if settings.get(name) != self._settings.get(name)]
        if other:
            raise OutputError(
                f"the unfinished run of {self._name} was made with another {', '.join(other)}: give the same, "
                f"or start anew with --overwrite"
            )
        self._count = sum(bool(re.fullmatch(r"mark-\d{6,}\.json", name)) for name in os.listdir(self.folder))
        self.last = self.after(self._count)

    def _file(self, number: int) -> Path:
        return self.folder / f"mark-{number:06d}.json"

    def _read(self, file: Path, kind: type[T]) -> T:
        try:
            return kind(**_read(file))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._damaged() from error

    def _damaged(self) -> DamagedRunError:
        return DamagedRunError(f"the unfinished run in {self.folder} is damaged; start anew with --overwrite")


def _is_marked(folder: Path) -> bool:
    """Tell whether a hidden folder holds a part of a run that left a mark, here or with its first result."""
    if not (folder / _NAME).exists():
        return False
    first = _first_of(folder)
    return first is None or (first / _FIRST).exists()


def _first_of(folder: Path) -> Path | None:
    """Return the hidden folder of a run's first result; None if what tells it is damaged."""
    try:
        return Path(os.path.normpath(folder.parent / _Head(**_read(folder / _NAME)).first))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def name_of(path: str | os.PathLike[str]) -> str:
    """Name the content of a clip, a picture or numbered pictures, as `bgmv2.fingerprint` does; what is no file, itself.

    Args:
        path: as `bgmv2.video.open.open_source` or `bgmv2.backdrop.open_backdrop` takes it.

    Raises:
        OSError: it cannot be read.
    """
    if is_file(path):
        return fingerprint.of_file(path)
    if not is_sequence(path):
        return fingerprint.of_values(os.fspath(path))
    files = list(Pattern.of(Path(path)).found().values()) if is_pattern(path) else list_images(Path(path))
    sizes = [(file.name, file.stat().st_size) for file in files]
    return fingerprint.of_values([sizes, [fingerprint.of_file(file) for file in (*files[:1], *files[-1:])]])


def _read(path: Path) -> dict[str, Any]:
    """Read what `_write` wrote.

    Raises:
        OSError, ValueError, TypeError, KeyError: it is gone or damaged.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    if fingerprint.of_values(told["value"]) != told["fingerprint"]:
        raise ValueError(f"{path} is not as it was written")
    return told["value"]


def _keep(folder: Path, tensors: Mapping[str, torch.Tensor]) -> str:
    """Write tensors into a folder, and return the name of the file, which tells its content."""
    content = safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    name = _tensors_name(content)
    _write_bytes(folder / name, content)
    return name


def _tensors_name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32] + _TENSORS


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write JSON that is there whole or not at all, whatever happens."""
    told = {"fingerprint": fingerprint.of_values(value), "value": value}
    _write_bytes(path, json.dumps(told).encode())


def _write_bytes(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".part")
    partial.write_bytes(content)
    settle(partial)
    os.replace(partial, path)
    settle(path.parent)
