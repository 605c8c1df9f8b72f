"""Scoring on a benchmark: predictions in a folder, or what a model makes of the pictures the way a user's go.

**Convention**: a benchmark is a folder with `benchmark.json`::

    {"version": 1, "seed": 2026, "sha256": "9f2c...", "items": [
        {"name": "static-0", "category": "static", "plate": "static-0/plate.png",
         "frames": [{"src": "static-0/src.png", "pha": "static-0/pha.png", "fgr": "static-0/fgr.png"}]}, ...]}

An item with one frame is a still, one with more is a clip in order. Predictions are grey pictures in a folder of their
own: ``static-0.png`` for a still; ``clip-0/000000.png``, ``clip-0/000001.png`` and so on for a clip, as `bgmv2` writes
alpha into a folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from bgmv2 import metrics, sheets
from bgmv2.compose import to_uint8
from bgmv2.config import RunConfig
from bgmv2.develop import matte_against
from bgmv2.errors import VideoError
from bgmv2.matter import Matter
from bgmv2.plate.align import Aligner
from bgmv2.plate.keeper import keeper_for
from bgmv2.plate.sources import load_plate
from bgmv2.video.color import to_bits
from bgmv2.video.images import read_image

VERSION = 1
INDEX = "benchmark.json"
ALL = "all"
STATISTICS = ("mean", "median", "worst")


@dataclass(frozen=True)
class Measure:
    """How a measure is shown to people.

    Args:
        label: the head of its column.
        note: in which units or where it is measured.
        factor: what its values are multiplied by.
    """

    label: str
    note: str
    factor: float = 1


# Each item's scores, in the units of `bgmv2.metrics`, and how tables show them: as papers do.
MEASURES = {
    "mad": Measure("MAD", "x1000", 1000),
    "band_mad": Measure("band MAD", "x1000, within 10 pixels of soft edges", 1000),
    "mse": Measure("MSE", "x1000", 1000),
    "grad": Measure("Grad", "in thousands"),
    "conn": Measure("Conn", "in thousands"),
    "background": Measure("bg>0.1 %", "of the background", 100),
    "blobs": Measure("blobs", "are pieces of background above 0.5"),
    "dtssd": Measure("dtSSD", "x100, of clips", 100),
}


def legend(names: Iterable[str]) -> str:
    """Say what numbers of a table mean.

    Args:
        names: of `MEASURES`.
    """
    return "; ".join(f"{MEASURES[name].label} {MEASURES[name].note}" for name in names)


@dataclass(frozen=True)
class Item:
    """A still, or a clip, with its truth.

    Args:
        name: of the item, and of its predictions.
        category: what is hard about it.
        plate: path of the clean background.
        srcs: paths of the frames, in order.
        phas: paths of the true alphas, one for each frame.
    """

    name: str
    category: str
    plate: Path
    srcs: tuple[Path, ...]
    phas: tuple[Path, ...]

    def predictions(self, folder: str | PathLike[str]) -> list[Path]:
        """Where a folder of predictions holds this item's, one for each frame."""
        if len(self.srcs) == 1:
            return [Path(folder, f"{self.name}.png")]
        return [Path(folder, self.name, f"{index:06d}.png") for index in range(len(self.srcs))]

    def truth(self) -> np.ndarray:
        """``(T, H, W)`` true alpha, float32 in 0..1.

        Raises:
            VideoError: a picture cannot be read, or is not sized like the others.
        """
        return np.stack(list(_read_mattes(self.phas, read_image(self.srcs[0]).shape[:2], "the frame")))


@dataclass(frozen=True)
class Benchmark:
    """A benchmark that was found whole.

    Args:
        folder: where it lies.
        seed: from which it was made.
        sha256: of all its pictures, by which two benchmarks are told apart.
        items: all of them.
    """

    folder: Path
    seed: int
    sha256: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Score:
    """What one item got.

    Args:
        item: the item.
        values: by the names of `MEASURES`, means over a clip's frames; a still has no `dtssd`.
        frame: number of the frame with the largest MAD.
    """

    item: Item
    values: Mapping[str, float]
    frame: int = 0


