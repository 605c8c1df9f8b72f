"""Where the subject hides the plate."""

from __future__ import annotations

import numpy as np

from bgmv2.plate.dense import Refined
from bgmv2.plate.hidden import hidden_of

SIZE = (96, 160)


def refined(apart):
    """Four pixels of structure in each cell of 16 x 16, of which those where `apart` is true disagree."""
    x, y = np.meshgrid(np.arange(4, 160, 8, dtype=np.float32), np.arange(4, 96, 8, dtype=np.float32))
    at = np.stack([x.ravel(), y.ravel()], axis=1)
    weights = 1 - apart(*at.T).astype(np.float32)
    return Refined(np.eye(3), at, np.arange(len(at)), np.zeros(len(at), np.float32), weights)


def test_what_disagrees_is_hidden_and_what_lies_around():
    hidden = hidden_of(refined(lambda x, y: (np.abs(x - 72) < 8) & (np.abs(y - 40) < 8)), SIZE)
    assert hidden.shape == (6, 10) and hidden.dtype == bool
    assert np.argwhere(hidden).min(axis=0).tolist() == [1, 3] and np.argwhere(hidden).max(axis=0).tolist() == [3, 5]


def test_pixels_that_were_refined_beyond_the_border_count_at_it():
    told = refined(lambda x, y: x > 140)
    hidden = hidden_of(told._replace(at=told.at * 1.03), SIZE)
    assert hidden[:, -1].all() and not hidden[:, :6].any()


def test_single_pixels_hide_nothing():
    assert not hidden_of(refined(lambda x, y: (x % 16 < 8) & (y % 16 < 8)), SIZE).any()


def test_where_nearly_all_disagrees_nothing_is_known():
    assert hidden_of(refined(lambda x, y: x > 20), SIZE) is None
