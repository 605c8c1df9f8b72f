"""Each frame measured where it is matted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from bgmv2.plate.align import Alignment
from bgmv2.plate.geometry import movement
from bgmv2.report.panels import layers_of, reduced
from bgmv2.report.rows import UNCERTAIN, Row
from bgmv2.types import Matte

# Long side in pixels, at most, of the pictures in which flicker is sought.
_SIDE = 320
# A place that changed by more is no still one: above noise and compression, below what moves.
_STILL = 0.03
# With fewer still places, as a share of the picture, nothing is said of flicker.
_LEAST_STILL = 0.05


@dataclass(frozen=True, eq=False)
class Observation:
    """What an `Inspector` saw in one frame.

    Args:
        row: the numbers.
        layers: what `bgmv2.report.panels.layers_of` gathered of the picture.
    """

    row: Row
    layers: torch.Tensor


class Inspector:
    """Measures the frames of one clip, in their order, on the device that mattes them.

    Flicker is the mean change of alpha since the frame before, over all still places: those where no channel of the
    picture changed by more than 0.03, neither there nor beside it. Both are looked at reduced by a whole number, to a
    long side of 320 pixels at most. There is none for the first frame, nor where less than a twentieth is still.

    Args:
        frames: how many were inspected before, by a run that is gone on with; then `restore` tells what the last of
            them looked like.
    """

    def __init__(self, *, frames: int = 0):
        self._frames = frames
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @torch.inference_mode()
    def __call__(
        self, src: torch.Tensor, matte: Matte, alignment: Alignment, seconds: float, covered: torch.Tensor
    ) -> Observation:
        """Measure the next frame.

        Args:
            src: ``(1, 3, H, W)`` frame, 0..1.
            matte: of this frame, as it is delivered.
            alignment: of the plate to this frame.
            seconds: when the frame is shown.
            covered: ``(1, 1, H, W)``, 1 where the plate shows the scene.
        """
        flicker, still = self._change(src, matte)
        error = F.interpolate(matte.err, size=matte.ref.shape[2:], mode="bilinear", align_corners=False)
        uncertain = (error > UNCERTAIN) & (matte.ref == 0)
        means = [x.float().mean() for x in (matte.err, matte.ref, uncertain, matte.pha, covered)]
        # All at once, because each transfer waits for the device.
        values = [round(x, 6) for x in torch.stack([*means, flicker, still]).tolist()]
        row = Row(
            frame=self._frames,
            seconds=round(seconds, 6),
            status=alignment.status,
            shift=round(movement(alignment.homography, np.eye(3), src.shape[2:]), 3),
            matches=alignment.matches,
            inliers=alignment.inliers,
            residual=round(float(alignment.residual), 4),
            gain=tuple(round(float(x), 5) for x in alignment.light.gain),
            bias=tuple(round(float(x), 5) for x in alignment.light.bias),
            error=values[0],
            refined=values[1],
            uncertain=values[2],
            coverage=values[3],
            bend=round(alignment.bend, 3),
            rolloff=round(alignment.light.rolloff, 4),
            uneven=round(alignment.light.unevenness, 5),
            unseen=round(1 - values[4], 6),
            reason=alignment.reason,
            flicker=values[5] if values[6] >= _LEAST_STILL and math.isfinite(values[5]) else None,
        )
        self._frames += 1
        # Drawn by another thread, which had better not ask the device.
        return Observation(row, layers_of(src, matte).cpu())

    def state(self) -> dict[str, torch.Tensor]:
        """Return what is remembered of the last frame."""
        return {} if self._last is None else dict(zip(("src", "pha"), self._last, strict=True))

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Remember what another inspector did when it returned `state`."""
        self._last = (state["src"], state["pha"]) if state else None

    def _change(self, src: torch.Tensor, matte: Matte) -> tuple[torch.Tensor, torch.Tensor]:
        """Return flicker, and the share of still places: 0 if there was no frame before."""
        last, self._last = self._last, (reduced(src, _SIDE), reduced(matte.pha, _SIDE))
        if last is None:
            return src.new_zeros(()), src.new_zeros(())
        # After `restore` the last frame lies where it was kept.
        change, flicker = (abs(now - before.to(now.device)) for now, before in zip(self._last, last, strict=True))
        still = (F.max_pool2d(change.amax(dim=1, keepdim=True), 3, stride=1, padding=1) <= _STILL).float()
        return (flicker * still).sum() / still.sum().clamp(min=1), still.mean()
