"""Cameras: finding them by name, opening one with the size and rate that it has, and going on whatever happens to it.

A camera is a `Device`, which gives pictures or fails; a `Feed` reads it for ever, and opens it again when it is gone. A
video file that is played at its own pace is a camera, too, but for its end.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from bgmv2.errors import Bgmv2Warning, VideoError, one_line
from bgmv2.types import Frame
from bgmv2.video.open import is_sequence, open_source
from bgmv2.video.probe import is_address, shown
from bgmv2.video.quiet import quiet

# Instants are told by the machine's clock that never goes back, in nanoseconds.
CLOCK = Fraction(1, 10**9)
_SYSFS = Path("/sys/class/video4linux")
# Where cameras have no names, so many numbers are tried.
_NUMBERS = 5
# A camera that does not say how fast it is.
_USUAL_RATE = 30.0
# V4L2's words for an exposure that the camera chooses, and for one that is held.
_HELD, _CHOSEN = 1.0, 3.0
# So many pictures in a row that cannot be decoded, and the camera is opened anew.
_BROKEN = 15
# It is tried again after so many seconds, each time after twice as many, but no more than the second; meanwhile it is
# said so often that there is none.
_FIRST_WAIT, _LONGEST_WAIT, _SAID_EVERY = 0.25, 5.0, 0.1


@dataclass(frozen=True)
class CameraName:
    """A camera that was found.

    Args:
        number: as systems count them.
        name: as its maker calls it.
        virtual: a program's pictures come from it, not a lens's.
    """

    number: int
    name: str
    virtual: bool = False

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.number}  {self.name}{' (virtual)' * self.virtual}"


class Device(Protocol):
    """A camera that is open.

    Attributes:
        name: for people; the same whenever it is the same camera.
        size: width and height of its pictures.
        rate: pictures a second, as it says.
    """

    name: str
    size: tuple[int, int]
    rate: float

    def read(self) -> np.ndarray | None:
        """Wait for the next picture, ``(H, W, 3)`` uint8 RGB; None if it cannot be decoded.

        Raises:
            VideoError: there will be none any more.
            EOFError: a clip is at its end.
        """
        ...

    def hold_light(self, held: bool) -> bool:
        """Let exposure and white balance stay as they are, or go; tell whether the camera obeys."""
        ...

    def close(self) -> None:
        """Release it; may be called twice."""
        ...


def find_cameras(folder: Path = _SYSFS) -> list[CameraName]:
    """Find the cameras of this machine.

    On Linux, V4L2 tells their names. Elsewhere there are only numbers, and a camera is found by opening it.
    """
    if sys.platform != "linux":
        return [CameraName(number, _unnamed(number)) for number in range(_NUMBERS) if _opens(number)]
    found = []
    for entry in sorted(folder.glob("video*"), key=lambda path: int(path.name.removeprefix("video"))):
        with suppress(OSError, ValueError):
            # A camera's other entries give its metadata, no pictures.
            if int((entry / "index").read_text()) == 0:
                name = (entry / "name").read_text().strip()
                found.append(
                    CameraName(int(entry.name.removeprefix("video")), name, "virtual" in entry.resolve().parts)
                )
    return found


def open_camera(spec: str, *, size: tuple[int, int] | None = None, rate: float | None = None) -> Device:
    """Open a camera, or a clip in the place of one.

    Args:
        spec: a number, a part of a name, a device such as ``/dev/video0``, the path or address of a clip, or nothing
            for the first camera with a lens.
        size: width and height that are wanted; a camera takes what it has nearest to them.
        rate: pictures a second that are wanted.

    Raises:
        VideoError: there is no such camera, it is taken by another program, or there is no such clip.
    """
    if is_address(spec) or is_sequence(spec) or Path(spec).is_file():
        return Playback(spec)
    # Where cameras have no names, they are found by opening them, which a number spares.
    cameras = find_cameras() if sys.platform == "linux" or not spec.isdigit() else []
    number = _number_of(spec, cameras)
    name = next((camera.name for camera in cameras if camera.number == number), _unnamed(number))
    return Lens(number, name, size=size, rate=rate)


def open_again(device: Device, spec: str, *, size: tuple[int, int] | None = None, rate: float | None = None) -> Device:
    """Open the camera that was open before, and no other: it is known by its name, for its number may have changed.

    Where cameras have no names, the number must do.

    Args:
        device: that camera, closed.
        spec: as it was opened by.
        size: width and height that are wanted.
        rate: pictures a second that are wanted.

    Raises:
        VideoError: it is not there, or cannot be opened.
    """
    if not isinstance(device, Lens):
        return open_camera(spec, size=size, rate=rate)
    number = device.number
    if device.name != _unnamed(number):
        like = [camera.number for camera in find_cameras() if camera.name == device.name]
        if not like:
            raise VideoError(f"{device.name} is not there: plug it in again")
        number = number if number in like else like[0]
    return Lens(number, device.name, size=size, rate=rate)


def _number_of(spec: str, cameras: list[CameraName]) -> int:
    """Say which camera is meant."""
    named = [camera for camera in cameras if spec.lower() in camera.name.lower()]
    if not spec:
        named = [camera for camera in cameras if not camera.virtual]
    elif spec.isascii() and spec.isdigit():
        return int(spec)
    elif spec.startswith("/dev/video") and spec.removeprefix("/dev/video").isdigit():
        return int(spec.removeprefix("/dev/video"))
    if not named:
        there = "; there are: " + ", ".join(map(str, cameras)) if cameras else ", nor any other: plug one in"
        raise VideoError(
            f"there is no camera {spec!r}{there}" if spec else "there is no camera: plug one in, or give a clip"
        )
    if spec and len(named) > 1:
        raise VideoError(f"{spec!r} may be any of {', '.join(map(str, named))}: give its number")
    return named[0].number


class Lens:
    """A camera that is plugged in, read by OpenCV; see `Device`.

    Args:
        number: as the system counts it.
        name: for people.
        size: width and height that are wanted.
        rate: pictures a second that are wanted.

    Raises:
        VideoError: it cannot be opened, or gives nothing.
    """

    def __init__(
        self, number: int, name: str, *, size: tuple[int, int] | None = None, rate: float | None = None
    ) -> None:
        self.name, self.number = name, number
        self._holds_light = False
        with quiet():
            self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        if not self._capture.isOpened():
            raise VideoError(f"{name} cannot be opened: another program uses it, or it was unplugged")
        # Only compressed do most cameras give large pictures at their full rate.
        self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        for prop, wanted in zip(
            (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS),
            (*(size or (None, None)), rate),
            strict=True,
        ):
            if wanted is not None:
                self._capture.set(prop, wanted)
        # What waits in a queue is old.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        picture = None
        with suppress(VideoError):
            picture = self.read()
        if picture is None:
            self.close()
            raise VideoError(f"{name} gives no picture: another program may use it")
        self.size = picture.shape[1], picture.shape[0]
        told = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = told if 1 <= told <= 1000 else _USUAL_RATE

    def read(self) -> np.ndarray | None:
        """Wait for the next picture; see `Device.read`."""
        if not self._capture.grab():
            raise VideoError(f"{self.name} is gone: it was unplugged, or another program took it")
        is_whole, picture = self._capture.retrieve()
        return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if is_whole and picture is not None and picture.size else None

    def hold_light(self, held: bool) -> bool:
        """Hold exposure and white balance, or let them go; see `Device.hold_light`."""
        # Should the driver fail half-way, there is something to let go.
        self._holds_light = True
        exposure = self._capture.get(cv2.CAP_PROP_EXPOSURE)
        obeys = self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, _HELD if held else _CHOSEN)
        if held and obeys:
            # Left to itself, a camera goes back to what was last set by hand.
            self._capture.set(cv2.CAP_PROP_EXPOSURE, exposure)
        self._capture.set(cv2.CAP_PROP_AUTO_WB, float(not held))
        self._holds_light = held
        return bool(obeys)

    def close(self) -> None:
        """Let its light go, which would stay held for other programs, too, and release it; may be called twice."""
        if self._holds_light:
            with suppress(Exception):  # it may be gone
                self.hold_light(False)
        self._capture.release()


class Playback:
    """A clip that is played at its own pace, once, in the place of a camera; see `Device`.

    Args:
        path: as `bgmv2.video.open.open_source` takes it.
        clock: tells the time in seconds.
        wait: waits for some seconds.

    Raises:
        VideoError: it cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = shown(path)
        self._source = open_source(path)
        info = self._source.info
        self.size, self.rate = (info.width, info.height), float(info.rate)
        self._frames = iter(self._source)
        self._clock, self._wait = clock, wait
        self._zero: float | None = None

    def read(self) -> np.ndarray | None:
        """Wait until the next frame is due; see `Device.read`."""
        try:
            frame = next(self._frames, None)
        except VideoError as error:
            # Played again from its beginning it would come to the same place.
            warnings.warn(f"{error}; it ends here", Bgmv2Warning, stacklevel=2)
            frame = None
        if frame is None:
            raise EOFError(f"{self.name} is at its end")
        if self._zero is None:
            self._zero = self._clock() - frame.seconds
        due = self._zero + frame.seconds - self._clock()
        if due > 0:
            self._wait(due)
        return (frame.pixels // 257).astype(np.uint8) if frame.pixels.dtype == np.uint16 else frame.pixels

    def hold_light(self, held: bool) -> bool:
        """Do nothing: it was filmed long ago."""
        return False

    def close(self) -> None:
        """Release it; may be called twice."""
        self._source.close()


@dataclass(frozen=True)
class Outage:
    """There is no picture.

    Args:
        reason: in words for people.
    """

    reason: str


class Feed:
    """The pictures of a camera, for as long as anybody asks; when it is gone, it is opened again and again.

    Iterating yields a `Frame` with the instant at which it came, by `CLOCK`, or an `Outage` some times a second while
    there is no camera. What cannot be decoded is passed over. It ends only with a clip.

    Args:
        device: the camera.
        reopen: opens it again, and raises a `VideoError` if that cannot be.
        clock: tells the time in seconds.
        wait: waits for some seconds.

    Attributes:
        device: the camera as it was opened last.
        broken: pictures that could not be decoded.
        outages: how often the camera was lost.
    """

    def __init__(
        self,
        device: Device,
        reopen: Callable[[], Device],
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.device = device
        self.broken = self.outages = 0
        self._reopen, self._clock, self._wait = reopen, clock, wait
        self._held: bool | None = None
        self._wished: bool | None = None

    def hold_light(self, held: bool) -> None:
        """Wish that exposure and white balance stay as they are, or go; obeyed before the next picture."""
        self._wished = held

    @property
    def holds_light(self) -> bool:
        """Whether the camera said that exposure is held."""
        return bool(self._held)

    def __iter__(self) -> Iterator[Frame | Outage]:
        failed = 0
        while True:
            try:
                self._obey()
                picture = self.device.read()
            except EOFError:
                return
            except Exception as error:  # drivers raise whatever they like
                yield from self._again(_said(error))
                failed = 0
                continue
            if picture is not None:
                failed = 0
                yield Frame(picture, round(self._clock() / CLOCK), CLOCK)
                continue
            failed, self.broken = failed + 1, self.broken + 1
            if failed >= _BROKEN:
                yield from self._again(f"{self.device.name} delivers broken pictures")
                failed = 0

    def close(self) -> None:
        """Release the camera; may be called twice."""
        self.device.close()

    def _obey(self) -> None:
        wished, self._wished = self._wished, None
        if wished is not None:
            self._held = self.device.hold_light(wished) and wished

    def _again(self, reason: str) -> Iterator[Outage]:
        """Try to open the camera again, ever more seldom, until it is there."""
        self.outages += 1
        was_held = self._held
        with suppress(Exception):  # what is broken may break once more
            self.device.close()
        pause = _FIRST_WAIT
        while True:
            end = self._clock() + pause
            while self._clock() < end:
                yield Outage(reason)
                self._wait(_SAID_EVERY)
            try:
                self.device = self._reopen()
            except Exception as error:
                reason, pause = _said(error), min(2 * pause, _LONGEST_WAIT)
                continue
            if was_held and self._wished is None:
                self._wished = True
            return


def _said(error: Exception) -> str:
    """What went wrong, in one line."""
    return one_line(error) or type(error).__name__


def _unnamed(number: int) -> str:
    """What a camera is called of which no name is known."""
    return f"camera {number}"


def _opens(number: int) -> bool:
    with quiet():
        capture = cv2.VideoCapture(number)
    try:
        return capture.isOpened()
    finally:
        capture.release()
