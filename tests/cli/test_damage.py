"""Damaged files, through the command: one clear line or a whole result; never a hang, a trace or half of a result.

A tenth of the places is tried, always the same ones; with BGMV2_TEST_ALL=1 all 500 are.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from bgmv2.errors import VideoError
from bgmv2.video import VideoReader, read_image, write_image

SIZE = (32, 32)
COUNT = 6
SHARE = 1 if os.environ.get("BGMV2_TEST_ALL") else 10
# Clips by their names: codec, pixel format and sound.
CLIPS = {
    "h264.mp4": ("libx264", "yuv420p", "aac"),
    "hevc.mp4": ("libx265", "yuv420p10le", "ac3 5.1"),
    "av1.mp4": ("libsvtav1", "yuv420p", "libopus"),
    "prores.mov": ("prores_ks", "yuv422p10le", "pcm_s16le"),
    "ffv1.mkv": ("ffv1", "yuv420p", "flac"),
    "h264.mkv": ("libx264", "yuv444p", "aac"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "mpeg2.ts": ("mpeg2video", "yuv420p", "mp2"),
    "h264.ts": ("libx264", "yuv420p", "aac"),
    "mpeg4.avi": ("mpeg4", "yuv420p", "libmp3lame"),
    "film.gif": ("gif", "rgb8", None),
}
OPTIONS = {"libsvtav1": {"preset": "12", "svtav1-params": "lp=1"}, "libvpx-vp9": {"deadline": "realtime"}}
# What else is read, with the flag that takes it.
OTHERS = {
    "plate.png": "--plate",
    "plate.jpg": "--plate",
    "backdrop.mp4": "--backdrop",
    "backdrop.png": "--backdrop",
    "matte.mkv": "--garbage",
    "matte.png": "--holdout",
    "some.safetensors": "--weights",
}
UNFINISHED = 90


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut off the end, or turn some bits around; the first and last bytes say most, so they are hit more often."""
    at = int(len(data) * chance.random())
    kind = chance.randrange(4)
    if kind == 0:
        return data[:at]
    if kind == 1:
        at = min(chance.randrange(400), len(data) - 1) if chance.random() < 0.5 else max(0, len(data) - 1 - at % 400)
    flipped = bytearray(data)
    for index in range(at, min(at + chance.choice((1, 1, 4, 30)), len(data))):
        flipped[index] ^= chance.randrange(1, 256) if kind > 1 else 1 << chance.randrange(8)
    return bytes(flipped)


@pytest.fixture
def files(tmp_path, make_clip, picture, weights) -> Path:
    """All that can be damaged, whole."""
    folder = tmp_path / "whole"
    folder.mkdir()
    for name, (codec, pixel_format, audio) in {**CLIPS, "backdrop.mp4": CLIPS["h264.mp4"]}.items():
        given = {"codec": codec, "pixel_format": pixel_format, "audio": audio, "options": OPTIONS.get(codec)}
        make_clip(f"whole/{name}", count=COUNT, size=SIZE, **given)
    make_clip("whole/matte.mkv", count=COUNT, size=SIZE, codec="ffv1", pixel_format="gray")
    for name in ("plate.png", "plate.jpg", "backdrop.png", "matte.png"):
        write_image(folder / name, picture(0, *SIZE))
    shutil.copy(weights, folder / "some.safetensors")
    return folder


@pytest.fixture
def command(files, tmp_path):
    """Convert a clip to a video with its sound, one with transparency and numbered pictures."""

    def words(name: str = "h264.mp4", **other: Path) -> list[object]:
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        given: dict[str, object] = {
            "--plate": files / "plate.png",
            "--weights": files / "some.safetensors",
            "--device": "cpu",
            "--preset": "ultrafast",
            **other,
        }
        results = ("-o", out / "com.mp4", "--rgba", out / "cut.webm", "--pha", out / "pha")
        return ["convert", files / name, *(word for pair in given.items() for word in pair), *results]

    return words


