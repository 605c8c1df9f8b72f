"""The watchdog: tells in the very frame that the plate no longer fits, and when it fits again.

What a plate that does not fit makes of a frame is always the same: the room differs from it, so alpha rises at once, in
many places, and the room would be shown. Nobody moves like that: within one frame a subject takes places beside where
it was. Only what fails slowly looks different: there, what alpha calls subject has the plate's own structure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np
import torch

from bgmv2.compose import to_uint8
from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.cells import cell_means
from bgmv2.plate.geometry import corners_of, movement, project
from bgmv2.plate.photometric import likeness
from bgmv2.types import Plate

# Alpha is looked at in cells, and a cell is taken by the subject if so much of it has an alpha above the first.
_ALPHA, _TAKEN = 0.3, 0.25
_CELLS = (36, 64)
# Tiles of so many cells; a tile is touched if so much of it is newly taken.
_TILE, _TOUCHED = (6, 8), 0.08
# Cells that lie so near to the subject may be taken by it in the next frame.
_REACH = 3
# More of the picture newly taken at once, or more of the tiles touched, is no subject. On our clips, subjects stay at
# 0.03 and 0.12 even at 1.5 frames a second; a room that is not the plate's any more takes 0.10 and 0.21 at least.
_RISE, _SCATTER = 0.07, 0.16
# Plate and frame are compared at this size.
_SIZE = (90, 160)
# What is as like the plate as this has its structure; so much of the picture that has, but is called subject, is room.
# Subjects have some of it by chance: 0.014 at most on our clips.
_ALIKE, _ROOM = 0.6, 0.03
# A camera that moved by more of the picture's diagonal within a frame was bumped: what it shows now is another part of
# the room, of which the plate may not know all.
_BUMP = 0.03
# A plate that can be found, but is not, in so many frames in a row although at least so much of the room is in view, is
# another's: walls look alike everywhere.
_UNFOUND, _IN_VIEW = 5, 0.3
# More of the picture lies beyond the plate's edges: what is made up there would be shown as room.
_BEYOND = 0.15
# Colours this near agree; of the share that did, so much must still.
_AGREES, _STILL_AGREES = 0.05, 0.5
# A plate that agrees less than usual by this is looked for in what alpha calls subject, before it is believed again.
_LESS = 0.15
# A plate of which less than this agrees is not believed unless it was found.
_LEAST = 0.3
# A picture whose colours vary by less is blank, as behind a shut lid.
_BLANK = 0.02
# So many good frames in a row, and the plate is believed again.
_GOOD = 3
# What is usual is the median over so many good frames.
_USUAL = 60

BLANK = "the camera sees nothing: it is covered, or its lid is shut"
MOVED = "the camera was moved"
ELSEWHERE = "the camera sees another place than the plate shows"
LIGHT = "the light has changed"
SUDDEN = "too much of the picture changed at once"
SHIFTED = "parts of the room are in another place"
NOT_YET = "looking whether the plate fits"


@dataclass(frozen=True)
class Signs:
    """What a frame and its matte tell of the plate; all are shares of the picture, 0..1.

    Args:
        rise: that alpha calls subject, away from what it called so a frame ago.
        scatter: of the tiles, that are touched by that.
        agrees: that has the plate's colours.
        room: that alpha calls subject although it has the plate's structure.
        blank: the frame shows nothing.
    """

    rise: float
    scatter: float
    agrees: float
    room: float
    blank: bool


class Watchdog:
    """Looks at each frame with its matte before anybody else does.

    It begins in doubt: a plate has to fit some frames in a row before anything is shown.

    Args:
        findable: the plate has details by which it is found; a plain wall has none, and is believed by its colours.
    """

    def __init__(self, *, findable: bool = True) -> None:
        self._findable = findable
        self._unfound = 0
        self._taken: np.ndarray | None = None
        self._placed: np.ndarray | None = None
        self._doubt = NOT_YET
        self._good = 0
        self._agreed: deque[float] = deque(maxlen=_USUAL)
        self._found: deque[bool] = deque(maxlen=_USUAL)

    @torch.inference_mode()
    def __call__(self, pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor, alignment: Alignment) -> str:
        """Judge the next frame.

        Args:
            pha: ``(1, 1, H, W)`` alpha as the network gave it.
            src: ``(1, 3, H, W)`` frame, 0..1.
            bgr: ``(1, 3, H, W)`` plate as it stands in the frame, in its light.
            alignment: of the plate to this frame.

        Returns:
            Why the frame must not be shown, in words for people; empty if all is well.
        """
        signs = self._look(pha, src, bgr)
        wrong = self._wrong(signs, alignment)
        size = src.shape[2], src.shape[3]
        wrong = wrong or self._displaced(alignment, size) or self._missed(pha, alignment)
        if not wrong and self._doubt and signs.agrees < self._usual - _LESS and _shows_plate(pha, src, bgr):
            wrong = SHIFTED
        if wrong:
            self._good = 0
            # What was wrong first is the cause of what is seen later, unless it is still being looked for.
            self._doubt = wrong if self._doubt in ("", NOT_YET, SUDDEN) else self._doubt
        elif self._doubt:
            self._good += 1
            self._doubt = "" if self._good >= _GOOD else self._doubt
        if not self._doubt:
            self._agreed.append(signs.agrees)
            self._found.append(alignment.status in ("fixed", "found") and alignment.inliers > 0)
        return self._doubt

    def doubt(self) -> None:
        """Ask the plate to prove itself once more, as after a time without pictures."""
        self._doubt, self._good = NOT_YET, 0

    @property
    def _usual(self) -> float:
        """The share of the picture that agrees with the plate when all is well; all of it before that is known."""
        return median(self._agreed) if self._agreed else 1.0

    def _look(self, pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor) -> Signs:
        share = cell_means((pha > _ALPHA).float(), _CELLS)
        small = cell_means(torch.cat([src.float(), bgr.float(), pha.float()], dim=1), _SIZE)
        # All at once, because each transfer waits for the device.
        told = torch.cat([share.flatten(), small.flatten()]).cpu().numpy()
        cells, pictures = np.split(told, [share.numel()])
        pictures = pictures.reshape(7, *_SIZE).transpose(1, 2, 0)
        frame, plate, alpha = map(np.ascontiguousarray, np.split(pictures, [3, 6], axis=2))
        taken = cells.reshape(_CELLS) > _TAKEN
        reach = cv2.dilate((self._taken if self._taken is not None else taken).astype(np.uint8), _square(_REACH))
        new = taken & (reach == 0)
        rows, columns = _TILE
        tiles = new.reshape(_CELLS[0] // rows, rows, _CELLS[1] // columns, columns).mean(axis=(1, 3))
        self._taken = taken
        is_room = (alpha[..., 0] > 0.5) & (likeness(plate, frame) > _ALIKE)
        # Averaged once more, neither noise nor a pixel of misalignment shows.
        difference = cv2.resize(frame - plate, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        return Signs(
            rise=float(new.mean()),
            scatter=float((tiles > _TOUCHED).mean()),
            agrees=float((np.abs(difference).max(axis=2) < _AGREES).mean()),
            room=float(is_room.mean()),
            blank=bool(frame.std(axis=(0, 1)).max() < _BLANK),
        )

    def _displaced(self, alignment: Alignment, size: tuple[int, int]) -> str:
        """Tell whether the camera looks beyond what the plate knows, or elsewhere than in the frame before.

        That is the last frame in which nothing else was wrong, for only such frames are asked about.
        """
        before, self._placed = self._placed, alignment.homography
        is_bumped = before is not None and movement(self._placed, before, size) > _BUMP * float(np.hypot(*size))
        return MOVED if is_bumped or _beyond(alignment.homography, size) > _BEYOND else ""

    def _missed(self, pha: torch.Tensor, alignment: Alignment) -> str:
        """Tell whether the plate should have been found."""
        if alignment.status != "held" or not self._findable:
            self._unfound = 0
            return ""
        self._unfound += 1
        if not self._doubt and self._unfound < _UNFOUND:
            return ""
        # Whoever leans into the camera hides the room, of which nothing can leak then.
        return ELSEWHERE if float((pha <= _ALPHA).float().mean()) > _IN_VIEW else ""

    def _wrong(self, signs: Signs, alignment: Alignment) -> str:
        """Say what is wrong with this frame; empty if nothing is."""
        if signs.blank:
            return BLANK
        least = max(_LEAST, _STILL_AGREES * self._usual) if self._agreed else _LEAST
        agrees = signs.agrees >= least
        is_held = alignment.status == "held"
        if is_held and alignment.reason.startswith("a jump"):
            return MOVED
        if is_held and not agrees:
            # Before a plain wall nothing is ever found, and colours alone speak for the plate.
            was_found = sum(self._found) > len(self._found) / 2
            return ELSEWHERE if was_found or not self._found else SUDDEN
        if signs.room > _ROOM:
            return LIGHT
        if signs.rise > _RISE or signs.scatter > _SCATTER:
            return SUDDEN
        if self._doubt and not agrees:
            return self._doubt
        return ""


def _shows_plate(pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor) -> bool:
    """Tell whether what alpha calls subject shows parts of the plate, wherever those belong."""
    shown = cv2.dilate((pha[0, 0] > _ALPHA).to(torch.uint8).cpu().numpy(), _square(2))
    pixels = (255 * src[0].permute(1, 2, 0)).to(torch.uint8).cpu().numpy()
    pixels[shown == 0] = 128
    plate, width = Plate(bgr[0].float()), pixels.shape[1]
    # Somebody stands among them, too, of whom the plate knows nothing; in a half there may be less of him.
    for left, right in ((0, width), (0, width // 2), (width // 2, width), (width // 4, width - width // 4)):
        part = np.full_like(pixels, 128)
        part[:, left:right] = pixels[:, left:right]
        # This takes as long as several frames, but is asked only while nothing is shown.
        if Aligner(plate, mode="first").align(part).inliers > 0:
            return True
    return False


def is_findable(plate: Plate) -> bool:
    """Tell whether a plate has details by which it could be found in a frame."""
    pixels = to_uint8(plate.bgr.permute(1, 2, 0)).cpu().numpy()
    return Aligner(plate, mode="first").align(pixels).inliers > 0


def _beyond(homography: np.ndarray, size: tuple[int, int]) -> float:
    """The share of a frame ``(H, W)`` that a plate of its size does not reach, 0..1."""
    corners = corners_of(*size)
    shown, _ = cv2.intersectConvexConvex(project(homography, corners).astype(np.float32), corners.astype(np.float32))
    return 1 - shown / ((size[0] - 1) * (size[1] - 1))


def _square(reach: int) -> np.ndarray:
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
