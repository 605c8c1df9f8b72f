"""Relighting: a plate that lies where a frame shows it is brought into the frame's light, on the device."""

from __future__ import annotations

import numpy as np
import torch

from bgmv2.plate.exposure import Exposure
from bgmv2.resample import enlarged

# Near a camera's white, where its curve is flat, light is told no better than this.
_LEAST_SLOPE = 0.02


def relight(bgr: torch.Tensor, light: Exposure, drift: torch.Tensor | None = None) -> torch.Tensor:
    """Give a plate the light of a frame.

    **Convention**: fields belong to the pixels of the frame, so the plate is moved first.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1, aligned to the frame and sized like it.
        light: see `bgmv2.plate.exposure`.
        drift: ``(1, 3, rows, columns)`` field of logarithms that comes to that of the light; None if there is none.

    Returns:
        ``(1, 3, H, W)``, 0..1, of the kind of `bgr`.
    """
    gain, bias = _even(light, bgr.device)
    if light.field is None and drift is None and not light.rolloff:
        return (bgr * gain.to(bgr.dtype) + bias.to(bgr.dtype)).clamp(0, 1)
    # factor * values / (1 + rolloff * (factor - 1) * values), with as few walks through memory as can be.
    values = bgr.float()
    factor = _factor(bgr, gain, light, drift)
    lit = factor.mul_(values) if factor.shape == values.shape else factor * values
    if light.rolloff:
        lit.div_((lit - values).mul_(light.rolloff).add_(1))
    return lit.add_(bias).clamp_(0, 1).to(bgr.dtype)


def unlit(src: torch.Tensor, light: Exposure, drift: torch.Tensor | None = None) -> torch.Tensor:
    """Undo `relight`: bring a frame ``(1, 3, H, W)`` into the light of the plate; what was clipped stays so."""
    gain, bias = _even(light, src.device)
    # With T of `bgmv2.plate.exposure`: T(frame - bias) / m, and back.
    values = (src.float() - bias).clamp_(min=0)
    if light.rolloff:
        values.div_((-light.rolloff * values).add_(1).clamp_(min=_LEAST_SLOPE))
    values.div_(_factor(src, gain, light, drift))
    if light.rolloff:
        values.div_((light.rolloff * values).add_(1))
    return values.clamp_(0, 1).to(src.dtype)


def _even(light: Exposure, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and bias, ``(3, 1, 1)`` each."""
    # At once, because each transfer waits for the device.
    gain, bias = torch.from_numpy(np.stack([light.gain, light.bias])).float().to(device).view(2, 3, 1, 1)
    return gain, bias


def _factor(picture: torch.Tensor, gain: torch.Tensor, light: Exposure, drift: torch.Tensor | None) -> torch.Tensor:
    """What the plate's light is multiplied by, ``(1, 3, H, W)`` or alike in all places."""
    fields = [] if light.field is None else [torch.from_numpy(light.field).float().permute(2, 0, 1)[None]]
    fields += [] if drift is None else [drift]
    if not fields:
        return gain[None]
    spread = [enlarged(field.to(picture.device), *picture.shape[2:]) for field in fields]
    return sum(spread[1:], start=spread[0]).exp_().mul_(gain)
