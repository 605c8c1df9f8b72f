"""Frames for people to look at: one of the worst on a page with all its numbers, many on a sheet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bgmv2.report.panels import PANELS
from bgmv2.report.rows import Row
from bgmv2.sheets import DIM, canvas, grid, sized, write

# Sizes in pixels: of a line of text, a panel's long side at least, text beside panels, and the sheet's width.
_LINE, _CELL, _TEXT, _SHEET = 20, 300, 350, 1920


class Shown(NamedTuple):
    """A frame that is shown.

    Args:
        row: its numbers.
        panels: its pictures, in the order of `bgmv2.report.panels.PANELS`.
    """

    row: Row
    panels: list[np.ndarray]


def page(shown: Shown, *, rank: int) -> np.ndarray:
    """One of the worst frames: its panels, and its numbers in the sixth place."""
    panels = [sized(panel, long_side=max(_CELL, *panel.shape[:2])) for panel in shown.panels]
    facts = {"worst": f"number {rank}", **_facts(shown.row)}
    height = max(panels[0].shape[0], _LINE * len(facts)) + _LINE
    width = max(panels[0].shape[1], _TEXT)
    cells = []
    for name, panel in zip(PANELS, panels, strict=True):
        cell = canvas(height, width)
        write(cell, name, 0, 14, color=DIM)
        cell[_LINE : _LINE + panel.shape[0], : panel.shape[1]] = panel
        cells.append(cell)
    told = canvas(height, width)
    for line, (name, said) in enumerate(facts.items(), 1):
        write(told, name, 0, _LINE * line + 14, color=DIM)
        write(told, said, 130, _LINE * line + 14)
    return grid([*cells, told], columns=3)


def cell(shown: Shown) -> np.ndarray:
    """A frame of the sheet: beside its alpha, above its numbers."""
    pictures = np.hstack([sized(shown.panels[PANELS.index(name)], long_side=_CELL) for name in ("frame", "alpha")])
    height, width = pictures.shape[:2]
    picture = canvas(height + 2 * _LINE, max(width, _TEXT))
    picture[:height, :width] = pictures
    facts = _facts(shown.row)
    write(picture, f"frame {facts['frame']}, plate {shown.row.status}", 0, height + 15)
    said = f"error {facts['expected error']}  refined {facts['refined']}  flicker {facts['flicker']}"
    write(picture, said, 0, height + _LINE + 13, color=DIM)
    return picture


def sheet(cells: list[np.ndarray]) -> np.ndarray:
    """Many frames, as `cell` drew them."""
    return grid(cells, columns=max(1, _SHEET // cells[0].shape[1]))


def _facts(row: Row) -> dict[str, str]:
    """What a row says, in words."""
    flicker = "not known" if row.flicker is None else f"{row.flicker:.3%}"
    return {
        "frame": f"{row.frame} at {row.seconds:.2f} s",
        "expected error": f"{row.error:.2%}",
        "refined": f"{row.refined:.2%}",
        "left uncertain": f"{row.uncertain:.2%}",
        "flicker": flicker,
        "coverage": f"{row.coverage:.1%}",
        "plate": f"{row.status}, moved {row.shift:.1f} px{f': {row.reason}' if row.reason else ''}",
        **({"never seen": f"{row.unseen:.1%}"} if row.unseen else {}),
        "matches": f"{row.inliers} of {row.matches}, {row.residual:.2f} px off" if row.matches else "none sought",
        "light": " ".join(f"{light:.3f}" for light in row.light),
        **({"made anew": "at a higher budget"} if row.repaired else {}),
    }
