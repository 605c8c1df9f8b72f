"""Measure bgmv2 and its peers on a benchmark, and write the README's table anew.

    python tools/compare_peers.py data/benchmark --table README.md --hair data/hair.png
    python tools/compare_peers.py data/easy --table README.md --place easy

Predictions of peers are kept beside their networks, in a folder of the benchmark's own; delete it to make them anew.
All are scored like `bgmv2 eval --predictions`. Needs `pip install .[peers]`, and npm for MODNet.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import cv2
import numpy as np
from peers import PEERS, Method, Scene
from tables import put, put_into, rows
from tqdm import tqdm

from bgmv2 import evaluate
from bgmv2.config import RunConfig
from bgmv2.errors import Bgmv2Error
from bgmv2.evaluate import ALL, Benchmark, Item, Score
from bgmv2.matter import Matter
from bgmv2.video.images import check_image, read_image, write_image

BEGIN, END = "<!-- {}: made by tools/compare_peers.py -->", "<!-- {}: end -->"
OURS = "bgmv2"
HAIR, CROP, SHOWN = "hair", 400, 3
COLOURS = ((255, 0, 200), (0, 220, 255), (255, 230, 0))


def keep(item: Item, phas: np.ndarray, folder: Path) -> None:
    """Write predictions, a clip's last frame last of all: what is there is whole."""
    for path, pha in zip(item.predictions(folder), phas, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.rint(pha * 255).astype(np.uint8), overwrite=True)


def predict(benchmark: Benchmark, method: Method, folder: Path, label: str) -> None:
    """Predict all items that are not there yet."""
    for item in tqdm(benchmark.items, unit="item", desc=label, leave=False):
        if not all(path.exists() for path in item.predictions(folder)):
            frames = [read_image(path) for path in item.srcs]
            keep(item, method(Scene(frames, read_image(item.plate), item.truth())), folder)


def predict_ours(benchmark: Benchmark, matter: Matter, folder: Path) -> None:
    """Predict all items anew: weights change."""
    for item in tqdm(benchmark.items, unit="item", desc=OURS, leave=False):
        keep(item, evaluate.predict(item, matter, RunConfig()), folder)


def score(benchmark: Benchmark, folder: Path) -> list[Score]:
    """Score a folder of predictions."""
    items = tqdm(benchmark.items, unit="item", desc=f"scoring {folder.name}", leave=False)
    return [evaluate.score(item, evaluate.read_predictions(item, folder)) for item in items]


def markdown(benchmark: Benchmark, results: dict[str, list[Score]], weights: str) -> str:
    """Lay out two tables: all measures over all items, and MAD by category.

    Args:
        benchmark: what was measured on.
        results: scores by method, ours first.
        weights: what ours ran with, for people.
    """
    labels = {OURS: f"**bgmv2**, {weights}", **{name: peer.label for name, peer in PEERS.items()}}
    needs = {OURS: "plate", **{name: peer.needs for name, peer in PEERS.items()}}
    summaries = {name: evaluate.summarize(scores) for name, scores in results.items()}
    columns = [("mad", "mean"), ("mad", "median"), ("mad", "worst")]
    columns += [(measure, "mean") for measure in ("band_mad", "mse", "grad", "conn", "background", "dtssd")]
    columns = [(name, kind) for name, kind in columns if name in summaries[OURS][ALL]]  # stills have no dtSSD
    heads = [evaluate.MEASURES[name].label + ("" if kind == "mean" else f", {kind}") for name, kind in columns]
    categories = [category for category in summaries[OURS] if category != ALL]
    stills = sum(len(item.srcs) == 1 for item in benchmark.items)
    overall, by_category = [], []
    for name, summary in summaries.items():
        cells = (evaluate.cell(measure, summary[ALL][measure][kind]) for measure, kind in columns)
        overall.append([labels[name], needs[name], *cells])
        by_category.append(
            [labels[name], *(evaluate.cell("mad", summary[category]["mad"]["mean"]) for category in categories)]
        )
    return "\n".join(
        [
            f"Stills: {stills}, clips: {len(benchmark.items) - stills}, seed: {benchmark.seed}; lower is better. "
            f"{evaluate.legend(dict(columns))}.",
            "",
            *rows(["method", "needs", *heads], overall),
            "",
            "Mean MAD by category:",
            "",
            *rows(["method", *categories], by_category),
        ]
    )


