"""The whole network: `MattingBase` is coarse and quick, `MattingRefine` adds the full-resolution refiner.

Both see the frame ``I = alpha * F + (1 - alpha) * B`` and the plate, an imperfect picture of ``B``. They answer with
alpha and the foreground *residual* ``FR = F - I``: it is zero where nothing is to be changed, and a residual computed
at low resolution can be added to the frame at full resolution.

Source: Lin et al., *Real-Time High-Resolution Background Matting*, CVPR 2021, arXiv 2012.07810.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.config import ModelConfig
from bgmv2.nn import patches
from bgmv2.nn.aspp import ASPP
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.decoder import Decoder
from bgmv2.nn.refiner import Refiner

HIDDEN = 32  # channels that carry features from base to refiner
Coarse = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class MattingBase(nn.Module):
    """Alpha, foreground, predicted error and hidden features at the resolution of the input.

    Args:
        config: only `backbone` matters here.

    Input:
        src, bgr: ``(B, 3, H, W)`` frame and plate, RGB, 0..1, any size.
    Output:
        pha ``(B, 1, H, W)``, fgr ``(B, 3, H, W)``, err ``(B, 1, H, W)``, all 0..1; hid ``(B, 32, H, W)``, not negative.

    Example:
        >>> pha, fgr, err, hid = MattingBase(ModelConfig("mobilenetv2"))(src, bgr)
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.backbone not in BACKBONES:
            raise ValueError(f"there are the backbones {', '.join(BACKBONES)}, got {config.backbone = }")
        row = BACKBONES[config.backbone]
        self.config = config
        self.backbone = row.build()
        self.aspp = ASPP(row.channels)
        self.decoder = Decoder((256, 128, 64, 48, 1 + 3 + 1 + HIDDEN), row.skips)

    def forward(self, src: torch.Tensor, bgr: torch.Tensor) -> Coarse:
        check_pair(src, bgr)
        pha, residual, err, hid = self.coarse(src, bgr)
        return pha, to_unit(src + residual, self.training), err, hid

    def coarse(self, src: torch.Tensor, bgr: torch.Tensor) -> Coarse:
        """Like `forward`, with the foreground residual in the place of the foreground."""
        x4, x3, x2, x1, x0 = self.backbone(torch.cat([src, bgr], dim=1))
        x = self.decoder(self.aspp(x4), x3, x2, x1, x0)
        pha, err = to_unit(x[:, 0:1], self.training), to_unit(x[:, 4:5], self.training)
        return pha, x[:, 1:4], err, x[:, 5:].relu()


class MattingRefine(MattingBase):
    """The base network on small pictures, then the refiner on full-resolution patches.

    Args:
        config: all of it.

    Input:
        src, bgr: ``(B, 3, H, W)`` frame and plate, RGB, 0..1. Any size: it is padded to multiples of 4 inside.
    Output:
        pha ``(B, 1, H, W)``, fgr ``(B, 3, H, W)``; coarse pha_sm ``(B, 1, h, w)``, fgr_sm ``(B, 3, h, w)``,
        err_sm ``(B, 1, h, w)``; all 0..1. ref_sm ``(B, 1, ceil(H / 4), ceil(W / 4))`` is 1 where a patch was refined.

    Example:
        >>> model = MattingRefine(ModelConfig("resnet50", backbone_scale=1 / 4, refine_mode="full"))
        >>> pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = model(src, bgr)
    """

    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.backbone_scale = config.backbone_scale
        self.refiner = Refiner(
            config.refine_mode,
            config.refine_sample_pixels,
            config.refine_threshold,
            config.refine_kernel_size,
            config.refine_floor,
        )

    def forward(
        self, src: torch.Tensor, bgr: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        check_pair(src, bgr)
        height, width = src.shape[2], src.shape[3]
        src, bgr = padded(src), padded(bgr)
        src_sm, bgr_sm = self.reduced(src), self.reduced(bgr)
        pha_sm, residual_sm, err_sm, hid_sm = self.coarse(src_sm, bgr_sm)

        pha, residual, ref_sm = self.refiner(src, bgr, pha_sm, residual_sm, err_sm, hid_sm)
        pha = to_unit(pha[:, :, :height, :width], self.training)
        fgr = to_unit((src + residual)[:, :, :height, :width], self.training)
        return pha, fgr, pha_sm, to_unit(src_sm + residual_sm, self.training), err_sm, ref_sm

    def reduced(self, x: torch.Tensor) -> torch.Tensor:
        """Bring pictures ``(B, 3, H, W)`` to the size at which the base network sees them."""
        # A little more, so that 320 * 0.35, which is 111.999... in floats, is 112, and 0.333333 a third, as in
        # `Portable`.
        scale = self.backbone_scale + 1e-6
        size = [max(1, int(x.shape[2] * scale)), max(1, int(x.shape[3] * scale))]
        step = averaging(self.backbone_scale)
        if step > 1 and x.shape[2] % step == 0 and x.shape[3] % step == 0:
            return F.avg_pool2d(x, step)
        return F.interpolate(smoothed(x, step), size=size, mode="bilinear", align_corners=False)


def averaging(scale: float) -> int:
    """Over how many pixels pictures are averaged, in each direction, before they are reduced bilinearly.

    To 1/2 each pixel is the mean of four, to 1/3 or 1/5 it would be a copy of a single one, and thin strands of hair a
    row of dots. Other scales are left as Lin et al. 2021 have them.

    Returns:
        The scale's denominator where it is 1 by an odd number; else 1.
    """
    step = int(1 / scale + 0.5)
    # 0.333333 is a third here, too. TorchScript knows no constants of a module.
    return step if step % 2 == 1 and abs(scale - 1 / step) <= 1e-6 else 1


def smoothed(x: torch.Tensor, step: int) -> torch.Tensor:
    """Replace each pixel of ``(B, C, H, W)`` by the mean of the `step` by `step` around it, of those that there are."""
    return F.avg_pool2d(x, step, stride=1, padding=step // 2, count_include_pad=False) if step > 1 else x


def padded(x: torch.Tensor) -> torch.Tensor:
    """Repeat the last row and column of pictures ``(B, C, H, W)`` until H and W are multiples of a patch."""
    pad = [0, -x.shape[3] % patches.PATCH, 0, -x.shape[2] % patches.PATCH]
    return F.pad(x, pad, mode="replicate") if pad[1] > 0 or pad[3] > 0 else x


def to_unit(x: torch.Tensor, learning: bool) -> torch.Tensor:
    """Clamp to 0..1.

    While the network learns, the gradient passes as if nothing had been cut. Through a plain clamp none would reach a
    value beyond the range, and a strand of hair for which -0.2 is computed would stay invisible for good.
    """
    cut = x.clamp(0, 1)
    return cut.detach() + (x - x.detach()) if learning else cut


def check_pair(src: torch.Tensor, bgr: torch.Tensor) -> None:
    """Refuse what is not a frame and its plate.

    Raises:
        ValueError: the shapes are not both ``(B, 3, H, W)``.
    """
    if src.dim() != 4 or src.shape[1] != 3 or src.numel() == 0:
        raise ValueError(f"a frame is (B, 3, H, W), got {src.shape}")
    if bgr.shape != src.shape:
        raise ValueError(f"frame and plate have one shape, got {src.shape} and {bgr.shape}")
