"""Encoders that read frame and plate together, and the table of those there are.

A new backbone is one class whose `forward` returns the five maps ``x4, x3, x2, x1, x0`` and one row in `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

# Of each stage of MobileNetV2: how much wider it is inside, its channels, its blocks, and the stride of the first.
# Source: Sandler et al., *MobileNetV2*, CVPR 2018, table 2; the sixth stage strides by 2 there.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 1), (6, 320, 1, 1))
_FIRST_DILATED = 15  # block


class Bottleneck(nn.Module):
    """Narrow, filter, widen, with a way around.

    Args:
        before: channels of the input.
        inside: channels within; four times as many come out.
        stride: of the filter and the way around.
        dilation: of the filter.

    Source: He et al., *Deep Residual Learning*, CVPR 2016, with the stride at the 3x3 filter; names as in torchvision,
    whose are those of published checkpoints.
    """

    def __init__(self, before: int, inside: int, *, stride: int = 1, dilation: int = 1):
        super().__init__()
        after = 4 * inside
        self.conv1 = nn.Conv2d(before, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        around = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += around
        return self.relu(x)


class ResNetEncoder(nn.Module):
    """ResNet without its head, the last stage dilated instead of strided.

    Args:
        layers: number of bottleneck blocks in each of the four stages.

    Input:
        x: ``(B, 6, H, W)`` frame and plate, 0..1.
    Output:
        ``x4`` (B, 2048, H/16, W/16), ``x3`` (B, 512, H/8, W/8), ``x2`` (B, 256, H/4, W/4), ``x1`` (B, 64, H/2, W/2),
        ``x0`` the input itself.
    """

    def __init__(self, layers: list[int]):
        super().__init__()
        self.conv1 = nn.Conv2d(6, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, layers[0])
        self.layer2 = _stage(256, 128, layers[1], stride=2)
        self.layer3 = _stage(512, 256, layers[2], stride=2)
        self.layer4 = _stage(1024, 512, layers[3], dilation=2)
        _draw(self)

    def forward(self, x: torch.Tensor) -> Maps:
        x0 = x  # 1/1
        x1 = self.relu(self.bn1(self.conv1(x0)))  # 1/2
        x2 = self.layer1(self.maxpool(x1))  # 1/4
        x3 = self.layer2(x2)  # 1/8
        x4 = self.layer4(self.layer3(x3))  # 1/16
        return x4, x3, x2, x1, x0


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow, with a way around where the shape stays.

    Args:
        before: channels of the input.
        after: channels of the output.
        wider: how many times more channels are within.
        stride: of the filter.
        dilation: of the filter.
    """

    def __init__(self, before: int, after: int, *, wider: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        inside = wider * before
        self.use_res_connect = stride == 1 and before == after
        self.conv = nn.Sequential(
            *([] if wider == 1 else [_filtered(nn.Conv2d(before, inside, 1, bias=False))]),
            _filtered(nn.Conv2d(inside, inside, 3, stride, dilation, dilation, groups=inside, bias=False)),
            nn.Conv2d(inside, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2Encoder(nn.Module):
    """MobileNetV2 without its head and last 1x1 block, the blocks from 14 on dilated instead of strided.

    Input:
        x: ``(B, 6, H, W)`` frame and plate, 0..1.
    Output:
        ``x4`` (B, 320, H/16, W/16), ``x3`` (B, 32, H/8, W/8), ``x2`` (B, 24, H/4, W/4), ``x1`` (B, 16, H/2, W/2),
        ``x0`` the input itself.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = [_filtered(nn.Conv2d(6, 32, kernel_size=3, stride=2, padding=1, bias=False))]
        before = 32
        for wider, after, count, first in _STAGES:
            for index in range(count):
                stride, dilation = (1 if index else first), (2 if len(blocks) >= _FIRST_DILATED else 1)
                blocks.append(InvertedResidual(before, after, wider=wider, stride=stride, dilation=dilation))
                before = after
        self.features = nn.Sequential(*blocks)
        _draw(self)

    def forward(self, x: torch.Tensor) -> Maps:
        skips = [x]
        for index, block in enumerate(self.features):  # TorchScript can walk along a Sequential, not call a slice of it
            if index in [2, 4, 7]:  # the next block strides: 1/2, 1/4, 1/8
                skips.append(x)
            x = block(x)
        return x, skips[3], skips[2], skips[1], skips[0]


def _stage(before: int, inside: int, count: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A stage of ResNet; its first block is not dilated yet, as in torchvision."""
    first = Bottleneck(before, inside, stride=stride)
    return nn.Sequential(first, *(Bottleneck(4 * inside, inside, dilation=dilation) for _ in range(count - 1)))


def _filtered(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU6(inplace=True))


def _draw(encoder: nn.Module) -> None:
    """Draw weights to learn from; on the meta device none, for which PyTorch would import its compiler.

    Source: He et al., *Delving Deep into Rectifiers*, ICCV 2015.
    """
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Backbone(NamedTuple):
    """A row of `BACKBONES`.

    Args:
        build: makes the encoder.
        channels: of its deepest map.
        skips: channels of the skips x3, x2, x1, x0.
        late: name of the first part of it that may compute in low precision. Early ones tell small differences between
            frame and plate from large values.
    """

    build: Callable[[], nn.Module]
    channels: int
    skips: tuple[int, int, int, int]
    late: str


BACKBONES: dict[str, Backbone] = {
    "mobilenetv2": Backbone(MobileNetV2Encoder, 320, (32, 24, 16, 6), "features.7"),
    "resnet50": Backbone(lambda: ResNetEncoder([3, 4, 6, 3]), 2048, (512, 256, 64, 6), "layer1"),
    "resnet101": Backbone(lambda: ResNetEncoder([3, 4, 23, 3]), 2048, (512, 256, 64, 6), "layer1"),
}
