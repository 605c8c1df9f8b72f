"""What light, lenses, sensors and files do to pictures; batches of tensors on any device, each picture its own draw.

**Convention**: pictures are ``(B, C, H, W)`` floats, colours RGB in 0..1. Amounts are ``(B, 1, 1, 1)``, one a picture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from kornia.enhance.jpeg import jpeg_codec_differentiable
from kornia.filters import motion_blur
from kornia.geometry import get_perspective_transform, warp_perspective

LUMA = (0.2126, 0.7152, 0.0722)  # BT.709


class Draw:
    """Random numbers, one a picture, from a seeded generator.

    Args:
        count: pictures in the batch.
        generator: lives on the CPU, so that one seed gives one sequence of scenes on every device.
        device: where the numbers are needed.
        shared: all pictures get the same numbers, as frames of one clip do; grain still differs.
    """

    def __init__(self, count: int, generator: torch.Generator, device: torch.device | str, *, shared: bool = False):
        self.count = count
        self.generator = generator
        self.device = device
        self.shared = shared
        seed = int(torch.randint(2**62, (), generator=generator))
        self._grain = torch.Generator(device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """``(B, *shape)`` in low..high; the shape is ``(1, 1, 1)`` unless given."""
        return low + (high - low) * self._spread(torch.rand(self._shape(shape), generator=self.generator))

    def normal(self, sigma: float | torch.Tensor, *shape: int) -> torch.Tensor:
        """``(B, *shape)`` of mean 0; the shape is ``(1, 1, 1)`` unless given."""
        return sigma * self._spread(torch.randn(self._shape(shape), generator=self.generator))

    def chance(self, probability: float) -> torch.Tensor:
        """``(B, 1, 1, 1)``: 1 with this probability and else 0."""
        return (self.uniform(0, 1) < probability).float()

    def grain(self, *shape: int) -> torch.Tensor:
        """``(B, *shape)`` normal numbers made on the device itself, because there are many."""
        return torch.randn(self.count, *shape, generator=self._grain, device=self.device)

    def _shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (1 if self.shared else self.count, *(shape or (1, 1, 1)))

    def _spread(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.device).expand(self.count, *x.shape[1:])


class Grade:
    """A change of exposure, white balance, contrast and saturation, the same for all it is applied to.

    Args:
        draw: the batch's random numbers.
        strength: 0 changes nothing; at 1 the exposure changes by a third or so. One for all pictures, or
            ``(B, 1, 1, 1)``.
    """

    def __init__(self, draw: Draw, strength: float | torch.Tensor):
        self.gain = torch.exp2(draw.normal(0.5 * strength)) * torch.exp2(draw.normal(0.15 * strength, 3, 1, 1))
        self.gamma = torch.exp2(draw.normal(0.3 * strength))
        self.saturation = (1 + draw.normal(0.3 * strength)).clamp(0, 2)

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        """Apply it to ``(B, 3, H, W)``."""
        rgb = (rgb * self.gain).clamp(1e-4, 1) ** self.gamma
        luma = (rgb * rgb.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        return (luma + self.saturation * (rgb - luma)).clamp(0, 1)


class Camera:
    """Sensor, sharpening and file of one camera: what all its pictures share, whatever is before it.

    Args:
        draw: the batch's random numbers.
        noise: largest standard deviation of the noise, 0..1.
        compression: probability of a picture that went through a lossy file.
    """

    def __init__(self, draw: Draw, *, noise: float, compression: float):
        self.draw = draw
        self.noise = draw.uniform(0, 1) ** 2 * noise
        self.fine = draw.uniform(0.2, 1)
        self.sharpness = draw.chance(0.3) * draw.uniform(0, 1.5)
        self.quality = draw.uniform(35, 95).flatten()
        self.lossy = draw.chance(compression).flatten().nonzero().flatten()

    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        """Expose ``(B, 3, H, W)`` once: focus and grain are this exposure's own."""
        draw = self.draw
        rgb = blur(rgb, draw.chance(0.4) * draw.uniform(0.3, 1.0))
        rgb = self._grainy(rgb)
        rgb = sharpen(rgb, self.sharpness)
        if len(self.lossy) > 0:
            rgb = rgb.index_copy(0, self.lossy, _compressed(rgb[self.lossy], self.quality[self.lossy]))
        return rgb

    def _grainy(self, rgb: torch.Tensor) -> torch.Tensor:
        """Light arrives in grains, more of them where it is bright; the camera's denoising smears some."""
        _, _, h, w = rgb.shape
        coarse = F.interpolate(self.draw.grain(3, h // 2 + 1, w // 2 + 1), size=(h, w), mode="bilinear")
        grain = self.fine * self.draw.grain(3, h, w) + (1 - self.fine) * coarse
        return (rgb + self.noise * (0.3 + 0.7 * rgb).sqrt() * grain).clamp(0, 1)


def blur(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Gaussian blur, another for each picture.

    Args:
        x: ``(B, C, H, W)``.
        sigma: ``(B, 1, 1, 1)`` in pixels; 0 leaves a picture as it is.
    """
    widest = float(sigma.max())
    if widest == 0:
        return x
    radius = max(1, math.ceil(2.5 * widest))
    b, c, h, w = x.shape
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma.reshape(b, 1).clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    flat = F.pad(x.reshape(1, b * c, h, w), [radius] * 4, mode="replicate")
    flat = F.conv2d(flat, kernel.view(b * c, 1, -1, 1), groups=b * c)
    return F.conv2d(flat, kernel.view(b * c, 1, 1, -1), groups=b * c).view(b, c, h, w)


def wide_blur(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """`blur` for sigmas of many pixels, computed at a quarter of the size."""
    small = blur(F.avg_pool2d(x, 4, ceil_mode=True), sigma / 4)
    return F.interpolate(small, size=x.shape[2:], mode="bilinear", align_corners=False)


def sharpen(x: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Unsharp mask of one pixel, as cameras apply it; an amount of 0 leaves a picture as it is."""
    if not amount.any():
        return x
    soft = F.avg_pool2d(F.pad(x, [1, 1, 1, 1], mode="replicate"), 3, stride=1)
    return (x + amount * (x - soft)).clamp(0, 1)


def moved(x: torch.Tensor, angle: torch.Tensor, direction: torch.Tensor, length: int) -> torch.Tensor:
    """Motion blur over an odd number of pixels.

    Args:
        x: ``(B, C, H, W)``.
        angle: ``(B, 1, 1, 1)`` in degrees.
        direction: ``(B, 1, 1, 1)``, -1..1: where along the streak most of the light falls.
        length: of the streak, in pixels.
    """
    return motion_blur(x, length, angle.flatten(), direction.flatten(), border_type="replicate")


def corners(height: int, width: int, *, shift: torch.Tensor, angle: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
    """Where the corners of a picture go when it is shifted, turned and bent.

    Args:
        height: of the picture in pixels.
        width: of the picture in pixels.
        shift: ``(B, 1, 2)`` in pixels, x then y.
        angle: ``(B, 1, 1)`` in radians, about the middle.
        bend: ``(B, 4, 2)`` pixels for each corner besides.

    Returns:
        ``(B, 4, 2)`` offsets in pixels: top left, top right, bottom right, bottom left.
    """
    x, y = (width - 1) / 2, (height - 1) / 2
    at = shift.new_tensor([[-x, -y], [x, -y], [x, y], [-x, y]])
    cos, sin = torch.cos(angle), torch.sin(angle)
    turned = torch.cat([cos * at[:, :1] - sin * at[:, 1:], sin * at[:, :1] + cos * at[:, 1:]], dim=2)
    return turned - at + shift + bend


def perspective(x: torch.Tensor, offsets: torch.Tensor, *, outside: str = "border") -> torch.Tensor:
    """Warp each picture so that its corners move.

    **Convention**: pixels, x right and y down; the picture's content moves with the corners.

    Args:
        x: ``(B, C, H, W)``.
        offsets: ``(B, 4, 2)`` from `corners`.
        outside: what comes in from outside: `border` repeats the border, `zeros` is black.
    """
    _, _, h, w = x.shape
    here = x.new_tensor([[0, 0], [w - 1, 0], [w - 1, h - 1], [0, h - 1]]).expand(x.shape[0], 4, 2)
    return warp_perspective(
        x, get_perspective_transform(here, here + offsets), (h, w), padding_mode=outside, align_corners=True
    )


def ripple(x: torch.Tensor, draw: Draw, reach: torch.Tensor) -> torch.Tensor:
    """Move the content a little, each place another way: leaves, curtains, parallax.

    Args:
        x: ``(B, C, H, W)``.
        draw: the batch's random numbers.
        reach: ``(B, 1, H, W)`` or ``(B, 1, 1, 1)`` standard deviation of the movement in pixels.
    """
    b, _, h, w = x.shape
    coarse = draw.normal(1.0, 2, max(2, h // 24), max(2, w // 24))
    if not reach.any():
        return x
    flow = F.interpolate(coarse, size=(h, w), mode="bicubic", align_corners=False) * reach
    grid = F.affine_grid(torch.eye(2, 3, device=x.device).expand(b, 2, 3), [b, 1, h, w], align_corners=False)
    grid = grid + flow.permute(0, 2, 3, 1) * x.new_tensor([2 / w, 2 / h])
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def blobs(draw: Draw, height: int, width: int, share: torch.Tensor) -> torch.Tensor:
    """Soft areas of any shape, ``(B, 1, H, W)`` in 0..1, that cover about this share (0..1) of the picture."""
    coarse = draw.normal(1.0, 1, 5, 7)
    field = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    level = torch.stack([f.flatten().quantile(1 - s) for f, s in zip(coarse, share.flatten(), strict=True)])
    return ((field - level.view(-1, 1, 1, 1)) * 6 + 0.5).clamp(0, 1)


def _compressed(rgb: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Through a JPEG of this quality ``(B,)``, 1..100."""
    _, _, h, w = rgb.shape
    padded = F.pad(rgb, [0, -w % 16, 0, -h % 16], mode="replicate")
    return jpeg_codec_differentiable(padded, quality)[:, :, :h, :w].clamp(0, 1)
