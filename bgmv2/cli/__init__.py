"""The command line: `convert`, `plate`, `webcam` and others. Errors become one line on stderr and an exit code.

Exit codes: 0 done; 1 it could not be done, stderr says why, or `verify` found a difference; 2 wrong usage; 3
`check` says that plate or clip should be filmed again; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from tqdm import tqdm

from bgmv2 import __version__
from bgmv2.cli import batch, check, convert, eval, export, image, plate, verify, webcam
from bgmv2.errors import Bgmv2Error, Bgmv2Warning, one_line
from bgmv2.memory import keep_memory
from bgmv2.progress import JsonLines

VERBS = (convert, check, plate, webcam, batch, image, eval, verify, export)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words behind `bgmv2`; None takes the process's own.

    Returns:
        The exit code.
    """
    parser = _Parser(
        prog="bgmv2",
        description="A green screen when you have none: film the scene once without the subject, and get the subject's "
        "alpha and colours for every frame.",
    )
    parser.add_argument("--version", action="version", version=f"bgmv2 {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for verb in VERBS:
        sub = verb.add_parser(verbs)
        sub.add_argument("--debug", action="store_true", help="show the trace of an error")
        sub.set_defaults(run=verb.run, parser=sub)
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        args, strange = parser.parse_known_args(words)
        if strange:
            args.parser.error(f"unrecognized arguments: {' '.join(strange)}{_meant(strange[0], args.parser)}")
    except _WrongUsageError as error:
        _refuse(error, words)
    if argv is None:  # else the process is another's
        keep_memory()
        # Threads of torch that wait for each other would spin, which takes the time from decoding, encoding and other
        # programs. It reads this when it is loaded, which no verb does before it runs.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with warnings.catch_warnings():
            # Ours are for users; those of libraries are for developers.
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", Bgmv2Warning)
            warnings.showwarning = _show_warning
            return args.run(args) or 0
    except _WrongUsageError as error:
        _refuse(error, words)
    except KeyboardInterrupt:
        _say("interrupted: no half-written result bears its name")
        return 130
    except (Bgmv2Error, OSError, MemoryError) as error:
        if args.debug:
            raise
        _say(f"error: {one_line(error) or 'out of memory'}")
        return 1


class _WrongUsageError(Exception):
    """What is wrong with the words of a command; `prog` knows better."""

    def __init__(self, prog: str, message: str):
        super().__init__(message)
        self.prog = prog


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Leave it to `main`, which knows to whom it is said."""
        raise _WrongUsageError(self.prog, message)


def _refuse(error: _WrongUsageError, words: Sequence[str]) -> NoReturn:
    """Say it in one line, which a page of usage would hide; to a machine, too, if one listens."""
    if "--json" in words:
        # Where frames should go to standard output, nothing else may.
        JsonLines(sys.stderr if "-" in words else sys.stdout).failed(error)
    sys.stderr.write(f"{error.prog}: error: {error} (see {error.prog} --help)\n")
    sys.exit(2)


def _meant(word: str, parser: argparse.ArgumentParser) -> str:
    """Guess which flag was mistyped."""
    known = [name for action in parser._actions for name in action.option_strings]
    near = difflib.get_close_matches(word.partition("=")[0], known, n=1, cutoff=0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say(f"warning: {one_line(message)}")


def _say(text: str) -> None:
    # Plain `print` would write into a progress bar.
    tqdm.write(f"bgmv2: {text}", file=sys.stderr)
