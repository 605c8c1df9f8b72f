"""The preview: a window in which the person at the camera sees what others see, and what to press."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np

from bgmv2.errors import DeviceError
from bgmv2.live.keys import HELP, KEYS, Action
from bgmv2.sheets import DARK, LIGHT, label

TITLE = "bgmv2 webcam"
# The window's picture is so wide, as a person can make the window any size.
_WIDTH = 960
_BAR = 44
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_ALERT, _CALM = (224, 122, 64), (96, 168, 112)
# Opens a window and ends; it may take so many seconds.
_TRIAL, _LIMIT = f"import cv2; cv2.namedWindow({TITLE!r}, cv2.WINDOW_NORMAL)", 15.0


class Preview:
    """A window on the screen; to be used by the main thread only.

    Raises:
        DeviceError: there is no screen here, or no window can be opened on it.
    """

    def __init__(self) -> None:
        # Without a screen, Qt ends the process before anybody can be told.
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DeviceError("there is no screen here for the preview: do without, with --no-preview")
        if sys.platform == "linux" and not _has_screen():
            names = " and ".join(name for name in ("DISPLAY", "WAYLAND_DISPLAY") if os.environ.get(name))
            raise DeviceError(
                f"no window can be opened on the screen that {names} tells of: the preview needs X11 or XWayland; mend "
                "DISPLAY, or do without, with --no-preview"
            )
        self.is_mirrored = False
        self.is_open = True
        self._last: tuple[np.ndarray, str, str, bool] | None = None
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise DeviceError(
                "this OpenCV cannot open a window: install opencv-python in the place of opencv-python-headless, or do "
                "without, with --no-preview"
            ) from error
        self._is_sized = False

    def show(self, view: np.ndarray, note: str, facts: str, *, alert: bool) -> None:
        """Show a picture.

        Args:
            view: ``(h, w, 3)`` uint8 RGB.
            note: what to tell; may be empty.
            facts: numbers, for the lower edge.
            alert: something is not as it should be.
        """
        if not self._is_there():
            return  # OpenCV would open it again
        self._last = view, note, facts, alert
        picture = drawn(view, note, facts, alert=alert, mirrored=self.is_mirrored)
        if not self._is_sized:
            cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])
            self._is_sized = True
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def pressed(self) -> Action | None:
        """Return what was asked for since the last call, or None; gives the window time to live in either case."""
        # The higher bits tell Shift and its like; of the lower, a byte alone would make the left arrow a Q.
        key = cv2.waitKeyEx(1) & 0xFFFF
        if not self._is_there():
            return "quit"
        action = KEYS.get(chr(key).lower()) if key < 128 else None
        if action == "mirror":
            self.is_mirrored = not self.is_mirrored
            if self._last is not None:
                view, note, facts, alert = self._last
                self.show(view, note, facts, alert=alert)
        return action

    def _is_there(self) -> bool:
        """Tell whether the window is still on the screen; before its first picture it is not expected to be."""
        if self._last is not None and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            self.is_open = False
        return self.is_open

    def close(self) -> None:
        """Close the window; may be called twice."""
        if self.is_open:
            self.is_open = False
            cv2.destroyWindow(TITLE)
            cv2.waitKey(1)  # else it stays on the screen until the process ends


def _has_screen() -> bool:
    """Try in another process whether Qt ends it; that OpenCV has no windows at all is no matter of the screen."""
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT,
        )
    except subprocess.TimeoutExpired:
        return False
    return trial.returncode >= 0


def drawn(view: np.ndarray, note: str, facts: str, *, alert: bool, mirrored: bool) -> np.ndarray:
    """Draw what the window shows, ``(h, w, 3)`` uint8 RGB: the picture, above it what to tell, below it the keys."""
    height = max(1, round(view.shape[0] * _WIDTH / view.shape[1]))
    picture = cv2.resize(view, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    if mirrored:
        picture = cv2.flip(picture, 1)
    canvas = np.full((height + 2 * _BAR, _WIDTH, 3), DARK, np.uint8)
    canvas[_BAR:-_BAR] = picture
    cv2.circle(canvas, (_BAR // 2, _BAR // 2), 7, _ALERT if alert else _CALM, -1, cv2.LINE_AA)
    scale = 0.7
    (width, _), _ = cv2.getTextSize(note, _FONT, scale, 1)
    # A long sentence becomes smaller rather than lose its end.
    scale *= min(1.0, (_WIDTH - _BAR - 12) / max(1, width))
    cv2.putText(canvas, note, (_BAR, 28), _FONT, scale, LIGHT, 1, cv2.LINE_AA)
    cv2.putText(canvas, HELP, (12, canvas.shape[0] - 16), _FONT, 0.45, LIGHT, 1, cv2.LINE_AA)
    if facts:
        label(canvas[_BAR:-_BAR], facts)
    return canvas
