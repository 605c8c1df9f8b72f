"""Short names for what things are: whether a clip or a run's settings are still the same."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

# Clips are long: their size, and so many bytes at their beginning, middle and end, tell them apart.
_SAMPLE = 1 << 20


def of_file(path: str | os.PathLike[str]) -> str:
    """Name the content of a file, wherever it lies.

    Files of more than 3 MiB are told by their size and by 1 MiB each of their beginning, middle and end.

    Args:
        path: of the file.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(str(size).encode())
        starts = range(0, size, _SAMPLE) if size <= 3 * _SAMPLE else (0, (size - _SAMPLE) // 2, size - _SAMPLE)
        for start in starts:
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def of_values(value: Any) -> str:
    """Name a value, such as a run's settings.

    Args:
        value: dataclasses, mappings, lists and tuples, text, numbers, fractions, paths and None, in any depth.

    Returns:
        64 hexadecimal digits.

    Raises:
        TypeError: it holds something else.
    """
    text = json.dumps(value, default=_plain, sort_keys=True, ensure_ascii=False)
    # Names of files need not be text.
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Fraction | Path):
        return str(value)
    raise TypeError(f"settings hold text, numbers and their like, got {type(value).__name__}")
