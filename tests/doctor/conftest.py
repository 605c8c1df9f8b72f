"""A room, somebody who walks through it, and what spoils a plate of it: small, seeded, made up."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import torch

from bgmv2.doctor import examine
from bgmv2.doctor.samples import Sample
from bgmv2.types import Frame, Plate

WIDTH, HEIGHT, COUNT = 480, 270, 5


def room(seed: int = 0) -> np.ndarray:
    """A room with texture and edges, ``(H, W, 3)`` uint8."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, strength in ((4, 1.0), (12, 0.6), (60, 0.25)):
        noise = rng.random((cells, cells, 3), np.float32)
        picture += strength * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = 50 + 120 * (picture - picture.min()) / np.ptp(picture)
    for _ in range(60):
        x, y = (int(value) for value in rng.integers(0, (WIDTH, HEIGHT)))
        w, h = (int(value) for value in rng.integers(6, 50, 2))
        cv2.rectangle(picture, (x, y), (x + w, y + h), rng.integers(50, 190, 3).tolist(), -1)
    return np.clip(picture, 0, 255).astype(np.uint8)


def stand(picture: np.ndarray, x: int, color: tuple[int, int, int] = (230, 60, 130)) -> np.ndarray:
    """Somebody stands in a picture: a head, a body, at `x`."""
    picture = picture.copy()
    cv2.rectangle(picture, (x - 26, 130), (x + 26, HEIGHT), color, -1)
    cv2.circle(picture, (x, 105), 22, (240, 200, 170), -1)
    return picture


def put(picture: np.ndarray, x: int, y: int) -> np.ndarray:
    """A box is put somewhere."""
    picture = picture.copy()
    cv2.rectangle(picture, (x, y), (x + 34, y + 30), (20, 230, 240), -1)
    return picture


def noisy(picture: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1.5, picture.shape)
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


@dataclass
class Take:
    """A plate and the frames of a clip, all of which may be changed.

    Args:
        x: where somebody stands in each frame.
    """

    x: tuple[int, ...] = tuple(60 + 80 * index for index in range(COUNT))
    plate: np.ndarray = field(default_factory=lambda: noisy(room(), 99))
    cuts: tuple[float, ...] = ()
    plate_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.frames = [noisy(stand(room(), x), index) for index, x in enumerate(self.x)]

    def examine(self, **choices):
        samples = [Sample(Frame(pixels), float(index)) for index, pixels in enumerate(self.frames)]
        plate = Plate(torch.from_numpy(self.plate).permute(2, 0, 1).float() / 255)
        more = {"size": (WIDTH, HEIGHT), "cuts": self.cuts, "plate_size": self.plate_size}
        return examine(plate, samples, **more, **choices)

    def findings(self, **choices) -> dict[str, object]:
        return {finding.name: finding for finding in self.examine(**choices).diagnosis.findings}


@pytest.fixture
def take() -> Take:
    return Take()
