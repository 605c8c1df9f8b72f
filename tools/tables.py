"""Tables of Markdown, and their places in documents."""

from __future__ import annotations

import re
from pathlib import Path

from bgmv2.video.sink import replacing


def put(text: str, document: str, begin: str, end: str) -> str:
    """Replace what stands between a document's markers.

    Raises:
        ValueError: it has none.
    """
    place = f"{re.escape(begin)}\n.*?{re.escape(end)}"
    if not re.search(place, document, re.DOTALL):
        raise ValueError(f"there is no place for the table: put {begin} and {end} on lines of their own")
    return re.sub(place, lambda _: f"{begin}\n\n{text}\n\n{end}", document, flags=re.DOTALL)


def put_into(path: Path, text: str, begin: str, end: str) -> None:
    """Replace what stands between a file's markers; the file is whole at any moment.

    Raises:
        ValueError: it has none.
    """
    with replacing(path) as partial:
        partial.write_text(put(text, path.read_text(encoding="utf-8"), begin, end), encoding="utf-8")


def rows(heads: list[str], cells: list[list[str]]) -> list[str]:
    """Lay out a table, numbers to the right."""
    lines = [heads, ["---"] + ["---:" if cell and cell[0].isdigit() else "---" for cell in cells[0][1:]], *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]
