"""Frames that nobody filmed: mattes of plain values, and rows that are differently bad."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from bgmv2.report import Observation, Row
from bgmv2.types import Matte

ROW = Row(0, 0.0, "found", 1.5, 300, 280, 0.1, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.005, 0.06, 0.0, 0.3, 0.0001)


def some_matte(pha, *, err=0.0, ref=0.0):
    height, width = pha.shape[2:]
    size = (1, 1, math.ceil(height / 4), math.ceil(width / 4))
    err, ref = (x if torch.is_tensor(x) else torch.full(size, float(x)) for x in (err, ref))
    return Matte(pha, torch.full((1, 3, height, width), 0.5), err, ref)


def plain_picture(value, height=24, width=32, channels=3):
    return torch.full((1, channels, height, width), float(value))


def observations(count, *, seed=0, rate=25, **values):
    rng = random.Random(seed)
    for frame in range(count):
        row = replace(ROW, frame=frame, seconds=frame / rate, error=round(rng.random() / 50, 6), **values)
        yield Observation(row, torch.full((9, 6, 8), frame % 256, dtype=torch.uint8))


@pytest.fixture
def row():
    """A frame of which nothing bad is to be said."""
    return ROW


@pytest.fixture
def matte_of():
    """Make a matte of an alpha; its expected error and refined patches are alike everywhere, or as given."""
    return some_matte


@pytest.fixture
def flat():
    """Make a picture of one value."""
    return plain_picture


@pytest.fixture
def made_up():
    """Make observations of frames that are differently bad, each with a picture of its own."""
    return observations


@pytest.fixture
def content():
    """Read what stands in a folder."""
    return lambda folder: {path.name: path.read_bytes() for path in folder.iterdir()}
