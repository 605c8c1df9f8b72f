"""What can be behind the subject: one backdrop after the other, at the press of a key."""

from __future__ import annotations

from pathlib import Path

from bgmv2.backdrop import Backdrop, open_backdrop
from bgmv2.config import CompositeConfig
from bgmv2.errors import BackdropError
from bgmv2.video.probe import kind_of

# What comes after all that was given, so that there is always another one.
ALWAYS = ("blur", "green")


class Backdrops:
    """The backdrops of a session, the first of which was asked for.

    Args:
        spec: as `bgmv2.backdrop.open_backdrop` takes it, or a folder of pictures and videos, each of them a backdrop.
        composite: how they are shown.

    Raises:
        BackdropError: there is nothing in the folder.

    Attributes:
        current: the one that is seen, as it was given.
    """

    def __init__(self, spec: str, composite: CompositeConfig = CompositeConfig()) -> None:
        own = _listed(Path(spec)) if Path(spec).is_dir() else [spec]
        self._specs = [*own, *(one for one in ALWAYS if one not in own)]
        self._composite = composite
        self.current = self._specs[0]

    def open(self, width: int, height: int) -> Backdrop:
        """Open the current one for pictures of a size.

        Raises:
            BackdropError: it cannot be read.
        """
        return open_backdrop(self.current, width=width, height=height, composite=self._composite)

    def next(self, width: int, height: int) -> Backdrop:
        """Open the one that comes next; what cannot be read is left out from then on."""
        while True:
            place = (self._specs.index(self.current) + 1) % len(self._specs)
            broken, self.current = self.current, self._specs[place]
            try:
                return self.open(width, height)
            except BackdropError:
                self._specs.remove(self.current)
                self.current = broken


def _listed(folder: Path) -> list[str]:
    """Return the pictures and videos of a folder by name."""
    found = sorted(str(path) for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in found if _is_shown(Path(path))]
    if not found:
        raise BackdropError(f"there is neither a picture nor a video in {folder}")
    return found


def _is_shown(path: Path) -> bool:
    try:
        return kind_of(path) in ("picture", "video")
    except ValueError:
        return False
