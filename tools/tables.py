"""Tables of Markdown, and their places in documents."""

from __future__ import annotations

import re


def put(text: str, document: str, begin: str, end: str) -> str:
    """Replace what stands between a document's markers.

    Raises:
        ValueError: it has none.
    """
    place = f"{re.escape(begin)}\n.*?{re.escape(end)}"
    if not re.search(place, document, re.DOTALL):
        raise ValueError(f"there is no place for the table: put {begin} and {end} on lines of their own")
    return re.sub(place, lambda _: f"{begin}\n\n{text}\n\n{end}", document, flags=re.DOTALL)


def rows(heads: list[str], cells: list[list[str]]) -> list[str]:
    """Lay out a table, numbers to the right."""
    lines = [heads, ["---"] + ["---:" if cell and cell[0].isdigit() else "---" for cell in cells[0][1:]], *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]
