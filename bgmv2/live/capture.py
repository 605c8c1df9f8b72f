"""The plate is taken: some pictures of the empty room, their median, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bgmv2.doctor import Diagnosis, Finding, examine
from bgmv2.doctor.samples import Sample
from bgmv2.errors import PlateError
from bgmv2.plate.sources import MadePlate, PlateSource, plate_of
from bgmv2.plate.views import reduced
from bgmv2.types import Frame

# So many pictures make a plate, over a second at least: so long somebody who is still on his way out is seen moving.
PICTURES, SECONDS = 12, 1.0
# Pictures of the room before it was emptied that the doctor sees; two are enough for what he can tell of them.
_BEFORE = 2
# Of a picture of this long side, so large a share may change by more than the second while the plate is taken; above
# noise, below what moves.
_SIDE, _MOVED, _CHANGE = 160, 0.004, 0.08


@dataclass(frozen=True, eq=False)
class Taken:
    """A plate that was taken.

    Args:
        made: the plate.
        diagnosis: what the doctor says of it.
    """

    made: MadePlate
    diagnosis: Diagnosis

    @property
    def may_show_somebody(self) -> bool:
        """Whether nobody left the picture before it was taken, so that he may be on it."""
        return any(finding.name == "nobody" for finding in self.diagnosis.findings)

    def __str__(self) -> str:
        """The verdict, with what to do about the worst that was found."""
        worst = next(iter(self.diagnosis.findings), None)
        return f"plate {self.diagnosis.verdict}" + (f": {worst}" if worst is not None else "")


class Taker:
    """Collects pictures, first of the room as it is, then of the empty room.

    Args:
        name: of the camera.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._before: list[Frame] = []
        self._frames: list[Frame] = []

    def before(self, frame: Frame) -> None:
        """Look at the room while somebody may still be in the picture."""
        if len(self._before) < _BEFORE:
            self._before.append(frame)

    def add(self, frame: Frame) -> bool:
        """Take a picture of the empty room; tell whether these are enough."""
        gap = SECONDS / (PICTURES - 1)
        if not self._frames or frame.seconds - self._frames[-1].seconds >= 0.9 * gap:
            self._frames.append(frame)
        return len(self._frames) >= PICTURES

    def finish(self) -> Taken:
        """Make the plate of what was collected, and ask the doctor.

        Raises:
            PlateError: the pictures show no one view.
        """
        made = plate_of(self._frames, PlateSource("median"), name=self._name)
        height, width = made.pixels.shape[:2]
        first = (self._before or self._frames)[0].seconds
        samples = [Sample(frame, frame.seconds - first) for frame in self._before or self._frames[:1]]
        diagnosis = examine(made.plate, samples, size=(width, height)).diagnosis
        moved = moved_share([frame.pixels for frame in self._frames])
        if moved > _MOVED:
            finding = Finding(
                "moved-while-taken",
                "reshoot",
                f"{100 * moved:.0f} % of the picture moved while the plate was taken",
                "stay out of the picture, and let nothing move in it",
            )
            diagnosis = Diagnosis((finding, *diagnosis.findings), diagnosis.numbers, diagnosis.samples, diagnosis.facts)
        return Taken(made, diagnosis)


def moved_share(pictures: Sequence[np.ndarray]) -> float:
    """Tell in how much of the picture something moved, 0..1; a light that flickers all over does not count."""
    small = np.stack([reduced(picture, _SIDE) for picture in pictures])
    small = small - np.median(small, axis=(1, 2), keepdims=True)
    # One picture that differs from the median is enough: who passes through is seen only once in each place.
    away = np.abs(small - np.median(small, axis=0)).max(axis=(0, 3))
    return float((away > _CHANGE).mean())


def refuse(taken: Taken) -> PlateError:
    """Say that a plate will not do."""
    return PlateError(f"{taken}; or give a plate with --plate")
