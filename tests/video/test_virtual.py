"""Virtual cameras, through the seam at which pyvirtualcam takes backends."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bgmv2.errors import DeviceError
from bgmv2.video import virtual
from bgmv2.video.virtual import VirtualCamera

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason='needs pip install "bgmv2[webcam]"')


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def loop(monkeypatch):
    """The only backend: one device, which can go away, and which one writer has at a time."""

    class Loop:
        there, writer, pictures, opened, said = True, None, [], 0, {}

        def __init__(self, *, width, height, fps, fourcc, device):
            if not Loop.there or Loop.writer is not None:
                raise RuntimeError("no device")
            Loop.writer, Loop.opened = self, Loop.opened + 1
            Loop.said = {"size": (width, height), "fps": fps, "device": device}

        def send(self, frame):
            if not Loop.there:
                raise OSError("device is gone")
            Loop.pictures.append(frame.copy())

        def device(self):
            return "/dev/video-loop"

        def native_fourcc(self):
            return None

        def close(self):
            Loop.writer = None

    from pyvirtualcam import camera

    monkeypatch.setattr(camera, "BACKENDS", {})
    pyvirtualcam.register_backend("loop", Loop)
    return Loop


def picture(value):
    return np.full((6, 8, 3), value, np.uint8)


def test_pictures_arrive_as_they_are(loop, clock):
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    sent = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert out.send(sent) and out.is_there and out.name == "/dev/video-loop"
    np.testing.assert_array_equal(loop.pictures[0].reshape(6, 8, 3), sent)
    assert loop.said == {"size": (8, 6), "fps": 30.0, "device": None}
    out.close()
    out.close()
    assert loop.writer is None


def test_a_device_that_the_run_before_still_holds_is_waited_for(loop, clock):
    before = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)

    def wait(seconds):
        clock.wait(seconds)
        if clock.now >= 1:
            loop.writer = None

    assert VirtualCamera(8, 6, 30.0, clock=clock, wait=wait).send(picture(1))
    assert 1 <= clock.now < 1.5 and before is not None


def test_it_is_said_how_to_get_a_device(loop, clock, monkeypatch):
    loop.there = False
    for platform, how in (("linux", "v4l2loopback"), ("darwin", "OBS"), ("win32", "OBS"), ("plan9", "pyvirtualcam")):
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(DeviceError, match=f"no free virtual camera: .*{how}.*--virtual off"):
            VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    with pytest.raises(DeviceError, match="no free virtual camera /dev/video9: "):
        VirtualCamera(8, 6, 30.0, device="/dev/video9", clock=clock, wait=clock.wait)


def test_it_is_said_how_to_get_the_library(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(DeviceError, match=r'pip install "bgmv2\[webcam\]"'):
        VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    assert clock.now == 0  # waiting would not help


def test_a_device_that_goes_away_is_taken_again_when_it_is_back(loop, clock):
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    assert out.send(picture(1))
    loop.there = False
    for _ in range(90):
        assert not out.send(picture(2)) and not out.is_there
        clock.now += 1 / 30
    loop.there = True
    sent = 0
    for _ in range(90):
        sent += out.send(picture(3))
        clock.now += 1 / 30
    assert sent > 55 and out.losses == 1 and loop.opened == 2
    assert {int(one[0]) for one in loop.pictures} == {1, 3}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who has a device open, on Linux only")
def test_who_watches_can_be_told(loop, clock, tmp_path, monkeypatch):
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    assert out.is_watched() is None  # there is no such file
    out.name = os.path.realpath(tmp_path / "device")
    (tmp_path / "device").write_text("")
    with open(out.name):
        assert out.is_watched() is False  # we ourselves do not count
    code = f"f = open({out.name!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"open"
        assert out.is_watched() is True
        other.communicate(b"\n")
    assert out.is_watched() is False
    monkeypatch.setattr(virtual.sys, "platform", "win32")
    assert out.is_watched() is None
