"""A clip with its plate, and the command line: in this process, where it is quick, or as it is installed."""

from __future__ import annotations

import json
import os
import shutil
import signal
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
    steps: int = 0

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


# A process that has everything loaded, and runs each command of its standard input in a copy of itself.
FORKS = """
import json, mmap, os, resource, signal, sys, threading, traceback
from bgmv2.cli import main

NAMES = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")  # what changes the disk for good
steps = mmap.mmap(-1, 8)  # shared with copies

def stepping(call, die_at, die_of):
    def step(*args, **kwargs):
        done = int.from_bytes(steps[:], "big") + 1
        steps[:] = done.to_bytes(8, "big")
        if done == die_at:
            os.kill(os.getpid(), die_of)
        return call(*args, **kwargs)
    return step

def run(words, folder, disk, limit, die_at, die_of):
    os.chdir(folder)
    for name, number in ((os.devnull, 0), ("out", 1), ("err", 2)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    if disk is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (disk, disk))
    for name in NAMES:
        setattr(os, name, stepping(getattr(os, name), die_at, die_of))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, limit)  # ends the process as it is
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 70
    signal.setitimer(signal.ITIMER_REAL, 0)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            print("still running:", thread, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    steps[:] = bytes(8)
    child = os.fork()
    if not child:
        run(**json.loads(line))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code, int.from_bytes(steps[:], "big"), flush=True)
"""


@pytest.fixture(scope="session")
def forked(tmp_path_factory):
    """Run commands, each in a process of its own that needs no time to start; end them as a power cut would.

    `disk` limits the size of files, in bytes; after `limit` seconds a run is ended (-14). Steps that change the disk
    for good are counted, and at step `die_at` the signal `die_of` comes.
    """
    if not hasattr(os, "fork"):
        pytest.skip("processes cannot be copied here")
    folder = tmp_path_factory.mktemp("said")
    driver = subprocess.Popen(
        [sys.executable, "-c", FORKS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert driver.stdin is not None and driver.stdout is not None

    def run(
        *words: object,
        disk: int | None = None,
        limit: float = 60,
        die_at: int = 0,
        die_of: signal.Signals = signal.SIGKILL,
    ) -> Answer:
        how = {"folder": str(folder), "disk": disk, "limit": limit, "die_at": die_at, "die_of": die_of}
        print(json.dumps({"words": [*map(str, words)], **how}), file=driver.stdin, flush=True)
        code, steps = map(int, driver.stdout.readline().split())
        said = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Answer(code, *said, steps)

    yield run
    driver.stdin.close()
    driver.wait()
    driver.stdout.close()
