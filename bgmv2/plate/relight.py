"""Relighting: a plate that lies where a frame shows it is brought into the frame's light, on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bgmv2.plate.exposure import Exposure


def relight(bgr: torch.Tensor, light: Exposure) -> torch.Tensor:
    """Give a plate the light of a frame.

    **Convention**: the field of the light belongs to the pixels of the frame, so the plate is moved first.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1, aligned to the frame and sized like it.
        light: see `bgmv2.plate.exposure`.

    Returns:
        ``(1, 3, H, W)``, 0..1, of the kind of `bgr`.
    """
    gain, bias = (torch.from_numpy(x).float().to(bgr.device).view(3, 1, 1) for x in (light.gain, light.bias))
    if light.field is None and not light.rolloff:
        return (bgr * gain.to(bgr.dtype) + bias.to(bgr.dtype)).clamp(0, 1)
    values = bgr.float()
    factor = gain[None]
    if light.field is not None:
        field = torch.from_numpy(light.field).float().to(bgr.device).permute(2, 0, 1)[None]
        factor = factor * F.interpolate(field, size=bgr.shape[2:], mode="bilinear", align_corners=False).exp()
    lit = factor * values / (1 + light.rolloff * (factor - 1) * values) + bias
    return lit.clamp(0, 1).to(bgr.dtype)
