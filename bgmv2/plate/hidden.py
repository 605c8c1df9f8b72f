"""Where the subject hides the plate, as the aligner itself sees it: told from frame to frame, without any matte."""

from __future__ import annotations

import cv2
import numpy as np

from bgmv2.plate.dense import Refined
from bgmv2.plate.geometry import cells_of

# Side of a cell in reduced pixels; fewer of the plate's pixels in it tell nothing.
_CELL, _LEAST_PIXELS = 16, 4
# A cell is hidden if of its pixels this share disagree.
_HIDDEN = 0.5
# If more of the cells seem hidden, rather the plate is somewhere else.
_TOO_MANY = 0.7


def hidden_of(refined: Refined, size: tuple[int, ...]) -> np.ndarray | None:
    """Map where pixels of the plate that have structure disagree with a frame, and what lies around.

    Args:
        refined: what was made of the frame.
        size: ``(h, w)`` of the frame's view.

    Returns:
        ``(rows, columns)`` bool over the frame; None if hardly anything agrees, so that it means nothing.
    """
    rows, columns = -(-size[0] // _CELL), -(-size[1] // _CELL)
    cells = cells_of(refined.at, (rows, columns), size)
    pixels = np.bincount(cells, minlength=rows * columns)
    apart = np.bincount(cells, weights=refined.weights == 0, minlength=rows * columns)
    told = pixels >= _LEAST_PIXELS
    hidden = told & (apart > _HIDDEN * pixels)
    if np.count_nonzero(hidden) > _TOO_MANY * np.count_nonzero(told):
        return None
    return cv2.dilate(hidden.reshape(rows, columns).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
