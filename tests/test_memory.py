"""Memory does not grow with the clip: not with its frames, and not with the segments that a run can be gone on with."""

from __future__ import annotations

import platform
import subprocess
import sys
import tracemalloc

import pytest

from bgmv2 import CheckConfig, EncodeConfig, RunConfig, convert
from bgmv2.video import write_image

COUNT = 150


@pytest.mark.filterwarnings("ignore:nobody was found")
def test_frames_and_segments_leave_nothing(tmp_path, make_clip, picture, blind_weights, monkeypatch):
    """Of what Python and NumPy take; a mark that stayed would be 10 kB, a frame 3 kB."""
    # A glance at the plate goes on beside the first frames, on busy cores for as long as these few take.
    monkeypatch.setattr("bgmv2.pipeline.glance", lambda *_, **__: [])
    clip = make_clip("clip.mp4", pictures=COUNT * [picture(0, 32, 32)], size=(32, 32), audio="aac")
    write_image(tmp_path / "plate.png", picture(0, 32, 32))
    taken: list[int] = []

    def watch(progress):
        taken.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        convert(
            clip,
            plate=tmp_path / "plate.png",
            com=tmp_path / "com.mp4",
            rgba=tmp_path / "rgba.mov",
            pha=tmp_path / "pha",
            run=RunConfig(device="cpu", weights=str(blind_weights)),
            encode=EncodeConfig(segment=2, preset="ultrafast"),
            check=CheckConfig(report=str(tmp_path / "report.json")),
            watch=watch,
        )
    finally:
        tracemalloc.stop()
    assert len(taken) == COUNT
    early, late = min(taken[40:60]), min(taken[-20:])
    assert late - early < 100 * 1000, (early, late)


# Pieces of a quarter of a MiB, each beside one of 64 bytes that stays: nothing larger fits between them.
BREAK_UP = """
import sys
import numpy as np
from bgmv2 import memory
def frames(count):
    for _ in range(count):
        lid()
def broken_up():
    pieces = [(np.ones(1 << 18, np.uint8), np.ones(64, np.uint8)) for _ in range(800)]
    return [small for _, small in pieces]
if "keep" in sys.argv:
    memory.keep_memory()
lid = memory.Lid()
frames(10 if "early" in sys.argv else 110)
kept = broken_up()
broken = memory._resident()
frames(1)
once = memory._resident()
needed = np.ones(400 << 20, np.uint8)
frames(1)
print(*(size >> 20 for size in (broken - once, broken, lid._most)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no memory for us")
@pytest.mark.parametrize(("words", "is_given_back"), [(["keep"], True), (["keep", "early"], False), ([], False)])
def test_what_lies_broken_up_is_given_back(words, is_given_back):
    """Not before the run has settled, and not where memory is another's to deal with."""
    done = subprocess.run([sys.executable, "-c", BREAK_UP, *words], capture_output=True, text=True, check=True)
    given_back, broken, most = map(int, done.stdout.split())
    assert (given_back > 150) == is_given_back
    # What comes back at once is needed: the lid is lifted.
    assert (most > broken) == ("keep" in words)
