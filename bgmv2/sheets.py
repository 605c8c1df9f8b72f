"""Pictures side by side, with words on them: sheets that people look at."""

from __future__ import annotations

import math

import cv2
import numpy as np

DARK, LIGHT, DIM = (24, 24, 26), (232, 232, 232), (140, 140, 146)
GAP = 10
_FONT, _HEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def canvas(height: int, width: int) -> np.ndarray:
    """Return ``(height, width, 3)`` uint8 to draw on."""
    return np.full((height, width, 3), DARK, np.uint8)


def write(picture: np.ndarray, text: str, x: int, y: int, *, color: tuple[int, ...] = LIGHT) -> None:
    """Write into a picture; x and y are where the text begins on its base line."""
    cv2.putText(picture, text, (x, y), _FONT, _HEIGHT, color, 1, cv2.LINE_AA)


def label(picture: np.ndarray, text: str) -> None:
    """Write into a picture's upper left corner, on dark ground, so that it is read on every picture."""
    (width, height), below = cv2.getTextSize(text, _FONT, _HEIGHT, 1)
    cv2.rectangle(picture, (0, 0), (width + 8, height + below + 6), DARK, -1)
    write(picture, text, 4, height + 4)


def sized(picture: np.ndarray, *, long_side: int) -> np.ndarray:
    """Bring a picture to a long side; small ones are enlarged by whole numbers only, so that pixels stay visible."""
    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    if scale > 1:
        return np.kron(picture, np.ones((int(scale), int(scale), 1), np.uint8))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Lay pictures below each other, each at the left."""
    width = max(row.shape[1] for row in rows)
    padded = [canvas(row.shape[0], width) for row in rows]
    for space, row in zip(padded, rows, strict=True):
        space[:, : row.shape[1]] = row
    return np.vstack(padded)


def grid(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Lay pictures of one size side by side, with space between them."""
    height, width = cells[0].shape[:2]
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    picture = canvas(rows * (height + GAP) + GAP, columns * (width + GAP) + GAP)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        y, x = GAP + row * (height + GAP), GAP + column * (width + GAP)
        picture[y : y + height, x : x + width] = cell
    return picture
