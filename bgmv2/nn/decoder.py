"""The upsampling half of the base network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Decoder(nn.Module):
    """Four steps of upsampling, each joined with the encoder's map of its size.

    Args:
        channels: of the input and of the four steps' results.
        skips: channels of the encoder's maps x3, x2, x1, x0.

    Input:
        x4: ``(B, channels[0], H/16, W/16)``; x3, x2, x1, x0: the encoder's maps at 1/8, 1/4, 1/2, 1/1.
    Output:
        ``(B, channels[4], H, W)``, not activated.
    """

    def __init__(self, channels: tuple[int, int, int, int, int], skips: tuple[int, int, int, int]):
        super().__init__()
        c0, c1, c2, c3, c4 = channels
        self.conv1 = nn.Conv2d(c0 + skips[0], c1, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c1)
        self.conv2 = nn.Conv2d(c1 + skips[1], c2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c2)
        self.conv3 = nn.Conv2d(c2 + skips[2], c3, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(c3)
        self.conv4 = nn.Conv2d(c3 + skips[3], c4, 3, padding=1)
        self.relu: nn.Module = nn.ReLU()

    def forward(
        self, x4: torch.Tensor, x3: torch.Tensor, x2: torch.Tensor, x1: torch.Tensor, x0: torch.Tensor
    ) -> torch.Tensor:
        return self.conv4(join(self.raised(x4, x3, x2, x1), x0))  # 1/1

    def raised(self, x4: torch.Tensor, x3: torch.Tensor, x2: torch.Tensor, x1: torch.Tensor) -> torch.Tensor:
        """Like `forward`, but for the last step: ``(B, channels[3], H/2, W/2)``."""
        x = self.relu(self.bn1(self.conv1(join(x4, x3))))  # 1/8
        x = self.relu(self.bn2(self.conv2(join(x, x2))))  # 1/4
        return self.relu(self.bn3(self.conv3(join(x, x1))))  # 1/2


def join(x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """Bring x to the size of the encoder's map, and put both together."""
    x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
    return torch.cat([x, skip], dim=1)
