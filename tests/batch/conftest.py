"""A folder of small clips with a plate for all of them, and what comes of each when nobody interferes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import bgmv2
from bgmv2.batch import Plan, Settings, plan
from bgmv2.batch.ledger import Journal, Outcome
from bgmv2.video import VideoReader, write_image

SIZE = (64, 48)
NAMES = ("a", "b", "day/c")


@dataclass(frozen=True)
class Shots:
    """Clips, and where their results go."""

    folder: Path
    settings: Settings

    @property
    def out(self) -> Path:
        return self.folder.parent / "out"

    def plan(self) -> Plan:
        return plan([self.folder], out=self.out, settings=self.settings)

    def frames(self, name: str) -> list[tuple[float, bytes]]:
        """Instants and pixels of a clip's result."""
        return frames_of(self.out / f"{name}.pha.mkv")

    def expected(self, name: str) -> list[tuple[float, bytes]]:
        """The same of a conversion of that clip alone."""
        path = self.folder.parent / f"{Path(name).name}.alone.mkv"
        clip, plate = self.folder / f"{name}.mkv", self.folder / "plates" / f"{Path(name).name}.png"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bgmv2.Bgmv2Warning)
            bgmv2.convert(clip, plate=plate, pha=path, run=self.settings.run, encode=self.settings.encode)
        return frames_of(path)

    def published(self) -> list[Outcome]:
        """What was finished, as often as it was."""
        return Journal(self.out).outcomes()


def assert_alike(frames: list[tuple[float, bytes]], others: list[tuple[float, bytes]]) -> None:
    """The same instants, and pixels within one code value: other numbers of threads add up in another order."""
    assert [seconds for seconds, _ in frames] == [seconds for seconds, _ in others]
    for index, ((_, pixels), (_, other)) in enumerate(zip(frames, others, strict=True)):
        apart = np.frombuffer(pixels, np.uint8).astype(int) - np.frombuffer(other, np.uint8)
        assert abs(apart).max() <= 1, (index, abs(apart).max())


def frames_of(path: Path) -> list[tuple[float, bytes]]:
    with VideoReader(path) as reader:
        return [(frame.seconds, frame.pixels.tobytes()) for frame in reader]


@pytest.fixture
def shots(tmp_path, make_clip, picture, weights) -> Callable[..., Shots]:
    """Make clips of some length by their names."""

    def make(count: int = 4, names: tuple[str, ...] = NAMES) -> Shots:
        folder = tmp_path / "shots"
        for number, name in enumerate(names):
            path = folder / f"{name}.mkv"
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures = [picture(100 * number + index, *SIZE) for index in range(count)]
            make_clip(str(path.relative_to(tmp_path)), pictures=pictures, size=SIZE)
            write_image_into(folder / "plates" / f"{path.stem}.png", picture(100 * number, *SIZE))
        settings = Settings(
            results={"pha": ".mkv"},
            run=bgmv2.RunConfig(weights=str(weights), device="cpu", align="off"),
            encode=bgmv2.EncodeConfig(segment=5, codec="ffv1"),
        )
        return Shots(folder, settings)

    return make


def write_image_into(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, pixels)
