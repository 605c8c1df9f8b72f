"""`bgmv2 batch`: many clips."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tqdm import tqdm

from bgmv2.cli import options
from bgmv2.config import CheckConfig, CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.errors import Bgmv2Error, Bgmv2Warning
from bgmv2.progress import Bar, JsonLines
from bgmv2.video import formats

if TYPE_CHECKING:
    from bgmv2.batch import Event, Plan, Settings, Summary, Task

EXAMPLES = """\
examples:
  bgmv2 batch shots/ --out results/                        each clip in it, its plate beside it as clip.plate.png
  bgmv2 batch a.mp4 b.mp4 --plate plate.png --out results/ --rgba .mov
  bgmv2 batch 'shots/*/take?.mp4' --out results/ --pha .mp4 --fgr .mp4 --workers 2
  bgmv2 batch shots.csv --out results/                     a line for each: clip,plate,backdrop,flags
  bgmv2 batch shots/ --out results/ --dry-run              only say what would be done
  bgmv2 batch /shared/shots --out /shared/results --ray auto

plates, the first that is there: the manifest's; clip.plate.png beside clip.mp4; plates/clip.png beside it or in a
folder above, up to the source; plate.png in its folder; --plate. Any kind of picture will do; the manifest may also
say auto, median, first:2s, last:2s or at:12.5, as --plate does.

Give the same command again to go on after Ctrl-C or a loss of power, or to try failed clips again; what is finished
is left alone. Exit code 0 if all is done, 1 if a clip failed, 130 after Ctrl-C.
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "batch",
        help="matte many clips",
        description="Matte many clips, several at a time: folders, globs, and lists with options for each clip. "
        "One that fails does not stop the others.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a clip, a folder with clips and numbered pictures in it and below, a glob, or a manifest: .csv with a "
        "header or .jsonl, with clip, plate, backdrop and flags; flags are words of this command's options",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="where results go; sub-folders are kept")
    parser.add_argument(
        "--plate",
        type=options.parse_plate,
        metavar="PICTURE|WORD",
        help="the clean background of clips that have none of their own, filmed without the subject (NOT what goes "
        f"behind the subject afterwards; that is --backdrop). {options.PLATE_WORDS}",
    )
    options.add_backdrop(parser)
    group = parser.add_argument_group("how to work")
    group.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="clips at a time; default: one for each CUDA device, else one for each four cores",
    )
    group.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="let a Ray cluster work: its address, auto, or local to start one here; its machines share the file "
        "system, so that paths mean the same on each, and each has bgmv2[ray] installed",
    )
    group.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    group.add_argument("--json", action="store_true", help="say it for machines, in lines of JSON")
    _add_settings(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from bgmv2 import batch
    from bgmv2.batch.sources import anchored

    settings = anchored(_read_settings(args), Path.cwd())
    try:
        made = batch.plan(
            args.sources, out=args.out, plate=args.plate, settings=settings, parse=lambda words: _parse(words, settings)
        )
    except Bgmv2Error as error:
        lines = str(error).splitlines()
        if args.debug or len(lines) < 2:
            raise
        # One line each, rather than one line that nobody reads.
        for line in lines:
            tqdm.write(f"bgmv2: error: {line}", file=sys.stderr)
        return 1
    if args.dry_run:
        _show_plan(made, as_json=args.json)
        return 0
    view = _Json() if args.json else _People(len(made.todo))
    try:
        summary = batch.run(made, workers=args.workers, ray=args.ray, tell=view.tell, introduce=view.introduce)
    finally:
        view.close()
    view.end(summary)
    return 130 if summary.interrupted else 1 if summary.failed else 0


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"at least 1 worker is needed, got {text!r}")
    return int(text)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Add what is said of each clip: on the command line for all, in a manifest for one."""
    about = (
        f"OUT is what follows the clip's name and the result's: {', '.join(formats.CONTAINERS)} for a video, .####.png "
        f"or .####.exr for numbered pictures, / for a folder of PNG. Default: -o .mp4, which makes DIR/clip.com.mp4. "
        f"With transparency (--rgba): {formats.transparent_summary(streams=False)}."
    )
    options.add_outputs(parser, textwrap.fill(about, 76))
    for config, flags, title in _tables():
        options.add_config(parser, config, flags, title)


def _tables() -> tuple[tuple[type, dict[str, dict[str, Any]], str], ...]:
    """The options of `bgmv2 convert`, without those that make no sense for many clips."""
    report = {**options.CHECK["report"], "metavar": ".json"}
    return (
        (ReadConfig, {name: flag for name, flag in options.READ.items() if name != "raw"}, "what to read"),
        (CompositeConfig, options.COMPOSITE, "how to compose"),
        (RunConfig, options.RUN, "how to compute"),
        (EncodeConfig, {name: flag for name, flag in options.ENCODE.items() if name != "resume"}, "how to encode"),
        (CheckConfig, {**options.CHECK, "report": report}, "how to check"),
    )


def _read_settings(args: argparse.Namespace) -> Settings:
    from bgmv2.batch import Settings

    results = options.read_outputs(args, needed=False)
    return Settings(
        results=results or Settings().results,
        backdrop=args.backdrop,
        composite=options.read_config(args, CompositeConfig),
        read=options.read_config(args, ReadConfig),
        run=options.read_config(args, RunConfig),
        encode=options.read_config(args, EncodeConfig),
        check=options.read_config(args, CheckConfig),
    )


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave it to who knows the line."""
        raise ValueError(message)


