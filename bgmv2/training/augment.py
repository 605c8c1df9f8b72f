"""What a camera, a lens and the light do to pictures; batches of tensors on any device, each picture its own draw."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

LUMA = (0.2126, 0.7152, 0.0722)  # BT.709


class Draw:
    """Random numbers, one per picture of a batch, from a seeded generator.

    Args:
        count: pictures in the batch.
        generator: lives on the CPU, so that one seed gives one sequence on every device.
        device: where the numbers are needed.
    """

    def __init__(self, count: int, generator: torch.Generator, device: torch.device | str):
        self.count = count
        self.generator = generator
        self.device = device

    def uniform(self, low: float, high: float, channels: int = 1) -> torch.Tensor:
        """``(B, channels, 1, 1)`` in low..high."""
        x = torch.rand(self.count, channels, 1, 1, generator=self.generator)
        return (low + (high - low) * x).to(self.device)

    def normal(self, sigma: float, channels: int = 1) -> torch.Tensor:
        """``(B, channels, 1, 1)``, mean 0."""
        return (sigma * torch.randn(self.count, channels, 1, 1, generator=self.generator)).to(self.device)

    def chance(self, probability: float) -> torch.Tensor:
        """``(B, 1, 1, 1)``, 1 with this probability and else 0."""
        return (torch.rand(self.count, 1, 1, 1, generator=self.generator) < probability).float().to(self.device)


def color(rgb: torch.Tensor, draw: Draw, strength: float) -> torch.Tensor:
    """Change exposure, white balance, contrast and saturation.

    Args:
        rgb: ``(B, 3, H, W)``, 0..1.
        draw: the batch's random numbers.
        strength: 0 changes nothing; at 1 the exposure changes by a third or so.
    """
    exposure = torch.exp2(draw.normal(0.5 * strength))
    balance = torch.exp2(draw.normal(0.15 * strength, channels=3))
    gamma = torch.exp2(draw.normal(0.3 * strength))
    saturation = (1 + draw.normal(0.3 * strength)).clamp(0, 2)
    rgb = (rgb * exposure * balance).clamp(1e-4, 1) ** gamma
    luma = (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return (luma + saturation * (rgb - luma)).clamp(0, 1)


def blur(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur, another for each picture.

    Args:
        x: ``(B, C, H, W)``.
        sigma: ``(B, 1, 1, 1)`` in pixels; 0 leaves a picture as it is.
    """
    radius = max(1, math.ceil(2.5 * float(sigma.max())))
    b, c, h, w = x.shape
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.view(b, 1).clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    flat = F.pad(x.reshape(1, b * c, h, w), [radius] * 4, mode="replicate")
    flat = F.conv2d(flat, kernel.view(b * c, 1, -1, 1), groups=b * c)
    return F.conv2d(flat, kernel.view(b * c, 1, 1, -1), groups=b * c).view(b, c, h, w)


def sharpen(x: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Unsharp mask of one pixel, as cameras apply it.

    Args:
        x: ``(B, C, H, W)``, 0..1.
        amount: ``(B, 1, 1, 1)``, 0 leaves a picture as it is.
    """
    soft = F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="replicate"), 3, stride=1)
    return (x + amount * (x - soft)).clamp(0, 1)


def noise(rgb: torch.Tensor, draw: Draw, sigma: float) -> torch.Tensor:
    """Sensor noise: some of it fine, some smeared over neighbours as compression leaves it.

    Args:
        rgb: ``(B, 3, H, W)``, 0..1.
        draw: the batch's random numbers; each picture gets a sigma of its own.
        sigma: the largest standard deviation.
    """
    shape = rgb.shape
    grain = torch.randn(shape, generator=draw.generator).to(rgb.device)
    coarse = torch.randn(shape[0], 3, shape[2] // 2 + 1, shape[3] // 2 + 1, generator=draw.generator).to(rgb.device)
    coarse = F.interpolate(coarse, size=shape[2:], mode="bilinear", align_corners=False)
    mix = draw.uniform(0, 1)
    return (rgb + draw.uniform(0, sigma) * (mix * grain + (1 - mix) * coarse)).clamp(0, 1)


def move(x: torch.Tensor, shift: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """Shift and turn; what comes in from outside repeats the border.

    Args:
        x: ``(B, C, H, W)``.
        shift: ``(B, 2, 1, 1)`` in pixels, x then y.
        angle: ``(B, 1, 1, 1)`` in radians.
    """
    b, _, h, w = x.shape
    cos, sin = torch.cos(angle).view(b), torch.sin(angle).view(b)
    theta = torch.zeros(b, 2, 3, device=x.device, dtype=x.dtype)
    theta[:, 0, 0], theta[:, 0, 1], theta[:, 0, 2] = cos, -sin * h / w, 2 * shift[:, 0, 0, 0] / w
    theta[:, 1, 0], theta[:, 1, 1], theta[:, 1, 2] = sin * w / h, cos, 2 * shift[:, 1, 0, 0] / h
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