def hairy_items(benchmark: Benchmark) -> list[Item]:
    """Find the items that `hair_sheet` shows.

    Raises:
        ValueError: there are none, or they are too small.
    """
    items = [item for item in benchmark.items if item.category == HAIR][:SHOWN]
    if not items or any(min(item.truth().shape[1:]) < CROP for item in items):
        raise ValueError(f"--hair needs items of the category {HAIR}, of {CROP}x{CROP} pixels or more")
    return items


def hair_sheet(benchmark: Benchmark, folders: dict[str, Path]) -> np.ndarray:
    """Show hair at full size over bright colours: the frame, the truth, then each folder's alpha.

    Colours near edges are estimated from each alpha in the same way, so that only alpha differs.
    """
    from pymatting import estimate_foreground_ml

    rows = []
    for item, colour in zip(hairy_items(benchmark), COLOURS, strict=False):
        src, true = read_image(item.srcs[0]) / 255.0, item.truth()[0]
        soft = ((true > 0.05) & (true < 0.95)).astype(np.float32)
        most = cv2.boxFilter(soft, -1, (CROP, CROP), borderType=cv2.BORDER_CONSTANT)
        y, x = np.unravel_index(most.argmax(), most.shape)
        top, left = (int(np.clip(at - CROP // 2, 0, side - CROP)) for at, side in zip((y, x), true.shape, strict=True))
        window = slice(top, top + CROP), slice(left, left + CROP)
        cells = [src[window]]
        for pha in (true, *(evaluate.read_predictions(item, folder)[0] for folder in folders.values())):
            pha = pha[window].astype(np.float64)
            fgr = estimate_foreground_ml(src[window], pha)
            cells.append(pha[..., None] * fgr + (1 - pha[..., None]) * np.array(colour) / 255)
        rows.append(np.hstack(cells))
    return np.rint(np.clip(np.vstack(rows), 0, 1) * 255).astype(np.uint8)


def main() -> None:
    """Read the flags, predict, score, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path, help="folder made by tools/make_benchmark.py")
    parser.add_argument(
        "--table",
        type=Path,
        help=f"file in which the tables go, between {BEGIN.format('PLACE')} and {END.format('PLACE')}",
    )
    parser.add_argument("--place", default="peers", help="default: %(default)s")
    parser.add_argument("--hair", type=Path, help="write a picture of hair: frame, truth, ours, MODNet, at 1:1")
    parser.add_argument("--weights", help="our weights; default: those that come with bgmv2")
    parser.add_argument("--device", default="auto", help="of our network; default: %(default)s")
    parser.add_argument("--peers", type=Path, default=Path("data/peers"), help="default: %(default)s")
    args = parser.parse_args()
    markers = BEGIN.format(args.place), END.format(args.place)
    try:
        if args.table is not None:
            put("", args.table.read_text(encoding="utf-8"), *markers)  # says now that there is no place for it
        benchmark = evaluate.load_benchmark(args.benchmark)
        if args.hair is not None:
            check_image(args.hair, overwrite=True)
            hairy_items(benchmark)
        store = args.peers / f"predictions-{benchmark.sha256[:12]}"
        matter = Matter(args.weights, args.device)
        folders = {OURS: store / OURS, **{name: store / name for name in PEERS}}
        predict_ours(benchmark, matter, folders[OURS])
        for name, peer in PEERS.items():
            predict(benchmark, peer.load(args.peers), folders[name], peer.label)
        results = {name: score(benchmark, folder) for name, folder in folders.items()}
        text = markdown(benchmark, results, Path(args.weights).name if args.weights else "bundled weights")
        print(text)
        if args.table is not None:
            put_into(args.table, text, *markers)
        if args.hair is not None:
            write_image(args.hair, hair_sheet(benchmark, {n: folders[n] for n in (OURS, "modnet")}), overwrite=True)
    except (Bgmv2Error, ImportError, OSError, ValueError, subprocess.CalledProcessError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
