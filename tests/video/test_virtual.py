"""Virtual cameras, through the seam at which pyvirtualcam takes backends."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bgmv2.errors import DeviceError
from bgmv2.video import virtual
from bgmv2.video.virtual import VirtualCamera


def picture(value):
    return np.full((6, 8, 3), value, np.uint8)


def test_pictures_arrive_as_they_are(device, clock):
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    sent = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert out.send(sent) and out.name == "/dev/video-test"
    np.testing.assert_array_equal(device.pictures[0], sent)
    assert device.said == {"size": (8, 6), "fps": 30.0, "device": None}
    out.close()
    out.close()
    assert device.writer is None


def test_a_device_that_the_run_before_still_holds_is_waited_for(device, clock):
    before = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)

    def wait(seconds):
        clock.wait(seconds)
        if clock.now >= 101:
            device.writer = None

    assert VirtualCamera(8, 6, 30.0, clock=clock, wait=wait).send(picture(1))
    assert 101 <= clock.now < 101.5 and before is not None


def test_it_is_said_how_to_get_a_device(device, clock, monkeypatch):
    device.there = False
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
    assert clock.now == 100  # waiting would not help


def test_a_device_that_goes_away_is_taken_again_when_it_is_back(device, clock):
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    assert out.send(picture(1))
    device.there = False
    for _ in range(90):
        assert not out.send(picture(2))
        clock.now += 1 / 30
    device.there = True
    sent = 0
    for _ in range(90):
        sent += out.send(picture(3))
        clock.now += 1 / 30
    assert sent > 55 and out.losses == 1
    assert {int(one[0, 0, 0]) for one in device.pictures} == {1, 3}


def test_a_device_that_is_another_one_now_is_opened_again_though_its_backend_says_nothing(device, clock, tmp_path):
    node = tmp_path / "video9"
    node.write_text("")
    out = VirtualCamera(8, 6, 30.0, clock=clock, wait=clock.wait)
    out.name, out._node = str(node), virtual._node(str(node))
    clock.wait(2)
    assert out.send(picture(1)) and out.losses == 0
    (tmp_path / "other").write_text("")
    os.replace(tmp_path / "other", node)
    assert out.send(picture(2))  # it is looked after now and then only
    clock.wait(2)
    assert not out.send(picture(3)) and out.losses == 1
    clock.wait(2)
    assert out.send(picture(4))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells who has a device open, on Linux only")
def test_who_watches_can_be_told(device, clock, tmp_path, monkeypatch):
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
        out.name = str(tmp_path / "by-name")
        os.symlink("device", out.name)
        assert out.is_watched() is True
        other.communicate(b"\n")
    assert out.is_watched() is False
    monkeypatch.setattr(virtual.sys, "platform", "win32")
    assert out.is_watched() is None
