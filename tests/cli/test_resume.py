"""A run that is killed goes on where it was, and what comes out is what one run would have made."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import av
import numpy as np
import pytest

from bgmv2.video import read_image

MOMENTS = 20 if os.environ.get("BGMV2_TEST_ALL") else 8


@pytest.fixture
def words(scene, weights, make_clip):
    """Convert a clip whose frames come at odd times, in segments of three frames, to a folder; all is repaired."""
    times = [0, 40, 80, 160, 170, 180, 300, 420, 430, 470, 510]
    make_clip("clip.mp4", times=times, size=(96, 64), audio="aac")

    def command(out: Path) -> list[str]:
        out.mkdir(exist_ok=True)
        results = ["-o", out / "com.mp4", "--rgba", out / "cut.webm", "--pha", out / "pha", "--err", out / "e.##.png"]
        results += ["--shadow", out / "shadow"]
        # Without loss: an encoder that is short of time may choose another way to write the same pictures.
        given = ["--plate", scene.plate, "--weights", weights, "--device", "cpu", "--segment", "3", "--crf", "0"]
        check = ["--pixels", "16", "--repair", "--report", out / "report.json"]
        return [str(word) for word in ("convert", scene.clip, *given, *check, *results)]

    return command


def content(out: Path) -> dict[str, object]:
    """All that is in the results: pictures, their instants, and sound."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if ".parts" not in str(path)):
        name = str(path.relative_to(out))
        if path.suffix == ".png":
            found[name] = read_image(path).tobytes()
        elif path.suffix == ".json":
            found[name] = json.loads(path.read_text())["frames"]
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
def reference(forked, words, tmp_path):
    """What one run makes, and in how many steps."""
    answer = forked(*words(tmp_path / "one"))
    assert answer.code == 0, answer
    return content(tmp_path / "one"), answer.steps


def test_a_run_is_killed_at_any_step_and_goes_on(forked, words, reference, tmp_path):
    expected, steps = reference
    assert len(expected["com.mp4"]) == 11 and len(expected["com.mp4 sound"]) > 5
    assert expected["cut.webm"][0][1] == "yuva420p"
    assert all(row["repaired"] for row in expected["report.json"]) and "report/sheet.png" in expected
    for at in (1 + round(index * (steps - 1) / (MOMENTS - 1)) for index in range(MOMENTS)):
        command = words(tmp_path / f"at{at}")
        assert forked(*command, die_at=at).code == -9
        code = forked(*command, "--resume").code
        assert content(tmp_path / f"at{at}") == expected, at
        left = [name for name in os.listdir(tmp_path / f"at{at}") if name.startswith(".")]
        if code == 1:
            # It died with its work done, but for hidden files; so there was nothing to go on with.
            assert at > steps - 30 and all(name.endswith(".parts.old") for name in left)
        else:
            assert (code, left) == (0, [])


def test_a_run_is_killed_again_and_again(forked, words, reference, tmp_path):
    expected, _ = reference
    moments = random.Random(5)
    command = words(tmp_path / "often")
    begun = time.monotonic()
    assert forked(*words(tmp_path / "whole")).code == 0
    whole = time.monotonic() - begun
    codes = [forked(*command, "--resume", limit=whole * moments.uniform(0.02, 0.3)).code for _ in range(MOMENTS)]
    assert -14 in codes
    assert forked(*command, "--resume", "--overwrite").code == 0
    assert content(tmp_path / "often") == expected
