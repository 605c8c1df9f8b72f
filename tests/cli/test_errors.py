"""What goes wrong is one clear line on stderr; nothing half-done stays, and what was there is as it was."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import warnings

import av
import numpy as np
import pytest

from bgmv2 import develop
from bgmv2.video import VideoReader, read_image, write_image


@pytest.fixture
def fails(convert, scene):
    """Convert in vain: says why, after a look at what is left."""

    def run(*words, said, **inputs):
        before, threads = scene.snapshot(), set(threading.enumerate())
        message = convert(*words, **inputs).error
        assert said in message
        assert scene.snapshot() == before
        assert set(threading.enumerate()) == threads
        return message

    return run


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def sound_only(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# What is given as the clip, how it is made, and what is said of it.
CLIPS = {
    "missing": (lambda scene: scene.folder / "nothing.mp4", "there is no clip"),
    "folder": (lambda scene: scene.out, "there is no picture in"),
    "empty": (lambda scene: cut(scene.clip, 0), "is empty (0 bytes)"),
    "truncated": (lambda scene: cut(scene.clip, 0.5), "was cut short: the index of its frames is missing"),
    "sound": (lambda scene: sound_only(scene.folder / "song.m4a"), "holds no moving picture"),
    "picture": (lambda scene: scene.plate, "is a picture, but a clip is needed here"),
    "text": (lambda scene: scene.folder / "notes.txt", "is a text, not a video"),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_bad_clips(fails, scene, kind):
    (scene.folder / "notes.txt").write_text("somebody in front of a wall\n" * 50)
    make, said = CLIPS[kind]
    clip = make(scene)
    message = fails("-o", scene.out / "com.mp4", "--rgba", scene.out / "cut", clip=clip, said=said)
    assert str(clip) in message
    if kind == "picture":
        assert "take bgmv2 image for pictures" in message


@pytest.fixture
def shots(scene):
    with VideoReader(scene.clip) as reader:
        return [frame.pixels for frame in reader] * 5


def test_a_clip_that_breaks_off_midway_leaves_nothing(fails, scene, shots, make_clip):
    clip = make_clip("in.mp4", pictures=shots, size=(96, 64), container_options={"movflags": "+faststart"})
    cut(clip, 0.7)
    words = ("-o", scene.out / "com.mp4", "--rgba", scene.out / "cut.mov", "--pha", scene.out / "pha")
    fails(*words, clip=clip, said="breaks off after ")


def test_a_clip_that_breaks_off_midway_keeps_the_earlier_result(fails, scene, shots, make_clip):
    clip = make_clip("in.mkv", pictures=shots, size=(96, 64))
    cut(clip, 0.7)
    (scene.out / "com.mp4").write_bytes(b"precious")
    fails("-o", scene.out / "com.mp4", "--overwrite", clip=clip, said="the rest of the file is missing")


# What is given as the plate.
PLATES = {
    "missing": (lambda scene: scene.folder / "nothing.png", "there is no picture"),
    "folder": (lambda scene: scene.out, "is a folder, but --plate takes one picture"),
    "empty": (lambda scene: cut(scene.plate, 0), "is empty"),
    "truncated": (lambda scene: cut(scene.plate, 0.5), "cannot be read as a picture"),
    "video": (
        lambda scene: scene.clip,
        "is a video, but --plate takes one picture of the scene without",
    ),
    "wide": (lambda scene: scene.folder / "wide.png", "96x32 pixels, the clip 96x64, which is another shape"),
}


@pytest.mark.parametrize("kind", PLATES)
def test_bad_plates(fails, scene, kind):
    write_image(scene.folder / "wide.png", read_image(scene.plate)[:32])
    make, said = PLATES[kind]
    plate = make(scene)
    assert str(plate) in fails("-o", scene.out / "com.mp4", plate=plate, said=said)


def test_a_plate_of_another_size_and_the_same_shape_is_scaled(convert, scene):
    plate = scene.folder / "large.png"
    write_image(plate, np.kron(read_image(scene.plate), np.ones((2, 2, 1), np.uint8)))
    answer = convert("-o", scene.out / "com.mp4", plate=plate)
    assert (answer.code, answer.err) == (0, "")


def test_a_plate_of_another_scene_is_warned_of(convert, scene, picture):
    plate = scene.folder / "other.png"
    write_image(plate, picture(9, 96, 64))
    warning = convert("-o", scene.out / "com.mp4", plate=plate).warning
    assert "only " in warning and " % of it matches the first frame" in warning and "--backdrop" in warning
    assert (scene.out / "com.mp4").exists()


@pytest.mark.parametrize(
    ("backdrop", "said"),
    [("beach.jpg", "there is no file beach.jpg"), ("grenn", "'grenn' is no colour"), ("song", "is a sound")],
)
def test_bad_backdrops(fails, scene, backdrop, said):
    song = sound_only(scene.folder / "song.m4a")
    backdrop = song if backdrop == "song" else backdrop
    fails("-o", scene.out / "com.mp4", "--backdrop", backdrop, said=said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "com.avi"], "unknown suffix; use .mp4, .mov, .mkv, .webm, a pattern such as out.######.exr"),
        (["--pha", "pha.png"], "names one picture, but a clip has many; number them: pha.######.png"),
        (["--rgba", "cut.mp4"], ".mp4 holds no transparency; use .mov"),
        (["-o", "nowhere/com.mp4"], "there is no folder"),
        (["-o", "file/com.mp4"], "is a file, so com.mp4 cannot be written into it"),
        (["-o", "taken.mp4"], "is there already; choose another name, or allow --overwrite"),
        (["--rgba", "frames"], "holds other files, such as mine.txt"),
        (["--rgba", "frames", "--overwrite"], "holds other files, such as mine.txt"),
        (["--rgba", "file"], "is a file, but a folder of PNG would be written"),
        (["-o", "a.mp4", "--pha", "a.mp4"], "com and pha would both be written to"),
        (["-o", "a.mp4", "--pha", "../out/a.mp4"], "com and pha would both be written to"),
        (["--rgba", "empty", "-o", "empty/com.mp4"], "com would be written into the folder of rgba"),
        (["-o", "good.mp4", "--pha", "taken.mp4"], "is there already"),
        (["-o", ""], "the name of com is empty"),
        (["-o", "empty/.mp4"], r".mp4 is a suffix without a name; call it"),
        (["--rgba", "."], "holds other files"),
        (["-o", "good.mp4", "--report", "empty/r"], "does not end in .json, as a report does: call it r.json"),
        (["-o", f"{'n' * 300}.mp4"], "ame too long"),
    ],
)
def test_places_where_no_result_can_go(fails, scene, monkeypatch, words, said):
    monkeypatch.chdir(scene.out)
    (scene.out / "taken.mp4").write_bytes(b"precious")
    (scene.out / "file").write_bytes(b"precious")
    (scene.out / "empty").mkdir()
    (scene.out / "frames").mkdir()
    (scene.out / "frames" / "mine.txt").write_bytes(b"precious")
    fails(*words, said=said)


@pytest.mark.parametrize("kind", ["itself", "roundabout", "symbolic link", "hard link"])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_the_clip_is_safe(fails, scene, kind, overwrite):
    out = scene.out / "com.mp4"
    if kind == "itself":
        out = scene.clip
    elif kind == "roundabout":
        out = scene.out / ".." / "clip.mp4"
    elif kind == "symbolic link":
        out.symlink_to(scene.clip)
    else:
        os.link(scene.clip, out)
    fails("-o", out, *overwrite, said=f"{scene.clip} is read, so {out} cannot be written over it")


def test_plate_and_backdrop_are_safe(fails, scene, make_clip):
    waves = make_clip("waves.mp4", count=3, size=(96, 64))
    fails("-o", waves, "--backdrop", waves, "--overwrite", said="is read")
    frames = scene.out / "frames"
    frames.mkdir()
    plate = frames / "000000.png"
    shutil.copy(scene.plate, plate)
    fails("--rgba", frames, "--overwrite", plate=plate, said=f"{plate} is read, so {frames} cannot be written over it")


def test_a_colour_is_no_file_even_if_a_result_is_called_so(convert, scene, monkeypatch):
    monkeypatch.chdir(scene.out)
    assert convert("--com", "green", "--backdrop", "green").code == 0
    assert len(list((scene.out / "green").iterdir())) == 10


def test_earlier_results_go_only_with_leave(convert, scene):
    out = ("-o", scene.out / "com.mp4", "--rgba", scene.out / "cut")
    assert convert(*out, "--backdrop", "black").code == 0
    before = scene.snapshot()
    assert "is there already" in convert(*out).error
    assert scene.snapshot() == before
    assert convert(*out, "--overwrite").code == 0
    after = scene.snapshot()
    assert after.keys() == before.keys()
    assert after[str(scene.out / "com.mp4")] != before[str(scene.out / "com.mp4")]


def test_sound_that_a_result_cannot_hold_is_warned_of(convert, scene):
    warning = convert("-o", scene.out / "com.webm").warning
    assert "goes without the sound (AAC) of clip.mp4: .webm cannot hold that" in warning
    assert (scene.out / "com.webm").exists()


def test_the_warnings_of_libraries_are_not_for_users(convert, scene, monkeypatch):
    def noisy(*args):
        warnings.warn("a function will change in the next release", FutureWarning, stacklevel=1)
        warnings.warn("an array is not writable", UserWarning, stacklevel=1)
        return None

    monkeypatch.setattr(develop, "check_plate", noisy)
    answer = convert("-o", scene.out / "com.mp4")
    assert (answer.code, answer.err) == (0, "")


def test_the_installed_command_says_one_line_and_leaves_nothing(installed, scene):
    cut(scene.clip, 0.5)
    before = scene.snapshot()
    answer = installed("convert", scene.clip, "--plate", scene.plate, "-o", scene.out / "com.mp4")
    assert "was cut short" in answer.error
    assert scene.snapshot() == before


def test_the_installed_command_explains_wrong_usage(installed):
    assert "required: SRC, --plate (see bgmv2 convert --help)" in installed("convert").usage


def test_the_installed_command_has_help(installed):
    answer = installed("convert", "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("usage: bgmv2 convert ") and "examples:" in answer.out


@pytest.mark.skipif(os.name != "posix", reason="limits of file sizes are POSIX's")
def test_a_full_disk(installed, scene, weights, make_clip, picture):
    """Files may have 20 kB here: enough for some frames of each result, but not for all."""
    clip = make_clip("in.mkv", pictures=[picture(index, 96, 64) for index in range(60)], size=(96, 64))
    before = scene.snapshot()
    answer = installed(
        *("convert", clip, "--plate", scene.plate, "--weights", weights, "--device", "cpu", "--crf", 0),
        *("-o", scene.out / "com.mp4", "--pha", scene.out / "pha", "--rgba", scene.out / "cut.mov"),
        disk=20_000,
    )
    assert answer.code == 1
    error = answer.err.splitlines()[-1]
    assert error.startswith("bgmv2: error: ") and error.endswith("make room or choose another place")
    assert [line for line in answer.err.splitlines() if "another scene" not in line] == [error]
    assert scene.snapshot() == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other interrupts")
def test_ctrl_c_in_the_middle_of_a_clip(start, scene, weights, make_clip):
    clip = make_clip("long.mkv", count=4000, size=(32, 32), codec="ffv1", pixel_format="yuv420p")
    plate = scene.folder / "small.png"
    write_image(plate, read_image(scene.plate)[:32, :32])
    before = scene.snapshot()
    process = start(
        *("convert", clip, "--plate", plate, "--weights", weights, "--device", "cpu"),
        *("-o", scene.out / "com.mp4", "--rgba", scene.out / "cut.webm", "--pha", scene.out / "pha"),
    )
    # The pictures of alpha gather in a hidden folder: with the third, frames pass through all stages.
    while not list(scene.out.glob(".pha.parts/pictures/000003.png")):
        assert process.poll() is None, process.communicate()
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    lines = [line for line in err.splitlines() if "another scene" not in line]
    assert (process.returncode, lines) == (130, ["bgmv2: interrupted: no half-written result bears its name"])
    assert scene.snapshot() == before
