"""Pictures side by side, with words on them."""

from __future__ import annotations

import numpy as np
import pytest

from bgmv2 import sheets


def test_a_large_picture_is_shrunk_to_its_long_side():
    assert sheets.sized(np.zeros((90, 160, 3), np.uint8), long_side=40).shape == (22, 40, 3)
    assert sheets.sized(np.zeros((1000, 1, 3), np.uint8), long_side=40).shape == (40, 1, 3)


def test_a_small_picture_keeps_its_pixels():
    picture = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    large = sheets.sized(picture, long_side=11)
    assert large.shape == (6, 8, 3) and (large[::2, ::2] == picture).all() and (large[1::2, 1::2] == picture).all()


@pytest.mark.parametrize(("count", "columns", "shape"), [(1, 4, (1, 1)), (5, 2, (3, 2)), (6, 3, (2, 3))])
def test_a_grid_holds_every_cell(count, columns, shape):
    cells = [np.full((20, 30, 3), 100 + index, np.uint8) for index in range(count)]
    picture = sheets.grid(cells, columns=columns)
    assert picture.shape == (shape[0] * 30 + 10, shape[1] * 40 + 10, 3)
    for index in range(count):
        y, x = 10 + index // columns * 30, 10 + index % columns * 40
        assert (picture[y : y + 20, x : x + 30] == 100 + index).all()
    assert (picture[:10] == sheets.DARK).all()


def test_a_label_is_read_on_white_and_covers_only_its_corner():
    picture = np.full((60, 200, 3), 255, np.uint8)
    sheets.label(picture, "frame 7")
    assert picture[:20, :40].min() == min(sheets.DARK) and picture[2:20, 2:40].max() > 200
    assert (picture[30:] == 255).all() and (picture[:, 120:] == 255).all()
