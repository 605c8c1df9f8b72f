"""A scene that changes slowly: patches of light that wander, told from what is surely background, on the device.

What a low-order field cannot hold (see `bgmv2.plate.uneven`) is followed place by place, as a factor of the light. It
belongs to the scene and not to the frame, so it is kept over the pixels of the plate and moves with them. Nothing but a
tint is learned: what stands still for long cannot be burnt into the plate.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from bgmv2.plate.align import Alignment
from bgmv2.plate.cells import cell_means
from bgmv2.plate.geometry import scaling
from bgmv2.plate.place import warp_plate
from bgmv2.plate.views import reduced_size

# Places are cells, of which there are so many along the frame's long side, of so many pixels at least.
_SIDE, _CELL = 160, 4
# So much of what a frame shows is believed: light is followed within some ten frames, and noise is averaged.
_SHARE = 0.1
# Of a cell so many pixels are looked at, in rows and in columns: enough to average noise.
_LOOKED_AT = 4
# Code values that clip tell nothing; so much of a cell must tell something, and all of it be free.
_DARK, _BRIGHT, _LEAST, _FREE = 0.02, 0.98, 0.3, 0.999
# Keeps the logarithms of dark cells from running away, in code values.
_FLOOR = 0.005
# Light that differs by less from that of the plate as it was filmed, as a logarithm, is that light.
_AS_FILMED = 0.06
# No place changes by more either way.
_MOST = 1.6


class Drift:
    """Follows the light of a scene from frame to frame, cell by cell.

    **Convention**: a field like those of `bgmv2.plate.uneven`, but over the plate: logarithms of what the plate's light
    is multiplied by.

    Args:
        plate: ``(H, W)`` of the plate.
        size: ``(h, w)`` of the frames.
    """

    def __init__(self, plate: tuple[int, int], size: tuple[int, int]):
        self._plate, self._size = plate, size
        self._small = reduced_size(size, max(1, min(_SIDE, max(size) // _CELL)))
        rows, columns = (max(1, round(n * small / of)) for n, small, of in zip(plate, self._small, size, strict=True))
        self._cells = rows, columns
        self._thin = max(1, max(size) // max(self._small) // _LOOKED_AT)
        self._logs: torch.Tensor | None = None

    def over(self, alignment: Alignment) -> torch.Tensor | None:
        """Return the field as a frame shows it, ``(1, 3, rows, columns)``; None if nothing is known to have changed."""
        return None if self._logs is None else self._moved(self._logs, self._to_frame(alignment), self._small)[0]

    def learn(
        self,
        src: torch.Tensor,
        bgr: torch.Tensor,
        covered: torch.Tensor,
        free: torch.Tensor,
        alignment: Alignment,
    ) -> None:
        """Follow what a frame shows of the background.

        Args:
            src: ``(1, 3, h, w)`` frame, 0..1.
            bgr: ``(1, 3, h, w)`` the plate as it stands in the frame, drifted, 0..1.
            covered: ``(1, 1, h, w)``, 1 where that shows the scene; made-up colours tell nothing of light.
            free: ``(1, 1, h, w)``, 1 where both surely show background.
            alignment: of the plate to the frame.
        """
        src, bgr, covered, free = (x[..., :: self._thin, :: self._thin] for x in (src, bgr, covered, free))
        clear = (torch.minimum(src, bgr) > _DARK) & (torch.maximum(src, bgr) < _BRIGHT)
        tells = clear.all(dim=1, keepdim=True).to(src.dtype)
        shown, lit = (cell_means(x * tells, self._small) for x in (src, bgr))
        change = ((shown + _FLOOR) / (lit + _FLOOR)).log()
        so_far = self.over(alignment)
        # A shadow that was learned and walked away would else be taken for somebody, and so stay for good.
        total = change if so_far is None else change + self._meant(so_far)
        as_filmed = total.abs().amax(dim=1, keepdim=True) < _AS_FILMED
        is_free = (cell_means(free, self._small) > _FREE) | as_filmed
        known = is_free & (cell_means(covered, self._small) > _FREE) & (cell_means(tells, self._small) > _LEAST)
        back = np.linalg.inv(self._to_frame(alignment))
        step, covered = self._moved(_SHARE * change * known, back, self._cells)
        step = step * covered
        self._logs = (step if self._logs is None else self._logs + step).clamp(-_MOST, _MOST)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what was learned so far."""
        return {} if self._logs is None else {"logs": self._logs}

    def restore(self, state: dict[str, torch.Tensor], device: torch.device) -> None:
        """Remember what another one did when it returned `state`."""
        self._logs = state["logs"].to(device) if state else None

    def _to_frame(self, alignment: Alignment) -> np.ndarray:
        """From cells of the plate to those of the frame."""
        return (
            scaling(self._size, self._small) @ alignment.homography @ np.linalg.inv(scaling(self._plate, self._cells))
        )

    def _meant(self, field: torch.Tensor) -> torch.Tensor:
        """Average a field over each cell as it stands in pictures, where it goes on bilinearly between the centres."""
        between = F.interpolate(field, scale_factor=4.0, mode="bilinear", align_corners=False)
        return F.avg_pool2d(between, 4)

    def _moved(
        self, field: torch.Tensor, matrix: np.ndarray, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._cells == self._small and np.allclose(matrix, np.eye(3), atol=1e-9):
            return field, torch.ones_like(field[:, :1])
        return warp_plate(field, torch.from_numpy(matrix)[None], size=size)
