"""A report under its final name: whole, or not there."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.report.curves import curves
from bgmv2.report.lines import told
from bgmv2.report.pages import Shown, cell, page, sheet
from bgmv2.report.rows import Row
from bgmv2.video.images import write_image
from bgmv2.video.sink import check_file, parts_of, settle


def check_report_name(path: Path) -> None:
    """Say that a report has another suffix.

    Raises:
        OutputError: names the right one.
    """
    if path.suffix.lower() != ".json":
        raise OutputError(f"{path} does not end in .json, as a report does: call it {path.stem}.json")


def check_report(path: Path, *, overwrite: bool) -> None:
    """Say now, not after hours of work, that a report cannot be published.

    Args:
        path: of the JSON file; its pictures go into a folder of that name.
        overwrite: an existing report may be replaced, but no folder that holds anything else.

    Raises:
        OutputError: it has another suffix, its folder is not there or may not be written to, or something else stands
            where the pictures go.
        OutputExistsError: it is there already.
    """
    check_report_name(path)
    check_file(path, overwrite=overwrite)
    folder = path.with_suffix("")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(
            f"{folder} is a file, but the report's pictures go into a folder of that name; choose another"
        )
    if not overwrite:
        raise OutputExistsError(f"{folder} is there already; choose another name, or allow --overwrite")
    for other in folder.iterdir():
        if not re.fullmatch(r"(sheet|curves|worst-\d+-frame-\d+)\.png", other.name):
            raise OutputError(
                f"{folder} holds more than a report's pictures, such as {other.name}; choose another name"
            )


def write_report(
    path: Path,
    *,
    clip: str,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    rows: Callable[[], Iterator[Row]],
    worst: Iterable[Shown],
    spread: Iterable[Shown],
) -> None:
    """Write a report that `check_report` allowed, in place of one that is there.

    Args:
        path: of the JSON file.
        clip: what was matted.
        settings: how.
        summary: what `bgmv2.report.summary.summarize` told; the worst frames are added to it.
        rows: yields all rows.
        worst: frames with a page of their own, worst first.
        spread: frames of the sheet.

    Raises:
        OutputError: it cannot be written there.
    """
    folder = path.with_suffix("")
    pages = {f"worst-{rank:02}-frame-{shown.row.frame:06}.png": shown for rank, shown in enumerate(worst, 1)}
    ranked = [
        {
            "rank": rank,
            "frame": shown.row.frame,
            "score": round(shown.row.score, 6) if math.isfinite(shown.row.score) else None,
            "picture": f"{folder.name}/{name}",
        }
        for rank, (name, shown) in enumerate(pages.items(), 1)
    ]
    # One name for all tries, so that what a run that was killed left there is gone after the next.
    work = parts_of(path)
    text, pictures = work / path.name, work / "pictures"
    try:
        with told(path):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            _write_json(text, {"clip": clip, "settings": settings, "summary": {**summary, "worst": ranked}}, rows())
            pictures.mkdir()
            for rank, (name, shown) in enumerate(pages.items(), 1):
                write_image(pictures / name, page(shown, rank=rank))
            cells = [cell(shown) for shown in spread]
            if cells:
                write_image(pictures / "sheet.png", sheet(cells))
                write_image(pictures / "curves.png", curves(rows(), summary["frames"]))
            # The folder first: where the JSON stands, everything does.
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(pictures, folder)
            os.replace(text, path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_json(path: Path, head: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write a mapping, and rows under `frames`, each on a line."""
    with path.open("w", encoding="ascii") as file:
        file.write(json.dumps(head, indent=1, default=str).removesuffix("\n}") + ',\n "frames": [')
        file.writelines(f"{',' if row.frame else ''}\n  {row.to_json()}" for row in rows)
        file.write("\n ]\n}\n")
    settle(path)
