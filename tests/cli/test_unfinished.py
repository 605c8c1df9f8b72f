"""What people do to an unfinished run: it answers in one clear line, or goes on to the same result."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from bgmv2.video import VideoReader, read_image, write_image
from bgmv2.video.sink import Parts


@pytest.fixture
def run(forked, scene, weights):
    """Convert the scene's clip in segments of three frames, as one process, to a video and numbered pictures."""

    def convert(*words: object, clip=scene.clip, plate=scene.plate, results=None, **how):
        given = ("--plate", plate, "--weights", weights, "--device", "cpu", "--preset", "ultrafast", "--segment", 3)
        out = results or ("-o", scene.out / "com.mp4", "--pha", scene.out / "pha")
        return forked("convert", clip, *given, *out, *words, **how)

    return convert


@pytest.fixture
def content(scene, forked):
    """The frames of both results, after a look at whether the video fits the clip and nothing else is there."""

    def read(folder: Path = scene.out) -> list[bytes]:
        assert sorted(os.listdir(folder)) == ["com.mp4", "pha"]
        checked = forked("verify", scene.clip, folder / "com.mp4")
        assert checked.code == 0, checked
        with VideoReader(folder / "com.mp4") as reader:
            frames = [frame.pixels.tobytes() for frame in reader]
        return frames + [read_image(file).tobytes() for file in sorted((folder / "pha").iterdir())]

    return read


@pytest.fixture(scope="module")
def known():
    """What was found out once."""
    return []


@pytest.fixture
def expected(run, scene, content, known):
    """What one run makes, and its steps; nothing of it is left."""
    if not known:
        answer = run()
        assert (answer.code, answer.err) == (0, "")
        known += [content(), answer.steps, scene.clip.read_bytes()]
        shutil.rmtree(scene.out)
        scene.out.mkdir()
    scene.clip.write_bytes(known[2])  # encoders do not always make the same of the same pictures
    return known


@pytest.fixture
def unfinished(run, expected, scene):
    """A run that the power took in the middle."""
    assert run(die_at=expected[1] // 2).code == -9
    assert sorted(os.listdir(scene.out)) == [".com.mp4.parts", ".pha.parts"]


def test_only_the_same_run_goes_on(run, unfinished, expected, scene, content):
    shutil.copy(scene.clip, scene.folder / "other.mp4")
    with (scene.folder / "other.mp4").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    write_image(scene.folder / "other.png", 255 - read_image(scene.plate))
    before = scene.snapshot()
    assert "go on with --resume, or start anew with --overwrite" in run().error
    assert "made with another clip" in run("--resume", clip=scene.folder / "other.mp4").error
    assert "made with another plate" in run("--resume", plate=scene.folder / "other.png").error
    assert "made with another frames, crf" in run("--resume", "--crf", 30, "--frames", 9).error
    assert "run with other results" in run("--resume", results=("--pha", scene.out / "pha")).error
    assert scene.snapshot() == before
    assert run("--resume").code == 0
    assert content() == expected[0]


@pytest.mark.parametrize("words", [("--overwrite",), ("--overwrite", "--resume")])
def test_overwrite_needs_no_leave(run, unfinished, expected, content, words):
    answer = run(*words)
    assert (answer.code, answer.err) == (0, "")
    assert content() == expected[0]


def test_a_result_that_another_run_writes_is_left_alone(run, unfinished, expected, scene, content):
    parts = Parts(scene.out / "com.mp4", kept=True)
    before = scene.snapshot()
    for words in (["--resume"], ["--overwrite"], ["--resume", "--overwrite"]):
        answer = run(*words)
        assert answer.code == 1 and "error: another run is writing" in answer.err.splitlines()[-1]
    assert scene.snapshot() == before
    parts.release()
    assert run("--resume").code == 0
    assert content() == expected[0]


def test_ctrl_c_behind_a_segment(run, expected, scene, content):
    answer = run(die_at=expected[1] // 2, die_of=signal.SIGINT)
    assert answer.code == 130 and "the same command with --resume goes on" in answer.err
    assert run("--resume").code == 0
    assert content() == expected[0]


def test_ctrl_c_before_the_first_segment_is_whole_leaves_nothing(run, scene):
    answer = run(die_at=6, die_of=signal.SIGINT)
    assert (answer.code, answer.err) == (130, "bgmv2: interrupted: no half-written result bears its name\n")
    assert os.listdir(scene.out) == []


def test_a_full_disk_and_then_room(run, expected, scene, content):
    """First for a segment of one result and not of the other, then for the whole of one."""
    kept = 0
    answer = run(disk=1000)
    assert answer.error.endswith("make room or choose another place\n") and os.listdir(scene.out) == []
    for disk in (4_000, 6_000, 9_000, 20_000, 100_000):
        answer = run("--resume", disk=disk)
        if answer.code == 0:
            break
        assert answer.err.splitlines()[-1].endswith("make room or choose another place"), answer
        kept += (is_kept := "the same command with --resume goes on" in answer.err)
        assert sorted(os.listdir(scene.out)) == ([".com.mp4.parts", ".pha.parts"] if is_kept else []), answer
    assert content() == expected[0] and kept


@pytest.mark.parametrize("name", [".com.mp4.parts", ".pha.parts", ".com.mp4.parts/000000.nut", ".pha.parts/job.json"])
def test_hidden_files_are_removed_by_hand(run, unfinished, expected, scene, content, name):
    path = scene.out / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    answer = run("--resume")
    if answer.code:
        assert " anew with --overwrite" in answer.error
        assert run("--overwrite").code == 0
    assert content() == expected[0]


def test_the_name_is_taken_meanwhile(run, expected, scene, content):
    """The run was killed just before its results got their names."""
    assert run(die_at=round(0.75 * expected[1])).code == -9
    taken = scene.out / "com.mp4"
    assert not taken.exists()
    taken.write_bytes(b"precious")
    assert "is there already" in run("--resume").err
    assert taken.read_bytes() == b"precious"
    taken.unlink()
    assert run("--resume").code == 0
    assert content() == expected[0]


@pytest.mark.parametrize("segment", [1, 5, 10])
def test_segments_of_any_length(run, expected, content, segment):
    answer = run("--segment", segment)
    assert (answer.code, answer.err) == (0, "")
    assert content()[-10:] == expected[0][-10:]


@pytest.mark.parametrize("length", [241, 255])
def test_long_names(run, scene, length):
    """The hidden names are longer than the result's; not all systems allow more than 255 bytes."""
    names = ["n" * (length - 4) + ".mp4", "p" * length, "r" * (length - 5) + ".json"]
    paths = [scene.out / name for name in names]
    words = ("--report", paths[2], "--frames", 4)
    answer = run(*words, results=("-o", paths[0], "--pha", paths[1]))
    assert (answer.code, answer.err) == (0, "")
    assert sorted(os.listdir(scene.out)) == sorted([*names, "r" * (length - 5)])


def test_names_that_are_no_text(run, scene):
    clip, com = (scene.out / os.fsdecode(b"\xff.mp4"), scene.out / os.fsdecode(b"\xfe.mp4"))
    try:
        shutil.copy(scene.clip, clip)
    except OSError:
        pytest.skip("this system has no such names")
    assert run(clip=clip, results=("-o", com, "--report", scene.out / "report.json")).code == 0
    assert com.exists()
