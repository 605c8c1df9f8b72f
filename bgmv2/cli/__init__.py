"""The command line: `convert`, `plate`, `webcam` and others. Errors become one line on stderr and an exit code.

Exit codes: 0 done; 1 it could not be done, stderr says why, or `verify` found a difference; 2 wrong usage; 3
`check` says that plate or clip should be filmed again; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from tqdm import tqdm

from bgmv2 import __version__
from bgmv2.cli import batch, check, convert, eval, export, image, plate, verify, webcam
from bgmv2.errors import Bgmv2Error, Bgmv2Warning, one_line
from bgmv2.memory import keep_memory

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
    args = parser.parse_args(argv)
    if argv is None:  # else the process is another's
        keep_memory()
    try:
        with warnings.catch_warnings():
            # Ours are for users; those of libraries are for developers.
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", Bgmv2Warning)
            warnings.showwarning = _show_warning
            return args.run(args) or 0
    except KeyboardInterrupt:
        _say("interrupted: no half-written result bears its name")
        return 130
    except (Bgmv2Error, OSError, MemoryError) as error:
        if args.debug:
            raise
        _say(f"error: {one_line(error) or 'out of memory'}")
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line, which a page of usage would hide."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say(f"warning: {one_line(message)}")


def _say(text: str) -> None:
    # Plain `print` would write into a progress bar.
    tqdm.write(f"bgmv2: {text}", file=sys.stderr)
