"""The refiner: full-resolution convolutions, on the uncertain patches only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.nn import patches


class Refiner(nn.Module):
    """Sharpens the coarse alpha and foreground residual where the base network expects to be wrong.

    Args:
        mode: `sampling`, `thresholding` or `full`.
        sample_pixels: pixels of each picture to refine in `sampling` at most.
        threshold: error above which `thresholding` refines.
        kernel_size: 3, or 1 to look at no neighbours.
        floor: error up to which `sampling` does not refine.

    Input:
        src, bgr: ``(B, 3, H, W)`` frame and plate, 0..1; H and W multiples of 4.
        pha: ``(B, 1, h, w)`` coarse alpha; fgr: ``(B, 3, h, w)`` coarse foreground residual;
        err: ``(B, 1, h, w)`` predicted error; hid: ``(B, 32, h, w)`` hidden features.
    Output:
        pha ``(B, 1, H, W)``, fgr residual ``(B, 3, H, W)``, neither clamped; ref ``(B, 1, H/4, W/4)``.

    Source: Lin et al. 2021, section 3.3; steps and paddings as in the published code.
    """

    def __init__(self, mode: str, sample_pixels: int, threshold: float, kernel_size: int = 3, floor: float = 0.0):
        super().__init__()
        self.mode = mode
        self.sample_pixels = sample_pixels
        self.threshold = threshold
        self.floor = floor
        self.half_margin = 3 if kernel_size == 3 else 0
        self.full_margin = 2 if kernel_size == 3 else 0
        self.conv1 = nn.Conv2d(32 + 1 + 3 + 6, 24, kernel_size, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        self.conv2 = nn.Conv2d(24, 16, kernel_size, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.conv3 = nn.Conv2d(16 + 6, 12, kernel_size, bias=False)
        self.bn3 = nn.BatchNorm2d(12)
        self.conv4 = nn.Conv2d(12, 4, kernel_size)
        self.relu: nn.Module = nn.ReLU()

    def forward(
        self,
        src: torch.Tensor,
        bgr: torch.Tensor,
        pha: torch.Tensor,
        fgr: torch.Tensor,
        err: torch.Tensor,
        hid: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        full = [src.shape[2], src.shape[3]]
        quarter = [full[0] // patches.PATCH, full[1] // patches.PATCH]
        err = F.interpolate(err, size=quarter, mode="bilinear", align_corners=False)
        count = self.sample_pixels // (patches.PATCH * patches.PATCH)
        ref = patches.select(err, self.mode, count, self.threshold, self.floor)
        pictures, coarse = self.maps(src, bgr, pha, fgr, hid)

        if self.mode == "full":
            m, n = self.half_margin, self.full_margin
            fine = self._refine(F.pad(coarse, [m, m, m, m]), F.pad(pictures, [n, n, n, n]))
            return fine[:, :1], fine[:, 1:], ref

        whole = F.interpolate(torch.cat([pha, fgr], dim=1), size=full, mode="bilinear", align_corners=False)
        chosen = ref.squeeze(1).nonzero()
        if chosen.shape[0] > 0:
            places = (chosen[:, 0], chosen[:, 1], chosen[:, 2])
            whole = patches.replace(whole, self.refine(pictures, coarse, places), places)
        return whole[:, :1], whole[:, 1:], ref

    def maps(
        self, src: torch.Tensor, bgr: torch.Tensor, pha: torch.Tensor, fgr: torch.Tensor, hid: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What patches are cut out of: ``(B, 6, H, W)`` pictures, and ``(B, 42, H/2, W/2)``."""
        half = [src.shape[2] // 2, src.shape[3] // 2]
        pictures = torch.cat([src, bgr], dim=1)
        pictures_half = F.interpolate(pictures, size=half, mode="bilinear", align_corners=False)
        coarse = F.interpolate(torch.cat([hid, pha, fgr], dim=1), size=half, mode="bilinear", align_corners=False)
        return pictures, torch.cat([coarse, pictures_half], dim=1)

    def refine(
        self, pictures: torch.Tensor, coarse: torch.Tensor, places: patches.Places, side: int = patches.PATCH
    ) -> torch.Tensor:
        """Alpha and residual of the patches at these places, ``(N, 4, side, side)``; the maps are those of `maps`.

        Patches of a larger side share their neighbours' work: training refines whole windows.
        """
        return self._refine(
            patches.crop(coarse, places, side // 2, self.half_margin),
            patches.crop(pictures, places, side, self.full_margin),
        )

    def _refine(self, coarse: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
        """``coarse`` (N, 42, h, w) at half, ``pictures`` (N, 6, 2h - 8, 2w - 8) at full resolution, to (N, 4, ., .)."""
        x = self.relu(self.bn1(self.conv1(coarse)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = F.interpolate(x, size=[pictures.shape[2], pictures.shape[3]], mode="nearest")
        x = self.relu(self.bn3(self.conv3(torch.cat([x, pictures], dim=1))))
        return self.conv4(x)
