"""The command as users start it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

# Linux counts what a process was before it became the command, too: here that is small, while a bench that has measured
# networks is larger than the command.
_LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
sys.exit(code)
"""
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
    call = [sys.executable, "-c", _LAUNCHER, *CALL, *map(str, words), "--json"]
    done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
    *lines, peak = done.stdout.splitlines()
    told = [json.loads(line) for line in lines]
    if done.returncode:
        raise SystemExit(told[-1]["message"] if told else f"exit code {done.returncode}")
    return Run(told, int(peak) * (1 if sys.platform == "darwin" else 1024))