def look(answer, out: Path) -> str:
    """Say what is wrong with what a command said and left; nothing if all is well."""
    lines = answer.err.splitlines()
    errors = [line for line in lines if line.startswith("bgmv2: error: ")]
    is_kept = " is kept in " in answer.err or " anew with --overwrite" in answer.err
    there = {path.name for path in out.iterdir() if not (is_kept and path.name.endswith(".parts"))}
    if answer.code not in (0, 1) or len(errors) != answer.code:
        return f"exit code {answer.code}, {answer.err}"
    if not all(line.startswith("bgmv2: ") for line in lines):
        return f"said {answer.err}"
    if there != ({"com.mp4", "cut.webm", "pha"} if answer.code == 0 else set()):
        return f"exit code {answer.code}, but there are {there}"
    if answer.code == 0:
        try:
            counts = [len(read_all(out / name)) for name in ("com.mp4", "cut.webm", "pha")]
        except VideoError as error:
            return f"wrote what {error}"
        if not counts[0] or len(set(counts)) > 1:
            return f"results of {counts} frames"
    return ""


def read_all(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        return [read_image(file) for file in sorted(path.iterdir())]
    with VideoReader(path) as reader:
        return [frame.pixels for frame in reader]


@pytest.mark.parametrize("name", [*CLIPS, *OTHERS])
def test_damaged_inputs(forked, command, files, tmp_path, name):
    whole = (files / name).read_bytes()
    out, wrong = tmp_path / "out", []
    for place in range((30 if name in CLIPS else 12) // SHARE + 1):
        (files / name).write_bytes(damaged(whole, random.Random(f"{name} {place}")))
        answer = forked(*(command(name) if name in CLIPS else command(**{OTHERS[name]: files / name})))
        said = look(answer, out)
        if said:
            wrong.append(f"{place}: {said}")
            if os.environ.get("BGMV2_TEST_KEEP"):
                shutil.copy(files / name, Path(os.environ["BGMV2_TEST_KEEP"]) / f"{place}-{name}")
        shutil.rmtree(out)
    assert not wrong, "\n".join(wrong)


def test_a_damaged_unfinished_run(forked, command, tmp_path):
    """Files of the hidden folders are damaged or gone; --resume says so, or makes the result that was to come."""
    out, kept = tmp_path / "out", tmp_path / "kept"
    words = [*command(), "--segment", "2", "--report", out / "report.json"]
    answer = forked(*words)
    assert answer.code == 0, answer
    expected = {name: read_all(out / name) for name in ("com.mp4", "cut.webm", "pha")}
    assert forked(*words, "--overwrite", die_at=answer.steps // 2).code == -9
    for name in ("com.mp4", "cut.webm", "pha", "report"):
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (out / "report.json").unlink()
    out.rename(kept)
    names = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file() and path.name != "lock")
    wrong = []
    for place in range(UNFINISHED // SHARE):
        chance = random.Random(f"unfinished {place}")
        name = chance.choice(names)
        shutil.copytree(kept, out)
        # A picture has no more checksums here than in its final place.
        if name.endswith(".png") or chance.random() < 0.2:
            (out / name).unlink()
        else:
            (out / name).write_bytes(damaged((out / name).read_bytes(), chance))
        answer = forked(*words, "--resume")
        for left in ("report", "report.json"):
            if answer.code == 0:
                shutil.rmtree(out / left) if (out / left).is_dir() else (out / left).unlink()
        said = look(answer, out)
        if not said and answer.code == 0:
            same = {one: all(map(np.array_equal, read_all(out / one), expected[one])) for one in expected}
            said = "" if all(same.values()) else f"other frames: {same}"
        if said:
            wrong.append(f"{place} ({name}): {said}")
        shutil.rmtree(out)
    assert not wrong, "\n".join(wrong)
