"""A virtual camera: pictures go into a device from which meeting programs read them as from a webcam."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bgmv2.errors import DeviceError

# A device that another run has just left is not free at once: it is tried for so many seconds, so often.
_TRIED_FOR, _EVERY = 3.0, 0.25
# A device that went away while we run is tried again after so many seconds.
_AGAIN = 1.0
HOW_TO_GET_ONE = {
    "linux": "install v4l2loopback (Debian, Ubuntu: sudo apt install v4l2loopback-dkms), then: "
    "sudo modprobe v4l2loopback exclusive_caps=1 card_label=bgmv2",
    "darwin": "install OBS Studio and start its virtual camera once",
    "win32": "install OBS Studio and start its virtual camera once, or install Unity Capture",
}


class VirtualCamera:
    """A device that other programs take for a webcam; it stays there whatever happens, and is opened again when lost.

    Args:
        width: of the pictures.
        height: of the pictures.
        rate: pictures a second, about.
        device: its name, such as ``/dev/video10``; None takes the first that is free.
        clock: tells the time in seconds.
        wait: waits for some seconds.

    Raises:
        DeviceError: pyvirtualcam is not installed, or there is no such device; says how to get one.

    Attributes:
        losses: how often the device went away.
    """

    def __init__(
        self,
        width: int,
        height: int,
        rate: float,
        *,
        device: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._facts = {"width": width, "height": height, "fps": rate, "device": device}
        self._clock = clock
        self.losses = 0
        end = clock() + _TRIED_FOR
        while True:
            try:
                self._camera: Any = _open(self._facts)
                break
            except DeviceError:
                raise
            except RuntimeError as error:
                if clock() >= end:
                    raise DeviceError(_why_not(device)) from error
            wait(_EVERY)
        self._retry_at = 0.0
        self.name: str = self._camera.device
        self._node = _node(self.name)
        self._looked_at = clock()

    def send(self, picture: np.ndarray) -> bool:
        """Show a picture, ``(H, W, 3)`` uint8 RGB; False if the device is gone, which is then tried again later."""
        if self._camera is None and self._clock() >= self._retry_at:
            self._retry_at = self._clock() + _AGAIN
            with suppress(RuntimeError):
                self._camera = _open(self._facts)
                self.name = self._camera.device
                self._node = _node(self.name)
        if self._camera is None:
            return False
        try:
            self._look_after()
            self._camera.send(np.ascontiguousarray(picture))
        except Exception:  # backends raise whatever their systems do
            self.losses += 1
            self._retry_at = self._clock() + _AGAIN
            self.close()
            return False
        return True

    def _look_after(self) -> None:
        """See now and then that the device is the one that was opened: some backends go on when theirs is gone.

        Raises:
            OSError: it is not.
        """
        if self._node is None or self._clock() < self._looked_at + _AGAIN:
            return
        self._looked_at = self._clock()
        if _node(self.name) != self._node:
            raise OSError(f"{self.name} is gone")

    def is_watched(self) -> bool | None:
        """Tell whether another program has the device open; None where that cannot be told."""
        if sys.platform != "linux" or not os.path.exists(self.name):
            return None
        ours, device = os.getpid(), os.path.realpath(self.name)
        for folder in Path("/proc").glob("[0-9]*/fd"):
            if int(folder.parent.name) == ours:
                continue
            with suppress(OSError):  # it ended meanwhile, or is somebody else's
                if any(os.readlink(entry) == device for entry in folder.iterdir()):
                    return True
        return False

    def close(self) -> None:
        """Release the device; may be called twice."""
        camera, self._camera = self._camera, None
        if camera is not None:
            with suppress(Exception):  # a device that is gone cannot be closed
                camera.close()


def _node(name: str) -> tuple[int, int] | None:
    """By what a device is told from another of its name; None if it has no place among the files."""
    try:
        told = os.stat(name)
    except (OSError, ValueError):
        return None
    return told.st_ino, told.st_rdev


def _open(facts: dict[str, Any]) -> Any:
    """Open the device.

    Raises:
        DeviceError: pyvirtualcam is not installed.
        RuntimeError: there is none.
    """
    try:
        import pyvirtualcam
    except ImportError as error:
        raise DeviceError(
            'a virtual camera needs the library pyvirtualcam: pip install "bgmv2[webcam]"; or do without, with '
            "--virtual off"
        ) from error
    return pyvirtualcam.Camera(fmt=pyvirtualcam.PixelFormat.RGB, **facts)


def _why_not(device: str | None) -> str:
    how = HOW_TO_GET_ONE.get(sys.platform, "see the page of pyvirtualcam")
    what = f"there is no free virtual camera {device}" if device else "there is no free virtual camera"
    return f"{what}: {how}; or do without, with --virtual off"
