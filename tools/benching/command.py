"""The command as users start it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

CALL = [sys.executable, "-c", "import sys; from bgmv2.cli import main; sys.exit(main())"]


@dataclass(frozen=True)
class Run:
    """What a run of the command told, and took.

    Args:
        told: its lines of `--json`, from the first frame to the results.
        peak: of its memory, in bytes.
    """

    told: list[dict[str, Any]]
    peak: int

    @property
    def rate(self) -> float:
        """Frames a second from the first frame, before which threads and kernels are made ready, to whole results."""
        first, last = self.told[0], self.told[-1]
        return (last["frames"] - first["frames"]) / (last["seconds"] - first["seconds"])


def run(*words: object) -> Run:
    """Run `bgmv2` with these words and `--json`.

    Raises:
        SystemExit: it failed, with what it said.
    """
    call = [*CALL, *map(str, words), "--json"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    assert process.stdout is not None
    with process.stdout:
        told = [json.loads(line) for line in process.stdout]
    # Of this process alone, unlike the resources of all children.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(told[-1]["message"] if told else f"exit code {process.returncode}")
    return Run(told, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
