"""From an ImageNet MobileNetV2, which saw one picture, to our encoder, which sees frame and plate."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bgmv2.nn.backbones import MobileNetV2Encoder

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's RGB, 0..1
STD = (0.229, 0.224, 0.225)


def encoder_from_imagenet(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn the features of torchvision's MobileNetV2 into a state dict of `MobileNetV2Encoder`.

    ImageNet's normalisation is folded into the first convolution and its batch norm, because our pictures are plain
    0..1. Every second of the first filters starts out seeing frame minus plate, the others the frame alone: a network
    that starts with the frame only learns what people look like before it learns what has changed.

    Args:
        state: tensors in the order of ``torchvision.models.mobilenet_v2().features``; their names do not matter.

    Returns:
        A complete state dict of the encoder.

    Raises:
        ValueError: order or shapes are another network's.
    """
    encoder = MobileNetV2Encoder().state_dict()
    given = list(state.values())
    if len(given) < len(encoder):
        raise ValueError(f"the encoder has {len(encoder)} tensors, got {len(given)}")
    result: dict[str, torch.Tensor] = {}
    for (name, wanted), value in zip(encoder.items(), given, strict=False):
        if name == "features.0.0.weight":
            value, shift = _first_convolution(value)
        elif name == "features.0.1.running_mean":
            value = value + shift
        if value.shape != wanted.shape:
            raise ValueError(f"{name} should be {tuple(wanted.shape)}, got {tuple(value.shape)}")
        result[name] = value.clone().contiguous()
    return result


def _first_convolution(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Filters for frame and plate in 0..1, and what to add to the running mean behind them."""
    frame = weight / torch.tensor(STD).view(1, 3, 1, 1)
    constant = (frame * torch.tensor(MEAN).view(1, 3, 1, 1)).sum(dim=(1, 2, 3))
    plate = torch.zeros_like(frame)
    plate[::2] = -frame[::2]
    constant[::2] = 0  # it cancels in the difference
    return torch.cat([frame, plate], dim=1), constant
