"""Cameras on a clock of the test's own; OpenCV's captures are made up, as no test can count on a lens."""

import os
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.types import Frame
from bgmv2.video import camera
from bgmv2.video.camera import CameraName, Feed, Lens, Outage, Playback, find_cameras, open_again, open_camera


class Fake:
    """A camera that does what a list says: a picture, None for a broken one, or an error."""

    def __init__(self, script, name="desk", size=(8, 6)):
        self.name, self.size, self.rate = name, size, 30.0
        self.script = list(script)
        self.closed = 0
        self.light = []

    def read(self):
        what = self.script.pop(0) if self.script else EOFError()
        if isinstance(what, Exception):
            raise what
        return what

    def hold_light(self, held):
        self.light.append(held)
        return True

    def close(self):
        self.closed += 1


def grey(value, size=(8, 6)):
    return np.full((size[1], size[0], 3), value, np.uint8)


def feed_with(clock, device, *later):
    """A feed, and the moments at which the camera was opened again."""
    moments, coming = [], list(later)

    def reopen():
        moments.append(clock.now)
        what = coming.pop(0)
        if isinstance(what, Exception):
            raise what
        return what

    return Feed(device, reopen, clock=clock, wait=clock.wait), moments


@pytest.fixture
def feed_of(clock):
    return lambda device, *later: feed_with(clock, device, *later)


def test_frames_are_stamped_when_they_come(feed_of):
    feed, _ = feed_of(Fake([grey(1), grey(2)]))
    clock = feed._clock
    frames = []
    for frame in feed:
        frames.append(frame)
        clock.wait(0.5)
    assert [frame.pixels[0, 0, 0] for frame in frames] == [1, 2]
    assert [frame.seconds for frame in frames] == [100.0, 100.5]


def test_a_camera_that_was_unplugged_is_opened_again_ever_more_seldom(feed_of):
    busy = [VideoError("another program uses it")] * 6
    feed, moments = feed_of(Fake([grey(1), VideoError("desk is gone")]), *busy, Fake([grey(2)]))
    items = list(feed)
    assert [item.pixels[0, 0, 0] for item in items if isinstance(item, Frame)] == [1, 2]
    reasons = [item.reason for item in items if isinstance(item, Outage)]
    assert reasons[0] == "desk is gone" and reasons[-1] == "another program uses it"
    gaps = np.diff(moments)
    assert np.all(np.diff(gaps) >= -1e-6) and gaps[0] < 1 and 4.9 < gaps[-1] < 5.2
    # Whoever shows it hears of it all the time.
    assert len(reasons) > 100
    assert feed.outages == 1


def test_the_old_camera_is_released_before_the_new_one_is_opened(feed_of):
    first = Fake([VideoError("gone")])
    feed, _ = feed_of(first, Fake([grey(2)]))
    list(feed)
    assert first.closed == 1 and feed.device is not first
    feed.close()
    assert feed.device.closed == 1


def test_broken_pictures_are_passed_over_and_many_of_them_reopen(feed_of):
    few = [grey(1), None, None, grey(2)]
    feed, moments = feed_of(Fake(few))
    assert [item.pixels[0, 0, 0] for item in feed] == [1, 2]
    assert feed.broken == 2 and not moments

    feed, moments = feed_of(Fake([None] * 100), Fake([grey(3)]))
    items = list(feed)
    assert "broken" in items[0].reason and items[-1].pixels[0, 0, 0] == 3
    assert len(moments) == 1


def test_another_size_passes_through(feed_of):
    feed, _ = feed_of(Fake([grey(1), VideoError("gone")]), Fake([grey(2, (16, 12))], size=(16, 12)))
    shapes = [item.pixels.shape[:2] for item in feed if isinstance(item, Frame)]
    assert shapes == [(6, 8), (12, 16)]


def test_light_is_held_where_it_was_wished_also_after_the_camera_came_back(feed_of):
    first, second = Fake([grey(1), VideoError("gone")]), Fake([grey(2)])
    feed, _ = feed_of(first, second)
    feed.hold_light(True)
    list(feed)
    assert first.light == [True] and second.light == [True] and feed.holds_light


def test_cameras_have_names_and_entries_without_pictures_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    for number, index, name in ((0, 0, "Desk Cam"), (1, 1, "Desk Cam"), (10, 0, "Loopback"), (2, 0, "Lid Cam")):
        entry = tmp_path / ("virtual" if name == "Loopback" else "usb") / f"video{number}"
        entry.mkdir(parents=True)
        (entry / "index").write_text(f"{index}\n")
        (entry / "name").write_text(f"{name}\n")
        (tmp_path / "class").mkdir(exist_ok=True)
        os.symlink(entry, tmp_path / "class" / f"video{number}")
    found = find_cameras(tmp_path / "class")
    assert found == [CameraName(0, "Desk Cam"), CameraName(2, "Lid Cam"), CameraName(10, "Loopback", virtual=True)]
    assert str(found[0]) == "0  Desk Cam" and str(found[2]) == "10  Loopback (virtual)"


