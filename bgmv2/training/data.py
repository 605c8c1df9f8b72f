"""What there is to train on: cut-outs of subjects and pictures of rooms, held in memory as uint8."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
import torch

SPLITS = ("train", "val", "test")


def split_of(name: str) -> str:
    """The split that a subject or a room belongs to, by the number in its name.

    All pictures of one house carry one number, so no house is in two splits. Of each ten numbers the one ending in 0
    is for the test, the one ending in 5 for validation.
    """
    number = int(re.search(r"\d+", name)[0])  # type: ignore[index]
    return {0: "test", 5: "val"}.get(number % 10, "train")


@dataclass(frozen=True, eq=False)
class Material:
    """Cut-outs and rooms of one split.

    Args:
        cutouts: ``(4, h, w)`` uint8 straight RGBA each.
        rooms: ``(3, h, w)`` uint8 RGB each.
    """

    cutouts: list[torch.Tensor]
    rooms: list[torch.Tensor]


def load_material(
    cutouts: str | PathLike[str],
    rooms: str | PathLike[str],
    *,
    split: str,
    device: torch.device | str = "cpu",
    keep: Callable[[list[Path]], list[Path]] = lambda paths: paths,
) -> Material:
    """Read one split into the memory of a device.

    Args:
        cutouts: folder with the sub-folders of `tools/prepare_people.py`.
        rooms: folder of pictures; those of `split` are told by `split_of`.
        split: `train`, `val` or `test`.
        device: where the tensors are to lie.
        keep: chooses among the paths found, for trials on a few.

    Raises:
        FileNotFoundError: a folder holds nothing of this split.
    """
    cutout_paths = keep(sorted(Path(cutouts, split).glob("*.png")))
    room_paths = keep(sorted(path for path in Path(rooms).glob("*.jpg") if split_of(path.name) == split))
    for paths, folder in ((cutout_paths, Path(cutouts, split)), (room_paths, Path(rooms))):
        if not paths:
            raise FileNotFoundError(f"{folder} holds no pictures of the split {split}")
    with ThreadPoolExecutor(4) as pool:
        return Material(
            [_tensor(x, cv2.COLOR_BGRA2RGBA, device) for x in pool.map(_read, cutout_paths)],
            [_tensor(x, cv2.COLOR_BGR2RGB, device) for x in pool.map(_read, room_paths)],
        )


def _read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED if path.suffix == ".png" else cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} is no picture")
    return picture


def _tensor(picture: np.ndarray, order: int, device: torch.device | str) -> torch.Tensor:
    return torch.from_numpy(cv2.cvtColor(picture, order)).permute(2, 0, 1).contiguous().to(device)
