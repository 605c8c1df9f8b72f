"""What is finished: a ledger that the driver keeps, and a journal to which whoever finishes a clip adds a line.

The journal is what is true: a line stands there as soon as the results bear their names, even if the driver, or the
machine that was at work, is gone a moment later. The ledger says besides what was begun, and what failed and why.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Literal

from bgmv2.batch.job import is_there
from bgmv2.errors import OutputError, VideoError
from bgmv2.job import name_of
from bgmv2.video.sink import cannot_write, replacing

LEDGER = ".bgmv2-batch.json"
JOURNAL = ".bgmv2-batch.log"
_VERSION = 1


@dataclass(frozen=True)
class Outcome:
    """A clip that is finished.

    Args:
        name: of the task.
        fingerprint: of its job.
        results: by role the path, relative to the folder of all results, and a name of what is in it.
        frames: of the clip.
        seconds: that the last run took.
        resumed: frames that earlier runs had finished.
    """

    name: str
    fingerprint: str
    results: Mapping[str, tuple[str, str]]
    frames: int
    seconds: float
    resumed: int = 0


@dataclass
class _Entry:
    state: Literal["begun", "done", "failed", "stopped"]
    fingerprint: str
    results: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


class Ledger:
    """What is known of the clips of a batch, by the names of their tasks.

    Args:
        folder: of all results.
        entries: what is known already.
    """

    def __init__(self, folder: Path, entries: dict[str, _Entry] | None = None) -> None:
        self._folder = folder
        self._entries = entries or {}

    @classmethod
    def read(cls, folder: Path) -> Ledger:
        """Read the ledger of a folder, and what the journal says besides; empty if there is none.

        Raises:
            OutputError: it is damaged, or of a later version.
        """
        path = folder / LEDGER
        entries: dict[str, _Entry] = {}
        if path.exists():
            try:
                written = json.loads(path.read_text(encoding="utf-8"))
                version, clips = written["version"], written["clips"]
                entries = {name: _Entry(**entry) for name, entry in clips.items()} if version == _VERSION else {}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise OutputError(
                    f"{path} is damaged, so what is finished is unknown; remove it, and results that shall go"
                ) from error
            except OSError as error:
                raise OutputError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
            if version != _VERSION:
                raise OutputError(f"{path} is of version {version}, this is {_VERSION}: update bgmv2")
        for outcome in Journal(folder).outcomes():
            entry = entries.get(outcome.name)
            # A clip that was begun anew with other settings is no longer what it was.
            if entry is None or entry.state == "done" or entry.fingerprint == outcome.fingerprint:
                entries[outcome.name] = _Entry("done", outcome.fingerprint, outcome.results)
        return cls(folder, entries)

    def knows(self, name: str) -> bool:
        """Tell whether a clip was worked on before."""
        return name in self._entries

    def is_of(self, name: str, fingerprint: str) -> bool:
        """Tell whether the last that was done of a clip was just this job."""
        entry = self._entries.get(name)
        return entry is not None and fingerprint != "" and entry.fingerprint == fingerprint

    def results(self) -> set[Path]:
        """The resolved paths of all results, and of the folders in which they number pictures."""
        found = set()
        for name, entry in self._entries.items():
            for path, _ in entry.results.values():
                found.add(Path(os.path.realpath(self._folder / path)))
                if PurePath(path).parent != PurePath(name).parent:
                    found.add(Path(os.path.realpath(self._folder / path)).parent)
        return found

    def is_finished(self, name: str, fingerprint: str) -> bool:
        """Tell whether a job was done, and its results are as they were written."""
        return self.is_of(name, fingerprint) and self._entries[name].state == "done" and self._whole(name)

    def may_replace(self, name: str, fingerprint: str) -> bool:
        """Tell whether what is there under the names of a job's results is the work of just this job, untouched."""
        if not self.is_of(name, fingerprint):
            return False
        # Of a clip whose end nobody lived to see, whatever is there was made by it.
        return self._entries[name].state == "begun" or self._whole(name, missing=True)

    def begin(self, name: str, fingerprint: str, results: Mapping[str, str]) -> None:
        """Note that a job is handed out, so that what it leaves is known as its own."""
        paths = {role: (os.path.relpath(path, self._folder), "") for role, path in results.items()}
        self._set(name, _Entry("begun", fingerprint, paths))

    def done(self, outcome: Outcome) -> None:
        """Note that a clip is finished."""
        self._set(outcome.name, _Entry("done", outcome.fingerprint, outcome.results))

    def failed(self, name: str, why: str) -> None:
        """Note why a clip that was begun failed."""
        self._set(name, self._ended(name, "failed", why))

    def stopped(self, name: str) -> None:
        """Note that a clip that was begun was stopped, to be gone on with."""
        self._set(name, self._ended(name, "stopped"))

    def _ended(self, name: str, state: Literal["failed", "stopped"], why: str = "") -> _Entry:
        """What it leaves is its own; what is put there later is not."""
        begun = self._entries[name]
        left = {}
        for role, (path, _) in begun.results.items():
            left[role] = path, ""
            if is_there(str(self._folder / path)):
                with contextlib.suppress(OSError, VideoError):
                    left[role] = path, name_of(self._folder / path)
        return _Entry(state, begun.fingerprint, left, why)

    def _set(self, name: str, entry: _Entry) -> None:
        self._entries[name] = entry
        written = {"version": _VERSION, "clips": {name: asdict(entry) for name, entry in self._entries.items()}}
        with replacing(self._folder / LEDGER) as temporary, temporary.open("w", encoding="utf-8") as file:
            json.dump(written, file, indent=1)
            file.flush()
            os.fsync(file.fileno())

    def _whole(self, name: str, *, missing: bool = False) -> bool:
        return are_whole(self._folder, self._entries[name].results, missing=missing)


class Journal:
    """The lines of finished clips in a folder of results; several processes and machines may add to it.

    Args:
        folder: of all results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / JOURNAL

    def outcomes(self) -> list[Outcome]:
        """All that was finished, the oldest first; a line that was cut off by a loss of power is passed over."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                outcome = Outcome(**json.loads(line))
                results = {role: (path, known) for role, (path, known) in outcome.results.items()}
            except (ValueError, TypeError, AttributeError):
                continue
            found.append(replace(outcome, results=results))
        return found

    def find(self, name: str, fingerprint: str) -> Outcome | None:
        """Return what was finished under this name, if the job was the same and its results are untouched."""
        last = next((outcome for outcome in reversed(self.outcomes()) if outcome.name == name), None)
        if last is None or not fingerprint or last.fingerprint != fingerprint:
            return None
        return last if are_whole(self._folder, last.results) else None

    def add(self, outcome: Outcome) -> None:
        """Add a line, whole or not at all: it is written at once to the end of the file."""
        line = (json.dumps(asdict(outcome)) + "\n").encode()
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, line)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise cannot_write(self._path, error) from error


def are_whole(folder: Path, results: Mapping[str, tuple[str, str]], *, missing: bool = False) -> bool:
    """Tell whether results are as they were written; some may be `missing`, if that is said."""
    for path, known in results.values():
        if missing and not is_there(str(folder / path)):
            continue
        try:
            if name_of(folder / path) != known:
                return False
        except (OSError, VideoError):
            return False
    return True
