"""What a person says of a plate: the path of a picture, or a word for how one is made of the clip."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Way = Literal["picture", "auto", "median", "first", "last", "at"]
WORDS = "auto, median, first:2s, last:2s, at:12.5"
_SECONDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)s?", re.ASCII)


@dataclass(frozen=True)
class PlateSource:
    """Where a plate comes from.

    Args:
        way: a `picture`; or the clip itself, of which `auto` takes what the network calls background, `median` the
            median over time, `first` and `last` the frames at its beginning or end, and `at` a single frame.
        seconds: how much of the clip is taken by `first` and `last`, and where `at` looks, counted from the clip's
            beginning.
        path: of the picture.

    Raises:
        ValueError: a number is missing or out of its range.
    """

    way: Way
    seconds: float | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        if self.way not in get_args(Way):
            raise ValueError(f"plates come from {', '.join(get_args(Way))}, got {self.way}")
        if (self.path is None) != (self.way != "picture") or (self.seconds is None) != (self.way not in _TIMED):
            raise ValueError(f"a plate is a picture's path, or one of {WORDS}, got {self}")
        if self.seconds is not None and not (0 if self.way == "at" else 1e-3) <= self.seconds < math.inf:
            raise ValueError(f"{self.way} takes seconds, such as {self.way}:2s, got {self.seconds:g}")

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> PlateSource:
        """Read what a person says: one of `WORDS`, or a path. A picture that is called like a word is ``./auto``.

        Args:
            text: a text; paths that are no texts are no words either.

        Raises:
            ValueError: it begins like a word and goes on otherwise.
        """
        word, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        word = word if os.path.exists(text) else word.lower()
        if word in ("auto", "median") and not colon:
            return cls(word)  # type: ignore[arg-type]
        if word in _TIMED and (colon or not os.path.exists(text)):
            match = _SECONDS.fullmatch(rest)
            if match is None:
                raise ValueError(f"{word} takes seconds, such as {word}:2s, got {text!r}; a file is called ./{text}")
            return cls(word, seconds=float(match[1]))  # type: ignore[arg-type]
        return cls("picture", path=Path(text))

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read besides the clip."""
        return () if self.path is None else (self.path,)

    def __str__(self) -> str:
        """Say it as `parse` reads it."""
        if self.path is not None:
            return os.fspath(self.path)
        return self.way if self.seconds is None else f"{self.way}:{self.seconds:g}s"


_TIMED = ("first", "last", "at")
