"""What a run keeps of its frames while it goes, so that it can be gone on with and its report be published."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bgmv2.errors import VideoError
from bgmv2.report.inspector import Observation
from bgmv2.report.lines import Lines, told
from bgmv2.report.pages import Shown
from bgmv2.report.panels import PANELS, draw
from bgmv2.report.publish import check_report, write_report
from bgmv2.report.repair import bad_spans
from bgmv2.report.rows import Row
from bgmv2.report.summary import Pair, stride, summarize
from bgmv2.video.images import read_image, write_image
from bgmv2.video.sink import settle

if TYPE_CHECKING:
    from typing_extensions import Self

# So many worst frames are shown, at most one for each slot of so many seconds; and so many others, evenly spread.
_WORST, _SLOT, _SPREAD = 10, 0.5, 24
_ROWS, _REPAIRS = "frames.jsonl", "repairs.jsonl"


class Recorder:
    """Keeps the rows of a run, and pictures of some frames, in a folder of its own; publishes them as a report.

    Pictures are kept of the ten worst frames by `Row.score`: time is dealt into slots of half a second, and each slot
    sends its worst frame, so that they are not ten neighbours. And of up to 24 frames evenly spread over the clip,
    however long it is: every k-th, where k doubles when there would be more.

    Args:
        folder: for this alone; it is made if it is missing. What an earlier run left there goes, but for what is kept.
        frames: rows that are kept of a run that is gone on with.
        repaired: rows of its second pass that are kept.

    Raises:
        OutputError: it cannot be written to, or holds fewer rows than should be kept.

    Example::

        with Recorder(folder) as recorder:
            for frame, observation in ...:
                recorder.add(observation)
            recorder.publish(path, clip="clip.mp4", settings={})
    """

    def __init__(self, folder: Path, *, frames: int = 0, repaired: int = 0):
        self._folder = folder
        self._worst = _Worst()
        self._kept: set[int] = set()
        self._unsafe: set[int] = set()
        with told(folder), ExitStack() as stack:
            folder.mkdir(exist_ok=True)
            self._rows = stack.enter_context(closing(Lines(folder / _ROWS, keep=frames)))
            self._repairs = stack.enter_context(closing(Lines(folder / _REPAIRS, keep=repaired)))
            for row in chain(self._rows, self._repairs):
                self._worst.offer(row)
            self._sweep()
            stack.pop_all()

    @property
    def frames(self) -> int:
        """How many rows there are, those that are kept included."""
        return self._rows.count

    @property
    def repaired(self) -> int:
        """How many rows the second pass has replaced."""
        return self._repairs.count

    def add(self, observation: Observation) -> None:
        """Take the next frame.

        Raises:
            ValueError: it is another.
            OutputError: it cannot be written.
        """
        if observation.row.frame != self.frames:
            raise ValueError(f"frame {self.frames} is the next, got {observation.row.frame = }")
        self._take(self._rows, observation.row, observation.layers)

    def replace(self, observation: Observation) -> None:
        """Take a frame of the second pass, which goes forward through the clip; the first pass has ended then.

        Raises:
            ValueError: there is no such frame, or a later one was replaced already.
            OutputError: it cannot be written.
        """
        frame, last = observation.row.frame, -1 if self._repairs.last is None else self._repairs.last.frame
        if not last < frame < self.frames:
            raise ValueError(f"frames {last + 1} to {self.frames - 1} can be replaced, got {frame = }")
        self._take(self._repairs, replace(observation.row, repaired=True), observation.layers)

    def flush(self) -> None:
        """Make all so far survive a power cut.

        Raises:
            OutputError: it cannot be written.
        """
        with told(self._folder):
            self._rows.flush()
            self._repairs.flush()
            for frame in self._unsafe:
                settle(self._picture(frame))
            settle(self._folder)
        self._unsafe.clear()

    def close(self) -> None:
        """Close the files; they stay where they are. May be called twice."""
        with told(self._folder):
            self._rows.close()
            self._repairs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self) -> Iterator[Row]:
        """Yield all rows, those of the second pass in place of what they replaced."""
        return (row for row, _ in self._pairs())

    def bad_spans(self) -> list[range]:
        """Return the frames that deserve a second pass, as `bgmv2.report.repair.bad_spans` tells them.

        Only the first pass counts, so that the answer stays the same during the second.
        """
        return bad_spans(self._rows, self.frames)

    def publish(self, path: Path, *, clip: str, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        """Write the report, and beside it a folder of its name with the pictures.

        Args:
            path: ends in .json; see `check_report`.
            clip: what was matted.
            settings: how; text, numbers, lists and mappings, and what `str` makes text of.
            overwrite: replace a report that is there already.

        Raises:
            OutputError: it cannot be written there.
            OutputExistsError: it is there already.
        """
        check_report(path, overwrite=overwrite)
        frames = self._worst.frames()
        rows = {row.frame: row for row in self.rows() if row.frame in frames}
        step = stride(self.frames, _SPREAD)
        write_report(
            path,
            clip=clip,
            settings=settings,
            summary=summarize(self._pairs, self.frames),
            rows=self.rows,
            worst=list(self._shown(rows[frame] for frame in frames)),
            spread=self._shown(row for row in self.rows() if row.frame % step == 0),
        )

    def _take(self, lines: Lines, row: Row, layers: torch.Tensor) -> None:
        with told(self._folder):
            lines.append(row)
            self._worst.offer(row)
            wanted = self._wanted()
            if row.frame in wanted:
                write_image(self._picture(row.frame), draw(layers), overwrite=True)
                self._kept.add(row.frame)
                self._unsafe.add(row.frame)
            for frame in self._kept - wanted:
                self._picture(frame).unlink(missing_ok=True)
            self._kept &= wanted
            self._unsafe &= wanted

    def _wanted(self) -> set[int]:
        """The frames of which pictures are kept."""
        return {*self._worst.frames(), *range(0, self.frames, stride(self.frames, _SPREAD))}

    def _sweep(self) -> None:
        """Remove the pictures that an earlier run made of frames that it did not keep, and half-written ones."""
        wanted = self._wanted()
        for path in self._folder.iterdir():
            found = re.fullmatch(r"frame-(\d+)\.png", path.name)
            if found and int(found[1]) in wanted:
                self._kept.add(int(found[1]))
            elif found or re.fullmatch(r"\.frame-.*\.png", path.name):
                path.unlink()

    def _picture(self, frame: int) -> Path:
        return self._folder / f"frame-{frame:06}.png"

    def _pairs(self) -> Iterator[Pair]:
        """Yield all rows, and what they replaced."""
        repairs = iter(self._repairs)
        repair = next(repairs, None)
        for row in self._rows:
            if repair is not None and repair.frame == row.frame:
                yield repair, row
                repair = next(repairs, None)
            else:
                yield row, None

    def _shown(self, rows: Iterator[Row]) -> Iterator[Shown]:
        """Yield rows with their panels; without those that a power cut took."""
        for row in rows:
            try:
                strip = read_image(self._picture(row.frame))
                yield Shown(row, np.hsplit(strip, len(PANELS)))
            except (VideoError, ValueError):
                continue


class _Worst:
    """The worst frame of each of the ten worst slots of time."""

    def __init__(self) -> None:
        self._slots: dict[int, tuple[float, int]] = {}  # score and frame

    def offer(self, row: Row) -> None:
        slot = math.floor(row.seconds / _SLOT)
        held = self._slots.get(slot)
        # A row of the second pass takes the place of its own frame, even if it is better.
        if held is None or row.score > held[0] or row.frame == held[1]:
            self._slots[slot] = row.score, row.frame
        if len(self._slots) > _WORST:
            # Of equals the earliest stays.
            del self._slots[min(self._slots, key=lambda slot: (self._slots[slot][0], -self._slots[slot][1]))]

    def frames(self) -> list[int]:
        """Worst first."""
        return [frame for _, frame in sorted(self._slots.values(), key=lambda held: (-held[0], held[1]))]
