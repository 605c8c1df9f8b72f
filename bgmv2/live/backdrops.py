"""What can be behind the subject: one backdrop after the other, at the press of a key."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from bgmv2.backdrop import Backdrop, open_backdrop
from bgmv2.config import CompositeConfig
from bgmv2.errors import BackdropError, Bgmv2Error, Bgmv2Warning
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
        # One that fails gives way to another, unless a person gave no other and can still be told.
        self._is_sole = len(own) == 1
        self.current = self._specs[0]

    def open(self, width: int, height: int) -> Backdrop:
        """Open the current one for pictures of a size; when it fails, now or later, another one is seen in its place.

        Raises:
            BackdropError: it cannot be read, and is the only one that was given.
        """
        return Replaced(self, width, height)

    def next(self, width: int, height: int) -> Backdrop:
        """Open the one that comes next; what cannot be read is left out from then on."""
        self.current = self._specs[(self._specs.index(self.current) + 1) % len(self._specs)]
        return self.open(width, height)

    def open_working(self, width: int, height: int) -> Backdrop:
        """Open the current one, or the first after it that can be read; raises as `open`."""
        while True:
            try:
                found = open_backdrop(self.current, width=width, height=height, composite=self._composite)
            except BackdropError as error:
                if self._is_sole:
                    raise
                self.leave_out(error)
            else:
                self._is_sole = False
                return found

    def leave_out(self, error: Exception) -> None:
        """Go on without the current one, which failed; at last with green, but not with the room unless asked to."""
        warnings.warn(f"the backdrop {self.current} is left out: {error}", Bgmv2Warning, stacklevel=2)
        place = self._specs.index(self.current)
        self._specs.remove(self.current)
        after = [*self._specs[place:], *self._specs[:place]]
        self.current = next(spec for spec in after if spec.partition(":")[0] != "blur")


class Replaced:
    """A backdrop in whose place another one is seen when it fails; see `bgmv2.backdrop.Backdrop`.

    Args:
        backdrops: the current one of which is opened.
        width: of the pictures, in pixels.
        height: of the pictures, in pixels.

    Raises:
        BackdropError: as `Backdrops.open`.
    """

    def __init__(self, backdrops: Backdrops, width: int, height: int) -> None:
        self._backdrops, self._size = backdrops, (width, height)
        self._backdrop = backdrops.open_working(width, height)
        self._spec = backdrops.current
        self._start = 0.0

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return what is seen at an instant; see `Backdrop.at`."""
        while True:
            try:
                return self._backdrop.at(seconds - self._start, bgr)
            except (Bgmv2Error, OSError) as error:
                self._backdrop.close()
                # Another opening of the same file may have failed before.
                if self._backdrops.current == self._spec:
                    self._backdrops.leave_out(error)
                self._backdrop = self._backdrops.open_working(*self._size)
                self._spec, self._start = self._backdrops.current, seconds

    def close(self) -> None:
        """Release the file; may be called twice."""
        self._backdrop.close()


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
