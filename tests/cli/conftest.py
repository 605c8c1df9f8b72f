"""A clip with its plate, and the command line: in this process, where it is quick, or as it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgmv2.cli import main
from bgmv2.video import write_image

WIDTH, HEIGHT, COUNT = 96, 64, 10


def room(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A room with corners to hold on to."""
    generator = np.random.default_rng(3)
    pixels = cv2.resize(generator.integers(60, 200, (8, 12, 3), dtype=np.uint8), (width, height))
    for _ in range(12):
        x, y = generator.integers(0, (width - 12, height - 12))
        cv2.rectangle(pixels, (int(x), int(y)), (int(x) + 9, int(y) + 7), generator.integers(40, 220, 3).tolist(), -1)
    return pixels


def shot(index: int) -> np.ndarray:
    """The room with somebody who walks through it."""
    pixels = room()
    cv2.circle(pixels, (20 + 6 * index, 36), 14, (220, 40, 90), -1, cv2.LINE_AA)
    return pixels


@dataclass(frozen=True)
class Scene:
    """What a person starts from: `folder` holds all, `out` is where results go."""

    folder: Path

    @property
    def clip(self) -> Path:
        return self.folder / "clip.mp4"

    @property
    def plate(self) -> Path:
        return self.folder / "plate.png"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def snapshot(self) -> dict[str, bytes | None]:
        """All that is there: each file with its bytes."""
        paths = sorted(self.folder.rglob("*"))
        return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


@pytest.fixture
def scene(tmp_path, make_clip) -> Scene:
    """A clip with sound, and its plate."""
    scene = Scene(tmp_path)
    make_clip("clip.mp4", pictures=[shot(index) for index in range(COUNT)], size=(WIDTH, HEIGHT), audio="aac")
    write_image(scene.plate, room())
    scene.out.mkdir()
    return scene


@dataclass(frozen=True)
class Answer:
    """What a run of the command said."""

    code: int
    out: str
    err: str

    @property
    def warning(self) -> str:
        """The one line on stderr of a run that came to its end."""
        assert self.code == 0 and self.err.startswith("bgmv2: warning: ") and self.err.count("\n") == 1, self
        return self.err

    @property
    def error(self) -> str:
        """The one line on stderr of a run that did not."""
        assert self.code == 1 and self.err.startswith("bgmv2: error: ") and self.err.count("\n") == 1, self
        return self.err

    @property
    def usage(self) -> str:
        """The one line on stderr after wrong usage."""
        assert self.code == 2 and self.err.startswith("bgmv2") and self.err.count("\n") == 1, self
        return self.err


@pytest.fixture
def bgmv2(capfd):
    """Run a command in this process; what C libraries write to stderr is seen, too."""

    def run(*words: object) -> Answer:
        capfd.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        return Answer(code, *capfd.readouterr())

    return run


@pytest.fixture
def convert(bgmv2, scene, weights):
    """Convert the scene's clip on the CPU."""

    def run(*words: object, clip=scene.clip, plate=scene.plate, weights=weights) -> Answer:
        return bgmv2("convert", clip, "--plate", plate, "--weights", weights, "--device", "cpu", *words)

    return run


@pytest.fixture(scope="session")
def script() -> str:
    """The console script of this environment."""
    beside = Path(sys.executable).parent / "bgmv2"
    found = str(beside) if beside.exists() else shutil.which("bgmv2")
    assert found, "bgmv2 is not installed: pip install -e ."
    return found


# Whoever starts the tests may ignore interrupts, as shells do in the background; a person at a terminal does not.
LAUNCHER = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.argv[1] != "-":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def start(script):
    """Start the console script in a process of its own; `disk` limits the size of files, in bytes."""
    running = []

    def popen(*words: object, disk: int | None = None) -> subprocess.Popen[str]:
        limit = "-" if disk is None else str(disk)
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, limit, script, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def installed(start):
    """Run the console script to its end."""

    def run(*words: object, disk: int | None = None) -> Answer:
        process = start(*words, disk=disk)
        out, err = process.communicate()
        return Answer(process.returncode, out, err)

    return run