def test_elsewhere_cameras_are_found_by_opening_them(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Capture(opened=number in (0, 2)))
    assert [one.number for one in find_cameras()] == [0, 2]


CAMERAS = [CameraName(4, "Loopback", virtual=True), CameraName(5, "Desk Cam"), CameraName(6, "Lid Cam")]


@pytest.mark.parametrize(
    ("spec", "number"), [("", 5), ("6", 6), ("9", 9), ("/dev/video6", 6), ("lid", 6), ("Desk Cam", 5), ("loop", 4)]
)
def test_a_camera_is_picked_by_number_device_or_a_part_of_its_name(monkeypatch, spec, number):
    monkeypatch.setattr(camera, "find_cameras", lambda: CAMERAS)
    monkeypatch.setattr(camera, "Lens", lambda number, name, **wishes: (number, name, wishes))
    opened, name, wishes = open_camera(spec, size=(1280, 720), rate=30)
    assert opened == number and wishes == {"size": (1280, 720), "rate": 30}
    assert name == {4: "Loopback", 5: "Desk Cam", 6: "Lid Cam"}.get(number, "camera 9")


@pytest.mark.parametrize(
    ("spec", "cameras", "said"),
    [
        ("hall", CAMERAS, "there is no camera 'hall'; there are: 4  Loopback (virtual), 5  Desk Cam, 6  Lid Cam"),
        ("cam", CAMERAS, "'cam' may be any of 5  Desk Cam, 6  Lid Cam: give its number"),
        ("", CAMERAS[:1], "there is no camera: plug one in, or give a clip"),
        ("hall", [], "there is no camera 'hall', nor any other: plug one in"),
    ],
)
def test_what_is_no_camera_is_told_with_what_there_is(monkeypatch, spec, cameras, said):
    monkeypatch.setattr(camera, "find_cameras", lambda: cameras)
    with pytest.raises(VideoError, match=".") as error:
        open_camera(spec)
    assert str(error.value) == said


class Capture:
    """What OpenCV would say of a camera of 640 x 480 at most."""

    def __init__(self, *, opened=True, works=True, rate=30.0):
        self.opened, self.works, self.released = opened, works, False
        self.props = {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_EXPOSURE: 156.0}
        self.order = []

    def isOpened(self):  # noqa: N802
        return self.opened

    def set(self, prop, value):
        self.order.append(prop)
        self.props[prop] = min(value, 640) if prop == cv2.CAP_PROP_FRAME_WIDTH else value
        return True

    def get(self, prop):
        return self.props.get(prop, 0.0)

    def grab(self):
        return self.works

    def retrieve(self):
        picture = np.zeros((480, 640, 3), np.uint8)
        picture[..., 0] = 200  # blue, as OpenCV orders it
        return (True, picture) if self.works == "whole" or self.works is True else (False, None)

    def release(self):
        self.released = True


def lens(monkeypatch, capture):
    monkeypatch.setattr(cv2, "VideoCapture", lambda *where: capture)
    return Lens(0, "Desk Cam", size=(1280, 720), rate=60)


def test_size_and_rate_are_what_the_camera_gives(monkeypatch):
    capture = Capture(rate=25.0)
    capture.set = lambda prop, value: capture.order.append(prop) or True
    device = lens(monkeypatch, capture)
    assert device.size == (640, 480) and device.rate == 25.0
    assert device.read()[0, 0].tolist() == [0, 0, 200]
    # The format comes first: other formats have other sizes and rates.
    assert capture.order[0] == cv2.CAP_PROP_FOURCC
    device.close()
    assert capture.released


def test_a_camera_that_is_in_use_is_told(monkeypatch):
    with pytest.raises(VideoError, match="Desk Cam cannot be opened: another program uses it"):
        lens(monkeypatch, Capture(opened=False))
    capture = Capture(works=False)
    with pytest.raises(VideoError, match="Desk Cam gives no picture: another program may use it"):
        lens(monkeypatch, capture)
    assert capture.released


def test_a_camera_that_goes_is_an_error_and_a_broken_picture_is_none(monkeypatch):
    capture = Capture()
    device = lens(monkeypatch, capture)
    capture.works = "broken"
    assert device.read() is None
    capture.works = False
    with pytest.raises(VideoError, match="Desk Cam is gone"):
        device.read()


def test_exposure_is_held_as_it_is(monkeypatch):
    capture = Capture()
    device = lens(monkeypatch, capture)
    assert device.hold_light(True)
    assert capture.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 1 and capture.props[cv2.CAP_PROP_AUTO_WB] == 0
    assert capture.props[cv2.CAP_PROP_EXPOSURE] == 156.0 and capture.order[-2] == cv2.CAP_PROP_EXPOSURE
    device.hold_light(False)
    assert capture.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3 and capture.props[cv2.CAP_PROP_AUTO_WB] == 1


