"""What a run says of itself: numbers for every frame, the worst frames as pictures, and what deserves a second pass.

An `Inspector` measures each frame where it is matted; a `Recorder` keeps what it says in a folder, so that a run that
was killed goes on, and publishes the report at the end. Memory does not grow with the clip.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from bgmv2 import compose
from bgmv2.config import ModelConfig, RunConfig
from bgmv2.errors import OutputError, OutputExistsError, VideoError
from bgmv2.matter import scale_for
from bgmv2.nn.patches import PATCH
from bgmv2.plate.align import Alignment, Status
from bgmv2.types import Matte
from bgmv2.video.images import read_image, write_image
from bgmv2.video.sink import beside, cannot_write, check_file, settle

if TYPE_CHECKING:
    from typing_extensions import Self

# Expected error of alpha from which on a place is uncertain: the paper's threshold to refine.
UNCERTAIN = ModelConfig.refine_threshold
# Long sides in pixels, at most: of the pictures that are kept, and of those in which flicker is sought.
_KEPT_SIDE, _FLICKER_SIDE = 720, 320
# A place that changed by more is no still one: above noise and compression, below what moves.
_STILL = 0.03
# With fewer still places, as a share of the picture, nothing is said of flicker.
_LEAST_STILL = 0.05
# Flicker catches the eye where an error that stays does not.
_FLICKER_WEIGHT = 10
# So many worst frames are shown, at most one for each slot of so many seconds; and so many others, evenly spread.
_WORST, _SLOT, _SPREAD = 10, 0.5, 24
# Medians are those of so many rows at most, evenly spread.
_SAMPLED = 10_000
# A frame is bad from these values on, or from so many times the clip's median on if that is more.
_BAD_UNCERTAIN = 0.001
_BAD_ERROR, _BAD_FLICKER = (0.01, 2.5), (0.001, 5.0)
# Frames on each side of a bad one that are made anew as well, so that no jump is left.
_WIDEN = 5
# The higher budget of a second pass.
_BETTER_SCALE, _BETTER_THRESHOLD = 1.5, 0.05

# How pictures look: red, green and blue of what is drawn, and sizes in pixels.
_DARK, _LIGHT, _DIM, _RED, _BLUE = (24, 24, 26), (232, 232, 232), (140, 140, 146), (255, 84, 72), (34, 52, 84)
_GAP, _LINE, _CELL, _TEXT, _SHEET, _CURVES = 10, 20, 300, 350, 1920, 1400
# An expected error of this much is drawn brightest.
_BRIGHTEST = 0.5
_PANELS = ("frame", "over green", "alpha", "expected error", "refined; red: left uncertain")

# What is drawn over time: under each title the curves with their colours, how a value is written, and which range is
# shown at least.
_CHARTS: dict[str, tuple[dict[str, tuple[int, ...]], str, tuple[float, float]]] = {
    "plate moved, in pixels; red: not found; blue: made anew": ({"shift": _LIGHT}, "{:.1f}", (0.0, 1.0)),
    "light: what the plate's white became in red, green and blue": (
        {"red": (255, 110, 100), "green": (110, 220, 120), "blue": (110, 160, 255)},
        "{:.2f}",
        (0.95, 1.05),
    ),
    "expected error": ({"error": (255, 200, 90)}, "{:.1%}", (0.0, 0.01)),
    "refined; red: left uncertain": ({"refined": (120, 200, 230), "uncertain": _RED}, "{:.1%}", (0.0, 0.01)),
    "flicker": ({"flicker": (200, 160, 255)}, "{:.2%}", (0.0, 0.001)),
}
_CHART, _MARGIN = 110, 64

_ROWS, _REPAIRS = "frames.jsonl", "repairs.jsonl"
_DAMAGED = "is damaged: start anew with --overwrite"


@dataclass(frozen=True)
class Row:
    """The numbers of one frame. Shares and means are of the picture, 0..1.

    Args:
        frame: its number, from 0 on.
        seconds: when it is shown.
        status: whether the plate was found, see `bgmv2.plate.align.Alignment`.
        shift: how far a corner of the plate was moved at most, in pixels.
        matches: corners of the plate that were sought.
        inliers: how many of them agree.
        residual: their median distance from where they should be, in pixels.
        gain: what the plate's red, green and blue are multiplied by.
        bias: what is added to them then.
        error: mean error of alpha that the base network expected; what was refined has less.
        refined: share that was refined.
        uncertain: share where it expected more than `UNCERTAIN`, but where nothing was refined.
        coverage: mean alpha.
        flicker: how much alpha changed where the picture did not, see `Inspector`; None if that cannot be told.
        repaired: the frame was made anew at a higher budget.
    """

    frame: int
    seconds: float
    status: Status
    shift: float
    matches: int
    inliers: int
    residual: float
    gain: tuple[float, ...]
    bias: tuple[float, ...]
    error: float
    refined: float
    uncertain: float
    coverage: float
    flicker: float | None = None
    repaired: bool = False

    @property
    def score(self) -> float:
        """How bad the frame is: ``error + uncertain + 10 * flicker``; endless if the network failed."""
        score = self.error + self.uncertain + _FLICKER_WEIGHT * (self.flicker or 0)
        return math.inf if math.isnan(score) else score

    @property
    def light(self) -> tuple[float, ...]:
        """What the plate's white became in red, green and blue: 1 if the light did not change."""
        return tuple(gain + bias for gain, bias in zip(self.gain, self.bias, strict=True))

    def to_json(self) -> str:
        """One line, without its end. What is no number becomes null."""
        values = {name: None if value != value else value for name, value in asdict(self).items()}
        return json.dumps(values, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> Row:
        """Undo `to_json`.

        Raises:
            ValueError: it is no such line.
        """
        values = json.loads(line)
        try:
            for name in ("error", "refined", "uncertain", "coverage"):
                values[name] = math.nan if values[name] is None else values[name]
            return cls(**{**values, "gain": tuple(values["gain"]), "bias": tuple(values["bias"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no row of a report: {line!r:.100}") from error


@dataclass(frozen=True, eq=False)
class Observation:
    """What an `Inspector` saw in one frame.

    Args:
        row: the numbers.
        layers: ``(9, h, w)`` uint8 on the inspector's device, reduced: frame, foreground times alpha, alpha, expected
            error, refined patches.
    """

    row: Row
    layers: torch.Tensor


class Inspector:
    """Measures the frames of one clip, in their order, on the device that mattes them.

    Flicker is the mean change of alpha since the frame before, over all still places: those where no channel of the
    picture changed by more than 0.03, neither there nor beside it. Both are looked at reduced by a whole number, to a
    long side of 320 pixels at most. There is none for the first frame, nor where less than a twentieth is still.

    Args:
        frames: how many were inspected before, by a run that is gone on with; then `prime` tells what the last of them
            looked like.
    """

    def __init__(self, *, frames: int = 0):
        self._frames = frames
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @torch.inference_mode()
    def __call__(self, src: torch.Tensor, matte: Matte, alignment: Alignment, seconds: float) -> Observation:
        """Measure the next frame.

        Args:
            src: ``(1, 3, H, W)`` frame, 0..1.
            matte: of this frame, as it is delivered.
            alignment: of the plate to this frame.
            seconds: when the frame is shown.
        """
        flicker, still = self._change(src, matte)
        error = F.interpolate(matte.err, size=matte.ref.shape[2:], mode="bilinear", align_corners=False)
        uncertain = (error > UNCERTAIN) & (matte.ref == 0)
        means = [x.float().mean() for x in (matte.err, matte.ref, uncertain, matte.pha)]
        # All at once, because each transfer waits for the device.
        values = [round(x, 6) for x in torch.stack([*means, flicker, still]).tolist()]
        row = Row(
            frame=self._frames,
            seconds=round(seconds, 6),
            status=alignment.status,
            shift=round(_shift(alignment.homography, *src.shape[2:]), 3),
            matches=alignment.matches,
            inliers=alignment.inliers,
            residual=round(float(alignment.residual), 4),
            gain=tuple(round(float(x), 5) for x in alignment.gain),
            bias=tuple(round(float(x), 5) for x in alignment.bias),
            error=values[0],
            refined=values[1],
            uncertain=values[2],
            coverage=values[3],
            flicker=values[4] if values[5] >= _LEAST_STILL and math.isfinite(values[4]) else None,
        )
        self._frames += 1
        return Observation(row, _layers(src, matte))

    @torch.inference_mode()
    def prime(self, src: torch.Tensor, matte: Matte) -> None:
        """Take a frame for the one before the next, without measuring it."""
        self._last = _reduced(src, _FLICKER_SIDE), _reduced(matte.pha, _FLICKER_SIDE)

    def _change(self, src: torch.Tensor, matte: Matte) -> tuple[torch.Tensor, torch.Tensor]:
        """Return flicker, and the share of still places: 0 if there was no frame before."""
        last = self._last
        self.prime(src, matte)
        if last is None or self._last is None:
            return src.new_zeros(()), src.new_zeros(())
        change, flicker = (abs(now - before) for now, before in zip(self._last, last, strict=True))
        still = (F.max_pool2d(change.amax(dim=1, keepdim=True), 3, stride=1, padding=1) <= _STILL).float()
        return (flicker * still).sum() / still.sum().clamp(min=1), still.mean()


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
        with _told(folder), ExitStack() as stack:
            folder.mkdir(exist_ok=True)
            self._rows = stack.enter_context(closing(_Lines(folder / _ROWS, keep=frames)))
            self._repairs = stack.enter_context(closing(_Lines(folder / _REPAIRS, keep=repaired)))
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

    def _take(self, lines: _Lines, row: Row, layers: torch.Tensor) -> None:
        with _told(self._folder):
            lines.append(row)
            self._worst.offer(row)
            wanted = self._wanted()
            if row.frame in wanted:
                write_image(self._picture(row.frame), _strip(layers), overwrite=True)
                self._kept.add(row.frame)
                self._unsafe.add(row.frame)
            for frame in self._kept - wanted:
                self._picture(frame).unlink(missing_ok=True)
            self._kept &= wanted
            self._unsafe &= wanted

    def flush(self) -> None:
        """Make all so far survive a power cut.

        Raises:
            OutputError: it cannot be written.
        """
        with _told(self._folder):
            self._rows.flush()
            self._repairs.flush()
            for frame in self._unsafe:
                settle(self._picture(frame))
            settle(self._folder)
        self._unsafe.clear()

    def close(self) -> None:
        """Close the files; they stay where they are. May be called twice."""
        with _told(self._folder):
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

    def bad_spans(self, *, rescaled: bool = True) -> list[range]:
        """Return the frames that deserve a second pass at a higher budget, as ranges in their order.

        A frame is bad if more than a thousandth of it is uncertain but was not refined; if its flicker is above 0.001
        and five times the clip's median; or if its expected error is above 0.01 and two and a half times the median.
        Five frames on each side go along, and ranges that meet are one. Only the first pass counts, so that the answer
        stays the same during the second.

        Args:
            rescaled: the base network will see the frames larger. If it does not, it will say the same again, and only
                what is uncertain but was not refined can become better.
        """
        middle = _medians(self._rows, self.frames)
        most_error = max(_BAD_ERROR[0], _BAD_ERROR[1] * middle["error"])
        most_flicker = max(_BAD_FLICKER[0], _BAD_FLICKER[1] * middle["flicker"])
        spans: list[range] = []
        for row in self._rows:
            is_doubtful = row.error > most_error or (row.flicker or 0) > most_flicker
            if row.uncertain > _BAD_UNCERTAIN or (rescaled and is_doubtful):
                first, end = max(0, row.frame - _WIDEN), min(self.frames, row.frame + _WIDEN + 1)
                if spans and first <= spans[-1].stop:
                    spans[-1] = range(spans[-1].start, end)
                else:
                    spans.append(range(first, end))
        return spans

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
        folder = path.with_suffix("")
        summary, worst = _summary(self._pairs, self.frames), self._ranked(folder.name)
        summary["worst"] = [entry for entry, _, _ in worst]
        text, pictures = beside(path), beside(folder)
        try:
            with _told(path):
                _write_json(text, {"clip": clip, "settings": settings, "summary": summary}, self.rows())
                pictures.mkdir()
                for entry, row, panels in worst:
                    write_image(pictures / Path(entry["picture"]).name, _page(row, panels, rank=entry["rank"]))
                cells = [_cell(row, panels) for row, panels in self._spread()]
                if cells:
                    write_image(pictures / "sheet.png", _sheet(cells))
                    write_image(pictures / "curves.png", _curves(self.rows, self.frames))
                # The folder first: where the JSON stands, everything does.
                if folder.exists():
                    shutil.rmtree(folder)
                os.replace(pictures, folder)
                os.replace(text, path)
        finally:
            text.unlink(missing_ok=True)
            shutil.rmtree(pictures, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the pictures that an earlier run made of frames that it did not keep, and half-written ones."""
        wanted = self._wanted()
        for path in self._folder.iterdir():
            found = re.fullmatch(r"frame-(\d+)\.png", path.name)
            if found and int(found[1]) in wanted:
                self._kept.add(int(found[1]))
            elif found or re.fullmatch(r"\.frame-.*\.png", path.name):
                path.unlink()

    def _wanted(self) -> set[int]:
        return {*self._worst.frames(), *range(0, self.frames, _stride(self.frames, _SPREAD))}

    def _picture(self, frame: int) -> Path:
        return self._folder / f"frame-{frame:06}.png"

    def _panels(self, frame: int) -> list[np.ndarray] | None:
        """What `_strip` put side by side; None if a power cut took it."""
        try:
            return np.hsplit(read_image(self._picture(frame)), len(_PANELS))
        except (VideoError, ValueError):
            return None

    def _pairs(self) -> Iterator[tuple[Row, Row | None]]:
        """Yield all rows, and what they replaced."""
        repairs = iter(self._repairs)
        repair = next(repairs, None)
        for row in self._rows:
            if repair is not None and repair.frame == row.frame:
                yield repair, row
                repair = next(repairs, None)
            else:
                yield row, None

    def _ranked(self, folder: str) -> list[tuple[dict[str, Any], Row, list[np.ndarray]]]:
        """The worst frames, worst first: what the summary says of them, their rows and pictures."""
        frames = self._worst.frames()
        rows = {row.frame: row for row in self.rows() if row.frame in frames}
        ranked: list[tuple[dict[str, Any], Row, list[np.ndarray]]] = []
        for frame in frames:
            panels = self._panels(frame)
            if panels is not None:
                rank, score = len(ranked) + 1, rows[frame].score
                said = {"rank": rank, "frame": frame, "score": round(score, 6) if math.isfinite(score) else None}
                picture = f"{folder}/worst-{rank:02}-frame-{frame:06}.png"
                ranked.append(({**said, "picture": picture}, rows[frame], panels))
        return ranked

    def _spread(self) -> Iterator[tuple[Row, list[np.ndarray]]]:
        """Yield the evenly spread frames with their pictures."""
        step = _stride(self.frames, _SPREAD)
        for row in self.rows():
            panels = self._panels(row.frame) if row.frame % step == 0 else None
            if panels is not None:
                yield row, panels


class _Lines:
    """A file of rows, one a line, to which rows are added; a line that is not whole is none.

    Args:
        path: of the file, which is made if it is missing.
        keep: how many rows stay; later ones are cut off.

    Raises:
        OSError: it cannot be written.
        OutputError: there are fewer whole rows.
    """

    def __init__(self, path: Path, *, keep: int):
        self._path = path
        self.count = keep
        self.last: Row | None = None
        end = 0
        with path.open("ab+") as file:
            file.seek(0)
            for line in islice(file, keep):
                if line.endswith(b"\n"):
                    end += len(line)
                    keep -= 1
                    last = line
            if keep:
                raise OutputError(f"{path} {_DAMAGED}")
            file.truncate(end)
        if self.count:
            self.last = self._parsed(last)
        self._file: BinaryIO = path.open("ab")

    def append(self, row: Row) -> None:
        self._file.write(row.to_json().encode() + b"\n")
        self.count += 1
        self.last = row

    def __iter__(self) -> Iterator[Row]:
        self._file.flush()
        with self._path.open("rb") as file:
            yield from map(self._parsed, file)

    def flush(self) -> None:
        self._file.flush()
        settle(self._path)

    def close(self) -> None:
        self._file.close()

    def _parsed(self, line: bytes) -> Row:
        try:
            return Row.from_json(line)
        except ValueError as error:
            raise OutputError(f"{self._path} {_DAMAGED}") from error


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


def check_report(path: Path, *, overwrite: bool) -> None:
    """Say now, not after hours of work, that a report cannot be published.

    Args:
        path: of the JSON file; its pictures go into a folder of that name.
        overwrite: an existing report may be replaced, but no folder that holds anything else.

    Raises:
        OutputError: it has another suffix, its folder is not there or may not be written to, or something else stands
            where the pictures go.
        OutputExistsError: it is there already.
    """
    if path.suffix.lower() != ".json":
        raise OutputError(f"{path} does not end in .json, as a report does: call it {path.name}.json")
    check_file(path, overwrite=overwrite)
    folder = path.with_suffix("")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(
            f"{folder} is a file, but the report's pictures go into a folder of that name; choose another"
        )
    if not overwrite:
        raise OutputExistsError(f"{folder} is there already; choose another name, or allow --overwrite")
    for other in folder.iterdir():
        if not re.fullmatch(r"(sheet|curves|worst-\d+-frame-\d+)\.png", other.name):
            raise OutputError(
                f"{folder} holds more than a report's pictures, such as {other.name}; choose another name"
            )


def better(run: RunConfig, *, width: int, height: int) -> RunConfig:
    """Return the settings for a second pass over bad spans.

    The base network sees one and a half times as many pixels in each direction, as far as it can, and all is refined
    where it expects an error above 0.05; what was asked for beyond that stays.

    Args:
        run: the settings of the first pass.
        width: of the frames, in pixels.
        height: of the frames, in pixels.
    """
    scale = min(0.5, _BETTER_SCALE * (run.scale or scale_for(height, width)))
    if run.refine == "full":
        return replace(run, scale=scale)
    threshold = _BETTER_THRESHOLD if run.threshold is None else min(run.threshold, _BETTER_THRESHOLD)
    return replace(run, scale=scale, refine="thresholding", threshold=threshold)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell a person what the system says of a file that cannot be written."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def _stride(count: int, most: int) -> int:
    """Return the power of two of which, from 0 up to a number, there are `most` multiples or fewer."""
    stride = 1
    while (count - 1) // stride + 1 > most:
        stride *= 2
    return stride


def _numbers(row: Row) -> dict[str, float]:
    """What of a row the summary is about, without what is not known."""
    numbers = {
        "shift": row.shift,
        "residual": row.residual,
        "light": max(round(abs(light - 1), 5) for light in row.light),
        "error": row.error,
        "refined": row.refined,
        "uncertain": row.uncertain,
        "coverage": row.coverage,
        "flicker": math.nan if row.flicker is None else row.flicker,
    }
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _medians(rows: Iterable[Row], count: int) -> defaultdict[str, float]:
    """Medians of what `_numbers` names, over rows evenly spread; 0 where nothing is known."""
    sampled: defaultdict[str, list[float]] = defaultdict(list)
    for row in islice(rows, 0, None, _stride(count, _SAMPLED)):
        for name, number in _numbers(row).items():
            sampled[name].append(number)
    return defaultdict(float, {name: round(median(numbers), 6) for name, numbers in sampled.items()})


def _summary(pairs: Callable[[], Iterator[tuple[Row, Row | None]]], count: int) -> dict[str, Any]:
    """Put all rows into a few numbers.

    Args:
        pairs: yields each row, and what it replaced in a second pass.
        count: of the rows.
    """
    middle = _medians((row for row, _ in pairs()), count)
    statuses: Counter[str] = Counter()
    least: dict[str, float] = {}
    most: dict[str, tuple[float, int]] = {}
    ends: list[float] = []
    for row, _ in pairs():
        statuses[row.status] += 1
        ends = [ends[0] if ends else row.seconds, row.seconds]
        for name, number in _numbers(row).items():
            least[name] = min(number, least.get(name, number))
            most[name] = max(most.get(name, (number, row.frame)), (number, row.frame), key=lambda found: found[0])
    return {
        "frames": count,
        "first": ends[0] if ends else None,
        "last": ends[1] if ends else None,
        "alignment": dict(statuses),
        **{
            name: {"median": middle[name], "least": least[name], "most": number, "frame": frame}
            for name, (number, frame) in most.items()
        },
        "repaired": [_repair(span) for is_new, span in groupby(pairs(), lambda pair: pair[0].repaired) if is_new],
    }


def _repair(pairs: Iterable[tuple[Row, Row | None]]) -> dict[str, Any]:
    """What a second pass changed in a span: its first and last frame, and means before and after."""
    frames: list[int] = []
    sums: dict[str, list[float]] = {name: [0.0, 0.0] for name in ("error", "uncertain", "flicker")}
    counts = dict.fromkeys(sums, 0)
    for after, before in pairs:
        frames = [frames[0] if frames else after.frame, after.frame]
        old, new = ({} if row is None else _numbers(row) for row in (before, after))
        for name in sums.keys() & old.keys() & new.keys():
            sums[name] = [sums[name][0] + old[name], sums[name][1] + new[name]]
            counts[name] += 1
    means = {name: [round(x / counts[name], 6) for x in sums[name]] for name in sums if counts[name]}
    return {"first": frames[0], "last": frames[1], **means}


def _write_json(path: Path, head: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write a mapping, and rows under `frames`, each on a line."""
    with path.open("w", encoding="ascii") as file:
        file.write(json.dumps(head, indent=1, default=str).removesuffix("\n}") + ',\n "frames": [')
        file.writelines(f"{',' if row.frame else ''}\n  {row.to_json()}" for row in rows)
        file.write("\n ]\n}\n")
    settle(path)


def _shift(homography: np.ndarray, height: int, width: int) -> float:
    """How far a homography moves a corner of the picture at most, in pixels."""
    corners = np.array([[[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]], np.float64)
    return float(np.linalg.norm(cv2.perspectiveTransform(corners, homography) - corners, axis=2).max())


def _step(height: int, width: int, side: int) -> int:
    """By how much a picture is reduced to a long side of `side` at most."""
    return max(1, math.ceil(max(height, width) / side))


def _reduced(x: torch.Tensor, side: int) -> torch.Tensor:
    """Average ``(B, C, H, W)`` over squares."""
    step = _step(x.shape[2], x.shape[3], side)
    return F.avg_pool2d(x, step, ceil_mode=True) if step > 1 else x


def _layers(src: torch.Tensor, matte: Matte) -> torch.Tensor:
    """What a frame is drawn from, see `Observation`."""
    colors = _reduced(src, _KEPT_SIDE), _reduced(compose.premultiply(matte.fgr, matte.pha), _KEPT_SIDE)
    size = colors[0].shape[2:]
    error = F.interpolate(matte.err, size=size, mode="bilinear", align_corners=False)
    # Patches may reach beyond the picture, so that their grid is not simply as large.
    step = _step(src.shape[2], src.shape[3], _KEPT_SIDE)
    y, x = (((torch.arange(n, device=src.device) + 0.5) * step / PATCH).long() for n in size)
    y, x = y.clamp(max=matte.ref.shape[2] - 1), x.clamp(max=matte.ref.shape[3] - 1)
    refined = matte.ref[:, :, y[:, None], x]
    return compose.to_uint8(torch.cat([*colors, _reduced(matte.pha, _KEPT_SIDE), error, refined], dim=1)[0])


def _strip(layers: torch.Tensor) -> np.ndarray:
    """Draw the panels side by side, ``(h, 5 * w, 3)`` uint8."""
    pixels = layers.permute(1, 2, 0).cpu().numpy()
    frame, subject, pha, error, refined = np.split(pixels, [3, 6, 7, 8], axis=2)
    green = compose.parse_color("green").numpy()
    over_green = np.rint(subject + (255 - pha) * green).clip(0, 255).astype(np.uint8)
    bright = np.minimum(error / (255 * _BRIGHTEST), 1)
    heat = cv2.applyColorMap(np.rint(bright * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    grey = np.repeat(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    patches = np.where(refined > 0, frame, grey // 4)
    left = (refined == 0) & (error > 255 * UNCERTAIN)
    patches = np.where(left, np.array(_RED, np.uint8), patches)
    return np.hstack([frame, over_green, np.repeat(pha, 3, axis=2), heat, patches])


def _write(picture: np.ndarray, text: str, x: int, y: int, *, color: tuple[int, ...] = _LIGHT) -> None:
    """Write into a picture; x and y are where the text begins on its base line."""
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, 1, cv2.LINE_AA)


def _canvas(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), _DARK, np.uint8)


def _sized(picture: np.ndarray, *, long_side: int) -> np.ndarray:
    """Bring a picture to a long side; small ones are enlarged by whole numbers only, so that pixels stay visible."""
    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    if scale > 1:
        return np.kron(picture, np.ones((int(scale), int(scale), 1), np.uint8))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _grid(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Lay pictures of one size side by side, with space between them."""
    height, width = cells[0].shape[:2]
    columns = min(columns, len(cells))
    rows = math.ceil(len(cells) / columns)
    picture = _canvas(rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP)
    for index, cell in enumerate(cells):
        y, x = (
            _GAP + place * (side + _GAP) for place, side in zip(divmod(index, columns), (height, width), strict=True)
        )
        picture[y : y + height, x : x + width] = cell
    return picture


def _facts(row: Row) -> dict[str, str]:
    """What a row says, in words."""
    flicker = "not known" if row.flicker is None else f"{row.flicker:.3%}"
    return {
        "frame": f"{row.frame} at {row.seconds:.2f} s",
        "expected error": f"{row.error:.2%}",
        "refined": f"{row.refined:.2%}",
        "left uncertain": f"{row.uncertain:.2%}",
        "flicker": flicker,
        "coverage": f"{row.coverage:.1%}",
        "plate": f"{row.status}, moved {row.shift:.1f} px",
        "matches": f"{row.inliers} of {row.matches}, {row.residual:.2f} px off" if row.matches else "none sought",
        "light": " ".join(f"{light:.3f}" for light in row.light),
        **({"made anew": "at a higher budget"} if row.repaired else {}),
    }


def _page(row: Row, panels: list[np.ndarray], *, rank: int) -> np.ndarray:
    """One of the worst frames: its panels, and its numbers in the sixth place."""
    panels = [_sized(panel, long_side=max(_CELL, *panel.shape[:2])) for panel in panels]
    facts = {"worst": f"number {rank}", **_facts(row)}
    height = max(panels[0].shape[0], _LINE * len(facts)) + _LINE
    width = max(panels[0].shape[1], _TEXT)
    cells = []
    for name, panel in zip(_PANELS, panels, strict=True):
        cell = _canvas(height, width)
        _write(cell, name, 0, 14, color=_DIM)
        cell[_LINE : _LINE + panel.shape[0], : panel.shape[1]] = panel
        cells.append(cell)
    told = _canvas(height, width)
    for line, (name, said) in enumerate(facts.items(), 1):
        _write(told, name, 0, _LINE * line + 14, color=_DIM)
        _write(told, said, 130, _LINE * line + 14)
    return _grid([*cells, told], columns=3)


def _cell(row: Row, panels: list[np.ndarray]) -> np.ndarray:
    """A frame of the sheet beside its alpha, above its numbers."""
    pictures = np.hstack([_sized(panels[_PANELS.index(name)], long_side=_CELL) for name in ("frame", "alpha")])
    height, width = pictures.shape[:2]
    cell = _canvas(height + 2 * _LINE, max(width, _TEXT))
    cell[:height, :width] = pictures
    facts = _facts(row)
    _write(cell, f"frame {facts['frame']}, plate {row.status}", 0, height + 15)
    said = f"error {facts['expected error']}  refined {facts['refined']}  flicker {facts['flicker']}"
    _write(cell, said, 0, height + _LINE + 13, color=_DIM)
    return cell


def _sheet(cells: list[np.ndarray]) -> np.ndarray:
    return _grid(cells, columns=max(1, _SHEET // cells[0].shape[1]))


def _curves(rows: Callable[[], Iterable[Row]], count: int) -> np.ndarray:
    """Draw the numbers over time; where frames are more than pixels, their mean, and dimly their highest."""
    bins = min(count, _CURVES - _MARGIN - _GAP)
    sums: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(bins))
    counts: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(bins))
    peaks: defaultdict[str, np.ndarray] = defaultdict(lambda: np.full(bins, -np.inf))
    is_held, is_repaired, seconds = np.zeros(bins, bool), np.zeros(bins, bool), np.zeros(bins)
    for row in rows():
        place = row.frame * bins // count
        is_held[place] |= row.status == "held"
        is_repaired[place] |= row.repaired
        seconds[place] = row.seconds
        for name, number in {**_numbers(row), **dict(zip(("red", "green", "blue"), row.light, strict=True))}.items():
            sums[name][place] += number
            counts[name][place] += 1
            peaks[name][place] = max(peaks[name][place], number)
    xs = np.rint(_MARGIN + (np.arange(bins) + 0.5) * (_CURVES - _MARGIN - _GAP) / bins).astype(int)
    charts = []
    for title, (curves, written, (low, high)) in _CHARTS.items():
        known = {name: counts[name] > 0 for name in curves}
        means = {name: sums[name] / np.maximum(counts[name], 1) for name in curves}
        low = min(low, *(means[name].min(initial=low, where=known[name]) for name in curves))
        high = max(high, *(peaks[name].max(initial=high, where=known[name]) for name in curves))
        chart = _canvas(_LINE + _CHART + _GAP, _CURVES)
        _write(chart, title, _MARGIN, 14)
        for value, y in ((high, _LINE + 10), (low, _LINE + _CHART)):
            _write(chart, written.format(value), 4, y, color=_DIM)
        half = max(1, (_CURVES - _MARGIN - _GAP) // bins // 2)
        for x in xs[is_repaired]:
            chart[_LINE : _LINE + _CHART + 1, x - half : x + half + 1] = _BLUE
        chart[[_LINE, _LINE + _CHART], _MARGIN : _CURVES - _GAP] = 64
        for name, color in curves.items():
            dim = tuple(value // 2 for value in color)
            for values, ink in ((peaks[name], dim), (means[name], color)):
                ys = _LINE + _CHART * (1 - (np.where(known[name], values, low) - low) / (high - low))
                _draw(chart, xs[known[name]], ys[known[name]], ink)
        if "shift" in curves:
            for x in xs[is_held]:
                chart[_LINE + _CHART - 4 : _LINE + _CHART, x - half : x + half + 1] = _RED
        charts.append(chart)
    times = _canvas(_LINE, _CURVES)
    for place in sorted({round(share * (bins - 1)) for share in (0, 0.2, 0.4, 0.6, 0.8, 1)}):
        said = f"{seconds[place]:.1f} s"
        _write(times, said, min(xs[place], _CURVES - 9 * len(said)), 12, color=_DIM)
    return np.vstack([_canvas(_GAP, _CURVES), *charts, times])


def _draw(chart: np.ndarray, xs: np.ndarray, ys: np.ndarray, color: tuple[int, ...]) -> None:
    points = np.rint(np.stack([xs, ys], axis=1) * 16).astype(np.int32)  # in sixteenths of a pixel
    if len(points) == 1:
        cv2.circle(chart, (int(xs[0]), round(ys[0])), 2, color, -1, cv2.LINE_AA)
    cv2.polylines(chart, [points], False, color, 1, cv2.LINE_AA, 4)
