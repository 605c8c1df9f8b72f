"""Plates are kept for each camera and size, and found again at the next start."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path

from bgmv2.errors import Bgmv2Error
from bgmv2.plate.sources import MadePlate, load_plate, save_plate
from bgmv2.types import Plate


def default_folder() -> Path:
    """Where programs keep what belongs to a person, by the custom of the system."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "bgmv2" / "plates"


class Shelf:
    """Keeps plates as pictures in a folder that only its owner can read: they show where he lives.

    Args:
        folder: where; made when the first one is put there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or default_folder()

    def path_of(self, camera: str, size: tuple[int, int]) -> Path:
        """Return where the plate of a camera is, or will be."""
        readable = re.sub(r"[^a-z0-9]+", "-", camera.lower()).strip("-")[:40]
        # Names that differ in what was left out must not share a plate.
        unique = hashlib.sha256(camera.encode()).hexdigest()[:8]
        return self._folder / f"{readable or 'camera'}-{unique}-{size[0]}x{size[1]}.png"

    def get(self, camera: str, size: tuple[int, int]) -> tuple[Plate, str] | None:
        """Return the plate of a camera, and how old it is in words; None if there is none that can be read."""
        path = self.path_of(camera, size)
        try:
            age = time.time() - path.stat().st_mtime
            return load_plate(path, *size), _in_words(age)
        except (OSError, Bgmv2Error):
            return None

    def put(self, camera: str, size: tuple[int, int], made: MadePlate) -> None:
        """Keep a plate in the place of the one before.

        Raises:
            OutputError: nothing can be written there.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        save_plate(self.path_of(camera, size), made, overwrite=True)


def _in_words(age: float) -> str:
    for seconds, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if age >= seconds:
            count = int(age // seconds)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"
