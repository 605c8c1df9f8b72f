"""Layers of a picture: putting foreground over backdrop, colours, blur, and floats to integers.

**Convention**: pictures are RGB floats in 0..1, ``(3, H, W)`` or ``(B, 3, H, W)``. Foregrounds are straight: their
colours are not multiplied by alpha. All arithmetic is on the code values of the clip, as players and editors do it.
"""

from __future__ import annotations

import math
from contextlib import suppress

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from PIL import ImageColor

from bgmv2.errors import BackdropError

# Who asks a matting tool for green wants to key it later: it is that of chroma-key cloth, not CSS's dark one.
CHROMA_GREEN = "#00b140"


def over(fgr: torch.Tensor, pha: torch.Tensor, backdrop: torch.Tensor) -> torch.Tensor:
    """Lay a foreground over a backdrop: ``pha * fgr + (1 - pha) * backdrop``.

    Args:
        fgr: ``(..., 3, H, W)`` straight foreground, 0..1.
        pha: ``(..., 1, H, W)`` alpha, 0..1.
        backdrop: ``(..., 3, H, W)``, or ``(3, 1, 1)`` for a colour, 0..1.

    Returns:
        ``(..., 3, H, W)``, exactly `backdrop` where alpha is 0 and exactly `fgr` where it is 1.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(fgr, pha)
    if backdrop.shape[-3:] not in (fgr.shape[-3:], (3, 1, 1)) or backdrop.ndim > fgr.ndim:
        raise ValueError(f"the backdrop is sized like the foreground, got {backdrop.shape = }, {fgr.shape = }")
    return torch.lerp(backdrop, fgr, pha)


def premultiply(fgr: torch.Tensor, pha: torch.Tensor) -> torch.Tensor:
    """Multiply a straight foreground by its alpha.

    Args:
        fgr: ``(..., 3, H, W)`` straight foreground.
        pha: ``(..., 1, H, W)`` alpha, 0..1.

    Returns:
        ``(..., 3, H, W)``.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(fgr, pha)
    return fgr * pha


def to_uint8(x: torch.Tensor) -> torch.Tensor:
    """Bring floats in 0..1 to 0..255, each to the nearest integer; what lies outside is clamped."""
    return _to_integers(x, 255, torch.uint8)


def to_uint16(x: torch.Tensor) -> torch.Tensor:
    """Bring floats in 0..1 to 0..65535, each to the nearest integer; what lies outside is clamped."""
    return _to_integers(x, 65535, torch.uint16)


def parse_color(text: str) -> torch.Tensor:
    """Read a colour as people write it.

    Args:
        text: ``#00b140``, ``#0b4`` or a CSS name such as ``magenta``. The name ``green`` means `CHROMA_GREEN`; CSS's
            own is ``#008000``, and its brightest is ``lime``.

    Returns:
        ``(3,)`` float32 RGB, 0..1.

    Raises:
        BackdropError: the text is no opaque colour.
    """
    name = text.strip().lower()
    rgb: tuple[int, ...] = ()
    if name.startswith("#") or name in ImageColor.colormap:
        with suppress(ValueError):
            rgb = ImageColor.getrgb(CHROMA_GREEN if name == "green" else name)
    if len(rgb) != 3:
        raise BackdropError(f"'{text}' is no colour; write it like #00b140, #0b4, green or magenta")
    return torch.tensor(rgb, dtype=torch.float32) / 255


def blurred(bgr: torch.Tensor, *, strength: float = 0.02) -> torch.Tensor:
    """Blur a plate, as if it were out of focus.

    Blur the plate, never the frame: the frame's subject would bleed into a halo around itself.

    Args:
        bgr: ``(3, H, W)`` or ``(B, 3, H, W)``, 0..1.
        strength: standard deviation of the Gaussian as a share of the height, so that all sizes look alike.

    Returns:
        Of bgr's shape; the edges are continued outwards, so no border darkens.

    Raises:
        ValueError: the shape is another, or the strength is negative.
    """
    if bgr.ndim not in (3, 4) or bgr.shape[-3] != 3:
        raise ValueError(f"a plate is (3, H, W) or (B, 3, H, W), got {bgr.shape = }")
    if not 0 <= strength < math.inf:
        raise ValueError(f"a blur's strength is not negative, got {strength = }")
    height, width = bgr.shape[-2:]
    sigma = strength * height
    if sigma == 0:
        return bgr
    # What a wide blur leaves can be held by fewer pixels: there it costs the same for every strength and size.
    shrink = max(1, int(sigma / 3))
    small = F.avg_pool2d(bgr.reshape(-1, 3, height, width), shrink, ceil_mode=True)
    side = 2 * math.ceil(3 * sigma / shrink) + 1
    small = gaussian_blur2d(small, (side, side), (sigma / shrink, sigma / shrink), border_type="replicate")
    large = F.interpolate(small, scale_factor=float(shrink), mode="bilinear", align_corners=False)
    return large[..., :height, :width].reshape(bgr.shape)


def _check_layers(fgr: torch.Tensor, pha: torch.Tensor) -> None:
    if fgr.ndim < 3 or fgr.shape[-3] != 3 or pha.shape != (*fgr.shape[:-3], 1, *fgr.shape[-2:]):
        raise ValueError(f"foreground is (..., 3, H, W) and alpha (..., 1, H, W), got {fgr.shape = }, {pha.shape = }")


def _to_integers(x: torch.Tensor, top: int, dtype: torch.dtype) -> torch.Tensor:
    return x.float().clamp(0, 1).mul(top).round().to(dtype)  # half precision cannot hold 65535
