"""`bgmv2 eval`: how far alpha is from the truth, on a benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bgmv2.cli import options
from bgmv2.config import RunConfig
from bgmv2.errors import OutputError
from bgmv2.progress import counted

if TYPE_CHECKING:
    import numpy as np

    from bgmv2.evaluate import Item

WORST = 10  # rows of the contact sheet
EXAMPLES = """\
examples:
  bgmv2 eval data/benchmark                                          the weights that come along
  bgmv2 eval data/benchmark --weights mine.safetensors --sheet worst.png
  bgmv2 eval data/benchmark --predictions theirs/ --json theirs.json
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "eval",
        help="score a model, or a folder of predictions, on a benchmark",
        description="Measure how far alpha is from the truth, on pictures whose truth is known.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", metavar="SET", help="a folder made by tools/make_benchmark.py")
    parser.add_argument(
        "--predictions",
        metavar="FOLDER",
        help="score these grey pictures, NAME.png or NAME/000000.png, instead of computing with a model",
    )
    group = parser.add_argument_group("results, besides the table")
    group.add_argument("--json", metavar="OUT", help="all scores, and their summary")
    group.add_argument(
        "--sheet",
        metavar="OUT",
        help=f"a picture of the {WORST} worst items, worst first: frame, plate, truth, alpha, difference",
    )
    group.add_argument("--overwrite", action="store_true", help="replace results that are there already")
    flags = {**options.STILL, "update": options.RUN["update"]}
    options.add_config(parser, RunConfig, flags, "how to compute")
    return parser


def run(args: argparse.Namespace) -> None:
    """Do it."""
    from bgmv2 import evaluate, sheets
    from bgmv2.matter import Matter
    from bgmv2.video.images import write_image

    config = options.read_config(args, RunConfig)
    if args.predictions is not None and config != RunConfig():
        args.parser.error("--predictions are scored as they are: leave out --weights and how to compute")
    _check_outputs(args)
    benchmark = evaluate.load_benchmark(args.benchmark)
    predict: Callable[[Item], np.ndarray]
    if args.predictions is not None:
        evaluate.check_predictions(benchmark, args.predictions)
        notes = {"predictions": args.predictions}

        def predict(item: Item) -> np.ndarray:
            return evaluate.read_predictions(item, args.predictions)
    else:
        matter = Matter.from_config(config)
        print(matter, flush=True)
        notes = {"weights": config.weights or "bundled", "model": str(matter), "align": config.align}

        def predict(item: Item) -> np.ndarray:
            return evaluate.predict(item, matter, config)

    scores, rows = [], []
    for item in counted(benchmark.items, unit="item"):
        pred_phas = predict(item)
        scores.append(evaluate.score(item, pred_phas))
        if args.sheet is not None:
            rows.append(evaluate.sheet_row(scores[-1], pred_phas))
    print(evaluate.table(scores))
    if args.json is not None:
        _write_json(Path(args.json), evaluate.report(benchmark, scores, **notes))
    if args.sheet is not None:
        worst = sorted(range(len(rows)), key=lambda index: -scores[index].values["mad"])[:WORST]
        write_image(args.sheet, sheets.stacked([rows[index] for index in worst]), overwrite=args.overwrite)


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse now what could not be written after minutes of work.

    Raises:
        OutputError: says what.
    """
    from bgmv2.video.images import check_image
    from bgmv2.video.sink import check_file

    if args.json is not None:
        check_file(Path(args.json), overwrite=args.overwrite)
    if args.sheet is not None:
        check_image(args.sheet, overwrite=args.overwrite)
        if args.json is not None and Path(args.json).resolve() == Path(args.sheet).resolve():
            raise OutputError(f"--json and --sheet would both be written to {args.sheet}: give each a name of its own")


def _write_json(path: Path, content: dict[str, object]) -> None:
    from bgmv2.video.sink import replacing

    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