def load_benchmark(folder: str | PathLike[str]) -> Benchmark:
    """Read what a benchmark consists of, and see that it is all there.

    Args:
        folder: made by `tools/make_benchmark.py`.

    Raises:
        VideoError: there is none, it is damaged or incomplete, or was made for another version.
    """
    folder = Path(folder)
    index = folder / INDEX
    if not index.is_file():
        raise VideoError(f"{folder} is no benchmark: it holds no {INDEX}; make one with tools/make_benchmark.py")
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        version, seed, sha256 = content["version"], content["seed"], content["sha256"]
        items = tuple(_parse_item(folder, entry) for entry in content["items"]) if version == VERSION else ()
        if len({item.name for item in items}) < len(items):
            raise ValueError("two items have one name")
    except (ValueError, KeyError, TypeError) as error:
        raise VideoError(f"{index} is damaged ({type(error).__name__}: {error}); make the benchmark again") from error
    if version != VERSION:
        raise VideoError(f"{index} is of version {version}, this bgmv2 reads {VERSION}; make the benchmark again")
    if not items:
        raise VideoError(f"{index} lists no items; make the benchmark again")
    paths = [path for item in items for path in (item.plate, *item.srcs, *item.phas)]
    _expect(paths, "of the benchmark", "make it again")
    return Benchmark(folder, seed, sha256, items)


def read_predictions(item: Item, folder: str | PathLike[str]) -> np.ndarray:
    """Read what was predicted for an item.

    Returns:
        ``(T, H, W)`` float32, 0..1.

    Raises:
        VideoError: a picture is missing, is not grey, or has another size than the frame.
    """
    return np.stack(list(_read_mattes(item.predictions(folder), read_image(item.phas[0]).shape[:2], "the truth")))


def check_predictions(benchmark: Benchmark, folder: str | PathLike[str]) -> None:
    """Say now, not after minutes of scoring, that predictions are missing.

    Raises:
        VideoError: the folder, or a picture, is not there.
    """
    if not Path(folder).is_dir():
        raise VideoError(f"there is no folder {folder}; check the name")
    paths = [path for item in benchmark.items for path in item.predictions(folder)]
    _expect(paths, "of the predictions", "predict every item")


def predict(item: Item, matter: Matter, run: RunConfig) -> np.ndarray:
    """Matte an item as a user's clip is: the plate is aligned and lit like each frame, and follows a clip; 8 bits.

    Args:
        item: the item.
        matter: the network.
        run: only its `align` and `update` count, the latter for clips.

    Returns:
        ``(T, H, W)`` float32, 0..1, in steps of 1/255.

    Raises:
        VideoError: a picture cannot be read, or plate and frame do not belong together.
    """
    frames = [read_image(path) for path in item.srcs]
    height, width = frames[0].shape[:2]
    plate = load_plate(item.plate, width, height)
    aligner = Aligner(plate, mode=run.align, size=(height, width))
    there = plate.to(matter.device)
    keeper = keeper_for(there, (height, width), align=run.align, update=run.update) if len(frames) > 1 else None
    phas = []
    for path, pixels in zip(item.srcs, frames, strict=True):
        if pixels.shape[:2] != (height, width):
            raise VideoError(f"{path} is not sized like the frame before it; make the benchmark again")
        matte, *_ = matte_against(matter, matter.upload(pixels), there, aligner.align(pixels), keeper=keeper)
        phas.append(to_uint8(matte.pha[0, 0]).cpu().numpy())
    return np.stack(phas).astype(np.float32) / 255


def score(item: Item, pred_phas: np.ndarray) -> Score:
    """Measure what was predicted for an item.

    Args:
        item: the item.
        pred_phas: ``(T, H, W)`` float, 0..1.
    """
    truth = item.truth()
    rows = [_score_frame(pred, true) for pred, true in zip(pred_phas, truth, strict=True)]
    values = {name: fmean(row[name] for row in rows) for name in rows[0]}
    if len(truth) > 1:
        values["dtssd"] = metrics.dtssd(pred_phas, truth)
    return Score(item, values, max(range(len(rows)), key=lambda index: rows[index]["mad"]))


