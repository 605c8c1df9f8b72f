"""What the plate never saw, beyond its edges and in its holes, learned from the frames of a clip, on the device.

A place counts as seen once several frames agree on its colours: the room stands still there, and a subject that comes
into view does not. Then the network compares with these instead of made-up colours; alpha is still believed there only
as far as it continues the subject (see `bgmv2.plate.unseen`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from bgmv2.plate.align import Alignment
from bgmv2.plate.geometry import corners_of, project, shift
from bgmv2.plate.place import warp_plate
from bgmv2.types import Plate

# As a share of the long side, so much is learned on each side: what a hand that is not very steady comes to.
_MARGIN = 0.1
# So many frames must agree before their colours are believed, and so many are averaged; code values that differ by less
# agree.
_AGREED, _AVERAGED, _ALIKE = 6, 16, 0.06


class Surroundings:
    """The plate on a canvas that is larger on each side, for cameras that move; its holes are filled by the way.

    Args:
        plate: on the device, sized like the frames.
    """

    def __init__(self, plate: Plate):
        self._size = plate.bgr.shape[1], plate.bgr.shape[2]
        self._margin = max(1, round(_MARGIN * max(self._size)))
        pad = [self._margin] * 4
        seen = torch.ones_like(plate.bgr[:1], dtype=torch.bool) if plate.seen is None else plate.seen
        self._canvas = F.pad(plate.bgr[None], pad, mode="replicate")
        self._seen = F.pad(seen, pad)
        self._mean = torch.zeros_like(self._canvas, dtype=torch.float16)
        self._count = torch.zeros_like(self._canvas[:, :1], dtype=torch.uint8)
        self._holes = _box_of(~seen[0])

    def widened(self, alignment: Alignment) -> tuple[Plate, Alignment]:
        """Return the canvas as a plate of which only what was filmed is seen, and how it lies in a frame.

        Where the camera stands still, that is the part under the plate.
        """
        if not alignment.moves:
            inner = slice(None), slice(self._margin, -self._margin), slice(self._margin, -self._margin)
            return Plate(self._canvas[0][inner], self._seen[inner]), alignment
        on_canvas = alignment.homography @ shift(np.array([-self._margin, -self._margin]))
        return Plate(self._canvas[0], self._seen), replace(alignment, homography=on_canvas)

    def learn(self, colours: torch.Tensor, free: torch.Tensor, alignment: Alignment) -> None:
        """Take over what a frame shows of what the plate does not.

        Args:
            colours: ``(1, 3, H, W)`` frame in the plate's light, 0..1.
            free: ``(1, 1, H, W)``, 1 where it surely shows background.
            alignment: of the plate to the frame.
        """
        back = np.linalg.inv(alignment.homography)
        for x, y, box in self._unseen(back):
            at = self._canvas[box].shape[2:]
            matrix = torch.from_numpy(shift(-np.array([x, y])) @ back)[None]
            shown, covered = warp_plate(colours, matrix, seen=free[0] > 0.5, size=(at[0], at[1]))
            self._take(box, shown, (covered > 0) & ~self._seen[box[1:]])

    def state(self) -> dict[str, torch.Tensor]:
        """Return what was learned so far, of which most places know nothing."""
        some = self._count[0, 0] > 0
        return {"count": self._count, "mean": self._mean[0, :, some], "canvas": self._canvas[0, :, some]}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Remember what other surroundings of the same plate did when they returned `state`."""
        self._count = state["count"].to(self._count.device)
        some = self._count[0, 0] > 0
        self._mean[0, :, some] = state["mean"].to(self._mean.device)
        self._canvas[0, :, some] = state["canvas"].to(self._canvas.device)

    def _unseen(self, back: np.ndarray) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
        """Yield rectangles that a frame may show and the plate does not: their place on the plate, and the canvas."""
        (height, width), margin = self._size, self._margin
        corners = project(back, corners_of(height, width))
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), -margin, 0)
        right, bottom = np.clip(
            np.ceil(corners.max(axis=0)).astype(int) + 1, (width, height), (width + margin, height + margin)
        )
        rows = (top, 0), (height, bottom), (0, height), (0, height), self._holes[0]
        columns = (left, right), (left, right), (left, 0), (width, right), self._holes[1]
        for (y, y_end), (x, x_end) in zip(rows, columns, strict=True):
            if y < y_end and x < x_end:
                box = slice(y + margin, y_end + margin), slice(x + margin, x_end + margin)
                yield int(x), int(y), (slice(None), slice(None), *box)

    def _take(self, box: tuple[slice, ...], shown: torch.Tensor, free: torch.Tensor) -> None:
        """Let the colours ``(1, 3, h, w)`` that a frame shows in a rectangle of the canvas count."""
        mean, count = self._mean[box].float(), self._count[box]
        is_new = count == 0
        agrees = (shown - mean).abs().amax(dim=1, keepdim=True) < _ALIKE
        gains = free & (is_new | agrees)
        weight = 1 / (count.float() + 1).clamp(max=_AVERAGED)
        mean = torch.where(gains, torch.lerp(mean, shown, weight), mean)
        count = torch.where(gains, (count + 1).clamp(max=_AVERAGED), count - (free & ~gains).to(count.dtype))
        self._mean[box], self._count[box] = mean.half(), count
        self._canvas[box] = torch.where(gains & (count >= _AGREED), mean, self._canvas[box])


def _box_of(mask: torch.Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """The rows and columns that a mask ``(H, W)`` needs, first and behind the last; none if it is empty."""
    box = []
    for axis in (1, 0):
        some = mask.any(dim=axis).nonzero()
        box.append((int(some[0]), int(some[-1]) + 1) if len(some) > 0 else (0, 0))
    return box[0], box[1]