def test_light_that_is_held_goes_with_the_camera(monkeypatch):
    capture = Capture()
    device = lens(monkeypatch, capture)
    device.close()
    assert cv2.CAP_PROP_AUTO_EXPOSURE not in capture.props  # which is not ours to change
    device.hold_light(True)
    device.close()
    assert capture.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3 and capture.props[cv2.CAP_PROP_AUTO_WB] == 1


@pytest.mark.parametrize(
    ("there", "number"), [([(0, "Lid Cam"), (2, "Desk Cam")], 2), ([(0, "Desk Cam"), (2, "Desk Cam")], 0)]
)
def test_the_same_camera_is_opened_again_under_its_new_number(monkeypatch, there, number):
    asked = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *where: asked.append(where[0]) or Capture())
    before = Lens(0, "Desk Cam")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(camera, "find_cameras", lambda: [CameraName(*one) for one in there])
    assert open_again(before, "").name == "Desk Cam" and asked[-1] == number


def test_no_other_camera_is_opened_in_its_place(monkeypatch):
    device = lens(monkeypatch, Capture())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(camera, "find_cameras", lambda: [CameraName(0, "Lid Cam")])
    with pytest.raises(VideoError, match="^Desk Cam is not there: plug it in again$"):
        open_again(device, "")


@pytest.mark.parametrize("there", [[], [CameraName(0, "Lid Cam")]])
def test_a_camera_without_a_name_is_opened_again_by_its_number(monkeypatch, there):
    asked = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *where: asked.append(where[0]) or Capture())
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(camera, "find_cameras", lambda: there)
    assert open_again(open_camera("1"), "1").name == "camera 1" and asked == [1, 1]


def test_light_goes_also_where_holding_it_failed_half_way(monkeypatch):
    capture = Capture()
    device = lens(monkeypatch, capture)
    set_it = capture.set

    def fails(prop, value):
        if prop == cv2.CAP_PROP_AUTO_WB:
            raise cv2.error("timeout")
        return set_it(prop, value)

    capture.set = fails
    with pytest.raises(cv2.error):
        device.hold_light(True)
    device.close()
    assert capture.props[cv2.CAP_PROP_AUTO_EXPOSURE] == 3 and capture.released


def test_light_that_was_let_go_during_an_outage_is_not_held_again(feed_of):
    second = Fake([grey(2)])
    feed, _ = feed_of(Fake([grey(1), VideoError("gone")]), second)
    feed.hold_light(True)
    for item in feed:
        if isinstance(item, Outage):
            feed.hold_light(False)
    assert second.light == [False]


def test_elsewhere_a_number_is_opened_without_looking_for_others(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    asked = []
    monkeypatch.setattr(cv2, "VideoCapture", lambda *where: asked.append(where[0]) or Capture())
    assert open_camera("3").name == "camera 3" and asked == [3]


@pytest.mark.parametrize(
    "error", [OSError("No such\ndevice"), cv2.error("select() timeout"), RuntimeError(), ValueError("?")]
)
def test_whatever_a_driver_says_is_an_outage(feed_of, error):
    feed, _ = feed_of(Fake([error]), error, Fake([grey(1)]))
    items = list(feed)
    assert all(item.reason and "\n" not in item.reason for item in items[:-1]) and isinstance(items[-1], Frame)


def test_a_damaged_clip_ends_where_it_is_damaged(make_clip, clock, monkeypatch):
    played = Playback(make_clip("a.mp4", count=3), clock=clock, wait=clock.wait)

    def broken():
        raise VideoError("a.mp4 is damaged")
        yield

    played.read()
    played._frames = broken()
    with pytest.warns(Bgmv2Warning, match="^a.mp4 is damaged; it ends here$"), pytest.raises(EOFError):
        played.read()


def test_a_clip_is_played_at_its_own_pace_and_ends(make_clip, clock):
    path = make_clip("clip.mp4", times=[0, 40, 80, 400, 440], size=(64, 48))
    device = Playback(path, clock=clock, wait=clock.wait)
    assert device.size == (64, 48) and device.name == str(path)
    feed = Feed(device, lambda: device, clock=clock, wait=clock.wait)
    stamps = [frame.seconds - 100 for frame in feed]
    assert stamps == pytest.approx([0, 0.04, 0.08, 0.4, 0.44], abs=1e-6)


def test_a_clip_that_is_read_too_late_does_not_wait(make_clip, clock):
    device = Playback(make_clip("clip.mp4", count=5, rate=Fraction(25)), clock=clock, wait=clock.wait)
    device.read()
    clock.now += 10
    device.read()
    assert clock.now == 110


def test_a_clip_in_the_place_of_a_camera_is_found_by_its_path(make_clip):
    device = open_camera(str(make_clip("clip.mp4", size=(64, 48))))
    assert isinstance(device, Playback) and not device.hold_light(True)
    device.close()
