"""Atrous spatial pyramid pooling: the deepest map seen at several distances at once, and as a whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

RATES = (3, 6, 9)


class ASPP(nn.Module):
    """Five views of a map, put together.

    Args:
        channels: of the input.
        out: channels of each view and of the output.

    Input:
        x: ``(B, channels, H, W)``.
    Output:
        ``(B, out, H, W)``, not negative.

    Source: Chen et al., *Rethinking Atrous Convolution for Semantic Image Segmentation*, 2017; names and dropout as in
    torchvision, whose are those of published checkpoints.
    """

    def __init__(self, channels: int, out: int = 256):
        super().__init__()
        near = _filtered(nn.Conv2d(channels, out, 1, bias=False))
        around = [_filtered(nn.Conv2d(channels, out, 3, padding=r, dilation=r, bias=False)) for r in RATES]
        self.convs = nn.ModuleList([near, *around, _Pooling(channels, out)])
        self.project = _filtered(nn.Conv2d(len(self.convs) * out, out, 1, bias=False))
        self.project.append(nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        views = []
        for view in self.convs:  # TorchScript knows no comprehension over modules
            views.append(view(x))
        return self.project(torch.cat(views, dim=1))


class _Pooling(nn.Sequential):
    """The mean of the map, everywhere."""

    def __init__(self, channels: int, out: int):
        super().__init__(nn.AdaptiveAvgPool2d(1), *_filtered(nn.Conv2d(channels, out, 1, bias=False)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2:]
        for layer in self:
            x = layer(x)
        return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _filtered(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())
