"""Rows in a file that survives the death of whoever writes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from bgmv2.errors import DamagedRunError, OutputError
from bgmv2.report.rows import Row
from bgmv2.video.sink import cannot_write, settle

_DAMAGED = "is damaged: start anew with --overwrite"


class Lines:
    """A file of rows, one a line, to which rows are added; a line that is not whole is none.

    Args:
        path: of the file, which is made if it is missing.
        keep: how many rows stay; later ones are cut off.

    Attributes:
        count: of the rows.
        last: of the rows; None if there is none.

    Raises:
        OSError: it cannot be written.
        DamagedRunError: there are fewer whole rows.
    """

    def __init__(self, path: Path, *, keep: int):
        self._path = path
        self.count = keep
        self.last: Row | None = None
        end = 0
        with path.open("ab+") as file:
            file.seek(0)
            for line in islice(file, keep):
                if line.endswith(b"\n"):
                    end += len(line)
                    keep -= 1
                    last = line
            if keep:
                raise DamagedRunError(f"{path} {_DAMAGED}")
            file.truncate(end)
        if self.count:
            self.last = self._parsed(last)
        self._file: BinaryIO = path.open("ab")

    def append(self, row: Row) -> None:
        self._file.write(row.to_json().encode() + b"\n")
        self.count += 1
        self.last = row

    def __iter__(self) -> Iterator[Row]:
        self._file.flush()
        with self._path.open("rb") as file:
            yield from map(self._parsed, file)

    def flush(self) -> None:
        self._file.flush()
        settle(self._path)

    def close(self) -> None:
        self._file.close()

    def _parsed(self, line: bytes) -> Row:
        try:
            return Row.from_json(line)
        except ValueError as error:
            raise DamagedRunError(f"{self._path} {_DAMAGED}") from error


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tell a person what the system says of a file that cannot be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error
