"""The network in steps that do not depend on what it sees, only on the size: what other engines can take over."""

from __future__ import annotations

from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.config import REFINED_SHARE
from bgmv2.nn import patches
from bgmv2.nn.matting import MattingRefine, averaging, smoothed

SHARE = round(patches.PATCH**2 / REFINED_SHARE)  # pixels, of which one patch is refined where no number is chosen


class Portable(nn.Module):
    """`MattingRefine` for exporters: sizes may be symbols, and a fixed number of patches is refined.

    Its answers are those of the network, of which it is made; patches that would not be chosen are refined, too, and
    thrown away. In `thresholding` that are all of them.

    Args:
        model: the network, in eval mode.
        pixels: to refine in `sampling` at most; None takes a sixteenth of the frame.

    Input:
        src, bgr: ``(B, 3, H, W)`` frame and plate, RGB, 0..1.
    Output:
        As of `MattingRefine`.
    """

    def __init__(self, model: MattingRefine, *, pixels: int | None):
        super().__init__()
        self.model = model
        self.pixels = pixels
        # With floats, exporters would round sizes in ways of their own.
        scale = Fraction(model.backbone_scale).limit_denominator(10_000)
        self._scale = scale.numerator, scale.denominator
        self._step = averaging(model.backbone_scale)

    def forward(self, src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = src.shape[2], src.shape[3]
        pad = [0, -width % patches.PATCH, 0, -height % patches.PATCH]
        src, bgr = (F.pad(x, pad, mode="replicate") for x in (src, bgr))
        size = [torch.sym_max(1, n * self._scale[0] // self._scale[1]) for n in src.shape[2:]]
        src_sm, bgr_sm = (
            F.interpolate(smoothed(x, self._step), size=size, mode="bilinear", align_corners=False)  # type: ignore[arg-type]
            for x in (src, bgr)
        )
        pha_sm, residual_sm, err_sm, hid_sm = self.model.coarse(src_sm, bgr_sm)

        refiner = self.model.refiner
        if refiner.mode == "full":
            pha, residual, ref_sm = refiner(src, bgr, pha_sm, residual_sm, err_sm, hid_sm)
        else:
            pha, residual, ref_sm = self._refined(src, bgr, pha_sm, residual_sm, err_sm, hid_sm, height * width)
        pha = pha[:, :, :height, :width].clamp(0, 1)
        fgr = (src + residual)[:, :, :height, :width].clamp(0, 1)
        return pha, fgr, pha_sm, (src_sm + residual_sm).clamp(0, 1), err_sm, ref_sm

    def _refined(
        self,
        src: torch.Tensor,
        bgr: torch.Tensor,
        pha: torch.Tensor,
        residual: torch.Tensor,
        err: torch.Tensor,
        hid: torch.Tensor,
        area: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Do what `Refiner.forward` does, with a number of patches that only the size decides."""
        refiner = self.model.refiner
        rows, columns = src.shape[2] // patches.PATCH, src.shape[3] // patches.PATCH
        err = F.interpolate(err, size=[rows, columns], mode="bilinear", align_corners=False)
        flat = err.flatten(1)
        if refiner.mode == "thresholding":
            count, limit = rows * columns, refiner.threshold
        else:
            wanted: int = area // SHARE if self.pixels is None else self.pixels // patches.PATCH**2
            count, limit = torch.sym_min(wanted, rows * columns), refiner.floor  # type: ignore[assignment]
        top = flat.topk(count, dim=1)
        chosen = top.values > limit
        ref = torch.zeros_like(flat).scatter(1, top.indices, chosen.to(flat.dtype)).view_as(err)

        index = top.indices.flatten()
        batch = torch.arange(src.shape[0], device=src.device)[:, None].expand(-1, count).reshape(-1)
        # Looked up, as exporters know no remainder by a symbol.
        y = torch.arange(rows, device=src.device)[:, None].expand(-1, columns).reshape(-1)[index]
        x = torch.arange(columns, device=src.device)[None].expand(rows, -1).reshape(-1)[index]
        pictures, coarse = refiner.maps(src, bgr, pha, residual, hid)
        fine = refiner.refine(pictures, coarse, (batch, y, x))

        whole = F.interpolate(
            torch.cat([pha, residual], dim=1), size=src.shape[2:], mode="bilinear", align_corners=False
        )
        before = patches.crop(whole, (batch, y, x), patches.PATCH, 0)
        whole = patches.replace(whole, torch.where(chosen.view(-1, 1, 1, 1), fine, before), (batch, y, x))
        return whole[:, :1], whole[:, 1:], ref