def summarize(scores: list[Score]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean, median and worst of each measure, by category and over all items.

    Returns:
        ``summary[category][measure][statistic]``, in the units of `bgmv2.metrics`. `ALL` is the last category.
    """
    categories = [*dict.fromkeys(score.item.category for score in scores), ALL]
    return {
        category: _statistics([s.values for s in scores if category in (s.item.category, ALL)])
        for category in categories
    }


def table(scores: list[Score]) -> str:
    """Lay the summary out for a terminal: a block for each statistic, a row for each category."""
    summary = summarize(scores)
    shown = [name for name in MEASURES if name in summary[ALL]]
    wide = max(len(category) for category in summary)
    lines = [legend(shown)]
    for statistic in STATISTICS:
        heads = " ".join(f"{MEASURES[name].label:>9}" for name in shown)
        lines += ["", f"{statistic:{wide}} {'items':>5} {heads}"]
        for category, values in summary.items():
            count = sum(category in (s.item.category, ALL) for s in scores)
            cells = (cell(name, values[name][statistic]) if name in values else "-" for name in shown)
            lines.append(f"{category:{wide}} {count:5} " + " ".join(f"{text:>9}" for text in cells))
    return "\n".join(lines)


def cell(name: str, value: float) -> str:
    """Write a measure's value as tables show it: ``6.23``, ``208``."""
    shown = value * MEASURES[name].factor
    return f"{shown:.2f}" if shown < 10 else f"{shown:.1f}" if shown < 100 else f"{shown:.0f}"


def report(benchmark: Benchmark, scores: list[Score], **notes: Any) -> dict[str, Any]:
    """Everything that was measured, ready for JSON; `notes` say what was scored."""
    return {
        "benchmark": {"version": VERSION, "seed": benchmark.seed, "sha256": benchmark.sha256},
        **notes,
        "summary": summarize(scores),
        "items": [{"name": s.item.name, "category": s.item.category, **s.values} for s in scores],
    }


def sheet_row(score: Score, pred_phas: np.ndarray, *, side: int = 320) -> np.ndarray:
    """Show an item's worst frame: frame, plate, true alpha, predicted alpha, their difference.

    Args:
        score: what the item got.
        pred_phas: ``(T, H, W)`` float, 0..1.
        side: the long side of each picture in pixels, at most.

    Returns:
        ``(h, 5 * w, 3)`` uint8 RGB, with the item's name and MAD.
    """
    item, index = score.item, score.frame
    pred = pred_phas[index]
    true = next(_read_mattes([item.phas[index]], pred.shape, "the prediction"))
    pictures = [to_bits(read_image(path), 8) for path in (item.srcs[index], item.plate)]
    mattes = [np.rint(x * 255).astype(np.uint8) for x in (true, pred, abs(pred - true))]
    pictures += [np.dstack([matte] * 3) for matte in mattes]
    row = np.hstack([sheets.sized(picture, long_side=min(side, max(pred.shape))) for picture in pictures])
    sheets.label(row, f"{item.name}  MAD {cell('mad', score.values['mad'])}")
    return row


def _parse_item(folder: Path, entry: Any) -> Item:
    frames = entry["frames"]
    if not frames:
        raise ValueError(f"{entry['name']} has no frame")
    if not (isinstance(entry["name"], str) and isinstance(entry["category"], str)) or entry["category"] == ALL:
        raise ValueError(f"names and categories are texts, and '{ALL}' is no category")
    srcs, phas = (tuple(folder / frame[key] for frame in frames) for key in ("src", "pha"))
    return Item(entry["name"], entry["category"], folder / entry["plate"], srcs, phas)


def _expect(paths: list[Path], whose: str, advice: str) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise VideoError(f"{len(missing)} of {len(paths)} pictures {whose} are missing, such as {missing[0]}; {advice}")


def _read_mattes(paths: Iterable[Path], size: tuple[int, ...], like: str) -> Iterator[np.ndarray]:
    """Yield grey pictures as ``(H, W)`` float32 in 0..1."""
    for path in paths:
        pixels = read_image(path)
        if pixels.shape[:2] != size:
            (height, width), (h, w) = pixels.shape[:2], size
            raise VideoError(f"{path} has {width}x{height} pixels, {like} {w}x{h}; alpha is sized like the frame")
        if (pixels != pixels[..., :1]).any():
            raise VideoError(f"{path} has colours, but alpha is grey: white is subject; write it with --pha")
        yield pixels[..., 0].astype(np.float32) / np.iinfo(pixels.dtype).max


def _score_frame(pred: np.ndarray, true: np.ndarray) -> dict[str, float]:
    return {
        "mad": metrics.mad(pred, true),
        "band_mad": metrics.mad(pred, true, where=metrics.unknown_band(true)),
        "mse": metrics.mse(pred, true),
        "grad": metrics.grad(pred, true),
        "conn": metrics.conn(pred, true),
        "background": metrics.background_share(pred, true),
        "blobs": metrics.background_blobs(pred, true),
    }


def _statistics(rows: list[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    found = {name: [row[name] for row in rows if name in row] for name in MEASURES}
    return {
        name: {"mean": fmean(values), "median": median(values), "worst": max(values)}
        for name, values in found.items()
        if values
    }