def _parse(words: Sequence[str], settings: Settings) -> Settings:
    """Read the flags of one line of a manifest; what they do not say is as for all clips.

    Raises:
        ValueError: they are wrong.
    """
    parser = _Words(add_help=False)
    _add_settings(parser)
    said = {
        field.name: getattr(config, field.name)
        for config in (settings.read, settings.composite, settings.run, settings.encode, settings.check)
        for field in fields(config)
    }
    parser.set_defaults(**said, **settings.results, backdrop=settings.backdrop, parser=parser)
    return _read_settings(parser.parse_args(words))


def _show_plan(made: Plan, *, as_json: bool) -> None:
    for state, tasks in (("finished", made.finished), ("todo", made.todo)):
        for task in tasks:
            outputs = task.job.outputs()
            if as_json:
                line = {"event": "plan", "clip": task.name, "state": state, "src": task.job.clip}
                print(json.dumps({**line, "plate": task.job.plate, "results": outputs}))
            else:
                words = "finished before: " if state == "finished" else ""
                print(f"{words}{task.job.clip}, plate {task.job.plate} -> {', '.join(outputs.values())}")
    if not as_json:
        print(f"{len(made.todo)} to do, {len(made.finished)} finished before")


class _People:
    """A line for each clip that is finished, and on a terminal a bar for each worker."""

    def __init__(self, total: int) -> None:
        self._clips = tqdm(
            total=total,
            desc="clips",
            bar_format="{l_bar}{bar:20}| {n_fmt}/{total_fmt}{postfix}, {remaining} left",
            position=0,
            leave=False,
            disable=None,
        )
        self._bars: dict[int, Bar] = {}
        self._failed = 0

    def introduce(self, crew: object) -> None:
        tqdm.write(str(crew), file=sys.stdout)
        sys.stdout.flush()

    def tell(self, event: Event) -> None:
        name = event.task.name
        if event.kind == "begun":
            self._bars[event.worker] = Bar(name[-30:], position=event.worker + 1)
        elif event.kind == "warning":
            warnings.warn(f"{name}: {event.message}", Bgmv2Warning, stacklevel=1)
        elif event.progress is not None:
            self._bars[event.worker](event.progress)
        else:
            self._bars.pop(event.worker).done()
            self._said(event.kind, event.task, event)
            self._clips.refresh()

    def _said(self, kind: str, task: Task, event: Event) -> None:
        if event.outcome is not None:
            outcome = event.outcome
            earlier = f", {outcome.resumed} of them earlier" if outcome.resumed else ""
            took = f"{outcome.frames} frames in {outcome.seconds:.1f} s{earlier}"
            tqdm.write(f"{task.name}: {took} -> {', '.join(task.job.outputs().values())}", file=sys.stdout)
            sys.stdout.flush()
            self._clips.update()
        elif kind == "failed":
            tqdm.write(f"bgmv2: error: {task.name}: {event.message}", file=sys.stderr)
            self._failed += 1
            self._clips.set_postfix_str(f"{self._failed} failed", refresh=False)
            self._clips.update()
        elif kind == "again":
            warnings.warn(f"{task.name} is tried once more: {event.message}", Bgmv2Warning, stacklevel=1)

    def close(self) -> None:
        for bar in self._bars.values():
            bar.done()
        self._clips.close()

    def end(self, summary: Summary) -> None:
        print(summary, flush=True)


class _Json:
    """Lines of JSON, each with its event and, but for the last, its clip."""

    def __init__(self) -> None:
        self._watchers: dict[str, JsonLines] = {}

    def introduce(self, crew: object) -> None:
        print(json.dumps({"event": "workers", "message": str(crew)}), flush=True)

    def tell(self, event: Event) -> None:
        name, outcome = event.task.name, event.outcome
        if event.kind == "begun":
            self._watchers[name] = JsonLines(clip=name)
        watcher = self._watchers[name]
        if event.progress is not None:
            watcher(event.progress)
        elif outcome is not None:
            facts = {"frames": outcome.frames, "seconds": outcome.seconds, "resumed": outcome.resumed}
            watcher.done(**facts, results=event.task.job.outputs())
        elif event.kind == "failed":
            watcher.failed(RuntimeError(event.message))
        else:
            told = {"message": event.message} if event.message else {"worker": event.worker}
            print(json.dumps({"event": event.kind, "clip": name, **told}), flush=True)

    def close(self) -> None:
        """Do nothing: each line is out already."""

    def end(self, summary: Summary) -> None:
        counts = {"done": summary.done, "finished": summary.finished, "failed": summary.failed, "left": summary.left}
        print(json.dumps({"event": "summary", "interrupted": summary.interrupted, **counts}), flush=True)
