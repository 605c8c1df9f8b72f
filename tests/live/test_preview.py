"""The preview on a screen of its own, with real keys; and what it draws, without any."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from bgmv2.errors import DeviceError
from bgmv2.live import preview
from bgmv2.live.keys import HELP, KEYS
from bgmv2.live.preview import Preview, drawn

SAMPLE = Path(__file__).parents[1] / "sample"


def test_the_picture_is_drawn_with_what_to_tell_and_what_to_press():
    view = np.full((90, 160, 3), 200, np.uint8)
    view[:, :80] = (250, 0, 0)
    calm = drawn(view, "", "", alert=False, mirrored=False)
    told = drawn(view, "Step out of the picture: 3", "30 a second", alert=True, mirrored=True)
    assert calm.shape == told.shape == (540 + 88, 960, 3)
    assert calm[300, 100].tolist() == [250, 0, 0] and told[300, -100].tolist() == [250, 0, 0]
    assert told[:44, 60:].std() > 10 > calm[:44, 60:].std()
    assert tuple(calm[22, 22]) != tuple(told[22, 22])
    assert calm[-44:].std() > 10  # the keys
    long = drawn(view, "why " * 100, "", alert=True, mirrored=False)
    assert np.ptp(long[:44, -8:], axis=(0, 1)).max() == 0  # it ends before the edge


def test_every_key_is_on_the_preview_or_told_when_it_counts():
    letters = {word[0].lower() for word in HELP.split("   ")}
    assert letters | {"g", "\x1b"} == set(KEYS)


def test_without_a_screen_it_is_told_how_to_do_without(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="no screen here.*--no-preview"):
        Preview()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(preview, "_has_screen", lambda: True)

    def refuse(*_):
        raise cv2.error("not implemented")

    monkeypatch.setattr(preview.cv2, "namedWindow", refuse)
    with pytest.raises(DeviceError, match="opencv-python-headless"):
        Preview()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_a_screen_that_is_not_there_any_more_is_told(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(DeviceError, match="the screen that DISPLAY tells of.*--no-preview"):
        Preview()


def test_a_screen_that_does_not_answer_is_told(monkeypatch):
    monkeypatch.setattr(preview, "_TRIAL", "import time; time.sleep(60)")
    monkeypatch.setattr(preview, "_LIMIT", 0.1)
    assert not preview._has_screen()


@pytest.fixture
def fake_screen(monkeypatch):
    """Makes a screen on which a key of this code is held down."""

    def make(code):
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(preview, "_has_screen", lambda: True)
        for name, answer in (("namedWindow", None), ("resizeWindow", None), ("waitKeyEx", code)):
            monkeypatch.setattr(preview.cv2, name, lambda *_, answer=answer: answer)

    return make


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (-1, None),
        (ord("p"), "plate"),
        (ord("P"), "plate"),
        (0x10000 | ord("V"), "view"),  # with Shift, as GTK tells it
        (27, "quit"),
        # Left, Home, Page Down, Menu and Redo of X11, whose last bytes are q, p, v, g and f.
        *((code, None) for code in (0xFF51, 0xFF50, 0xFF56, 0xFF67, 0xFF66, 0x10FF51)),
        (0x250000, None),  # Left, as Windows tells it
    ],
)
def test_only_letters_and_escape_do_anything(fake_screen, code, action):
    fake_screen(code)
    assert Preview().pressed() == action


def test_closing_the_window_ends_it_and_does_not_open_it_again(monkeypatch, fake_screen):
    shown, visible = [], [1.0]
    fake_screen(-1)
    monkeypatch.setattr(preview.cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(preview.cv2, "getWindowProperty", lambda *_: visible[0])
    window = Preview()
    window.show(np.zeros((9, 16, 3), np.uint8), "", "", alert=False)
    assert window.pressed() is None and window.is_open
    visible[0] = 0.0
    window.show(np.zeros((9, 16, 3), np.uint8), "", "", alert=False)
    assert window.pressed() == "quit" and len(shown) == 1


@pytest.fixture
def screen(tmp_path):
    missing = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: apt install xvfb xdotool")
    read, write = os.pipe()
    with subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    ) as server:
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        yield {**os.environ, "DISPLAY": f":{number}", "HOME": str(tmp_path), "QT_LOGGING_RULES": "*=false"}
        server.send_signal(signal.SIGTERM)


SESSION = """
import sys, numpy as np
from bgmv2.live.preview import Preview
preview = Preview()
view = np.full((180, 320, 3), 60, np.uint8); view[:, :160] = (200, 40, 40)
number = 0
while True:
    number += 1
    preview.show(view, f"picture {number}", "facts", alert=False)
    action = preview.pressed()
    if number == 3: print("ready", flush=True)
    if action: print(action, preview.is_mirrored, flush=True)
    if action == "quit": break
    if number > 20000: sys.exit("nobody pressed anything")
preview.close()
"""


def press(screen, *keys):
    subprocess.run(["xdotool", "key", *keys], env=screen, check=True)


def test_keys_are_heard_by_the_window(screen):
    with subprocess.Popen([sys.executable, "-c", SESSION], env=screen, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        said = []
        for key in ("p", "b", "v", "f", "g", "m", "q"):
            press(screen, "Left", "Home", "Next", key)
            said.append(process.stdout.readline().split())
        assert process.wait(timeout=60) == 0
    assert [action for action, _ in said] == ["plate", "backdrop", "view", "freeze", "go", "mirror", "quit"]
    assert [mirrored for _, mirrored in said] == ["False"] * 5 + ["True"] * 2


def test_a_whole_session_is_ended_by_a_key(screen, tmp_path):
    command = [sys.executable, "-c", "import sys; from bgmv2.cli import main; sys.exit(main())", "webcam"]
    command += ["--camera", str(SAMPLE / "clip.mp4"), "--plate", str(SAMPLE / "plate.jpg"), "--virtual", "off"]
    command += ["--record", str(tmp_path / "out.mp4"), "--scale", "0.125", "--pixels", "0"]
    with subprocess.Popen(command, env=screen, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"{SAMPLE / 'clip.mp4'}: 1280x720 at 25 pictures a second\n"
        while process.poll() is None:
            # The window comes when the network is loaded; a key before that goes nowhere.
            press(screen, "q")
            time.sleep(0.1)
        said = process.stdout.read()
    assert process.returncode == 0 and "frames shown" in said
