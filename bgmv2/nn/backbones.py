"""Encoders that read frame and plate together, and the table of those there are.

A new backbone is one class whose `forward` returns the five maps ``x4, x3, x2, x1, x0`` and one row in `BACKBONES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import Bottleneck, ResNet

Maps = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class ResNetEncoder(ResNet):
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
        super().__init__(Bottleneck, layers, replace_stride_with_dilation=[False, False, True])
        self.conv1 = nn.Conv2d(6, 64, kernel_size=7, stride=2, padding=3, bias=False)
        del self.avgpool, self.fc

    def forward(self, x: torch.Tensor) -> Maps:
        x0 = x  # 1/1
        x1 = self.relu(self.bn1(self.conv1(x0)))  # 1/2
        x2 = self.layer1(self.maxpool(x1))  # 1/4
        x3 = self.layer2(x2)  # 1/8
        x4 = self.layer4(self.layer3(x3))  # 1/16
        return x4, x3, x2, x1, x0


class MobileNetV2Encoder(MobileNetV2):
    """MobileNetV2 without its head and last 1x1 block, the blocks from 14 on dilated instead of strided.

    Input:
        x: ``(B, 6, H, W)`` frame and plate, 0..1.
    Output:
        ``x4`` (B, 320, H/16, W/16), ``x3`` (B, 32, H/8, W/8), ``x2`` (B, 24, H/4, W/4), ``x1`` (B, 16, H/2, W/2),
        ``x0`` the input itself.
    """

    def __init__(self) -> None:
        super().__init__()
        features: Any = self.features[:-1]  # type: ignore[has-type]
        features[0][0] = nn.Conv2d(6, 32, kernel_size=3, stride=2, padding=1, bias=False)
        features[14].conv[1][0].stride = (1, 1)
        for block in features[15:]:
            block.conv[1][0].dilation = (2, 2)
            block.conv[1][0].padding = (2, 2)
        self.features = features
        del self.classifier

    def forward(self, x: torch.Tensor) -> Maps:
        skips = [x]
        for index, block in enumerate(self.features):  # TorchScript can walk along a Sequential, not call a slice of it
            if index in [2, 4, 7]:  # the next block strides: 1/2, 1/4, 1/8
                skips.append(x)
            x = block(x)
        return x, skips[3], skips[2], skips[1], skips[0]


class Backbone(NamedTuple):
    """A row of `BACKBONES`.

    Args:
        build: makes the encoder.
        channels: of its deepest map.
        skips: channels of the skips x3, x2, x1, x0.
        late: name of the first part of it that may compute in low precision, None if there is no such part. Early
            ones tell small differences between frame and plate from large values.
    """

    build: Callable[[], nn.Module]
    channels: int
    skips: tuple[int, int, int, int]
    late: str | None


BACKBONES: dict[str, Backbone] = {
    "mobilenetv2": Backbone(MobileNetV2Encoder, 320, (32, 24, 16, 6), None),
    "resnet50": Backbone(lambda: ResNetEncoder([3, 4, 6, 3]), 2048, (512, 256, 64, 6), "layer1"),
    "resnet101": Backbone(lambda: ResNetEncoder([3, 4, 23, 3]), 2048, (512, 256, 64, 6), "layer1"),
}
