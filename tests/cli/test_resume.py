"""A run that is killed goes on where it was, and what comes out is what one run would have made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from bgmv2.video import read_image

# A process that has everything loaded, and runs commands in copies of itself that end as if the power went.
DRIVER = """
import json, os, random, signal, sys, time
from bgmv2.cli import main

NAMES = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")  # what changes the disk for good

def begin(words, die_at=0):
    child = os.fork()
    if child:
        return child
    done = 0
    def dying(call):
        def run(*args, **kwargs):
            nonlocal done
            done += 1
            if done == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return run
    for name in NAMES:
        setattr(os, name, dying(getattr(os, name)))
    code = main(words)
    if not die_at:
        print(done, flush=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

def end(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

order = json.loads(sys.argv[1])
if order["how"] == "calls":
    for die_at, words in order["runs"]:
        print("died" if end(begin(words, die_at)) == -signal.SIGKILL else "came to its end", flush=True)
        if order["resume"]:
            print("resumed:", end(begin([*words, "--resume"])), flush=True)
else:
    moments = random.Random(5)
    for _ in range(order["kills"]):
        child = begin([*order["words"], "--resume"])
        time.sleep(moments.uniform(0, order["seconds"]))
        os.kill(child, signal.SIGKILL)
        print(end(child), flush=True)
    assert end(begin([*order["words"], "--resume", "--overwrite"])) == 0
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
MOMENTS = 20


def drive(**order: object) -> list[str]:
    process = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(order)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


@pytest.fixture
def words(scene, weights, make_clip):
    """Convert a clip whose frames come at odd times, in segments of three frames, to a folder."""
    times = [0, 40, 80, 160, 170, 180, 300, 420, 430, 470, 510]
    make_clip("clip.mp4", times=times, size=(96, 64), audio="aac")

    def command(out: Path) -> list[str]:
        out.mkdir(exist_ok=True)
        results = ["-o", out / "com.mp4", "--rgba", out / "cut.webm", "--pha", out / "pha", "--err", out / "e.##.png"]
        given = ["--plate", scene.plate, "--weights", weights, "--device", "cpu", "--segment", "3", "--preset", "fast"]
        return [str(word) for word in ("convert", scene.clip, *given, *results)]

    return command


def content(out: Path) -> dict[str, object]:
    """All that is in the results: pictures, their instants, and sound."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if ".parts" not in str(path)):
        name = str(path.relative_to(out))
        if path.suffix == ".png":
            found[name] = read_image(path).tobytes()
        elif path.is_file():
            with av.open(str(path)) as container:
                # VP9's own decoder of FFmpeg passes over the transparency.
                decoder = av.CodecContext.create("libvpx-vp9", "r") if path.suffix == ".webm" else None
                frames, sound = [], []
                for packet in container.demux():
                    if packet.stream.type == "audio":
                        sound.append((packet.pts, bytes(packet)))
                    else:
                        frames += (decoder or packet).decode(*([packet] if decoder else []))
            found[name] = [(f.pts, f.format.name, [np.array(plane).tobytes() for plane in f.planes]) for f in frames]
            found[f"{name} sound"] = sound
    return found


@pytest.fixture
def reference(words, tmp_path):
    """What one run makes."""
    (calls,) = (int(line) for line in drive(how="calls", resume=False, runs=[[0, words(tmp_path / "one")]])[-2:-1])
    return content(tmp_path / "one"), calls


def test_a_run_is_killed_at_any_step_and_goes_on(words, reference, tmp_path):
    expected, calls = reference
    assert len(expected["com.mp4"]) == 11 and len(expected["com.mp4 sound"]) > 5
    assert expected["cut.webm"][0][1] == "yuva420p"
    moments = [1 + round(index * (calls - 1) / (MOMENTS - 1)) for index in range(MOMENTS)]
    said = drive(how="calls", resume=True, runs=[[at, words(tmp_path / f"at{at}")] for at in moments])
    assert said.count("died") == MOMENTS
    codes = [line for line in said if line.startswith("resumed")]
    for at, code in zip(moments, codes, strict=True):
        assert content(tmp_path / f"at{at}") == expected, at
        left = [name for name in os.listdir(tmp_path / f"at{at}") if name.startswith(".")]
        if code == "resumed: 1":
            # It died with its work done, but for hidden files; so there was nothing to go on with.
            assert at > calls - 30 and all(name.endswith(".parts.old") for name in left)
        else:
            assert (code, left) == ("resumed: 0", [])


def test_a_run_is_killed_again_and_again(words, reference, tmp_path):
    expected, _ = reference
    said = drive(how="moments", kills=MOMENTS, seconds=1.0, words=words(tmp_path / "often"))
    assert said.count("-9") > MOMENTS / 4
    assert content(tmp_path / "often") == expected
