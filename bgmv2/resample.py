"""Pictures made larger and smaller; on the CPU by OpenCV, which takes a tenth to a half of PyTorch's time."""

from __future__ import annotations

import cv2
import torch
import torch.nn.functional as F


def enlarged(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Make pictures larger, bilinearly; the centres of their outer pixels and what lies beyond have one colour.

    Args:
        x: ``(B, C, h, w)``, floats.
        height: of the result, in pixels; if it is less than h, rows are passed over and not averaged.
        width: the same of columns.

    Returns:
        ``(B, C, height, width)``.
    """
    if _is_for_opencv(x):
        return _by_planes(x, height, width, cv2.INTER_LINEAR)
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


def averaged(x: torch.Tensor, step: int) -> torch.Tensor:
    """Average ``(B, C, H, W)`` over squares of `step` pixels; those at the right and lower border may be smaller."""
    height, width = x.shape[2:]
    if _is_for_opencv(x) and height % step == width % step == 0:
        return _by_planes(x, height // step, width // step, cv2.INTER_AREA)
    return F.avg_pool2d(x, step, ceil_mode=True, count_include_pad=False)


def _is_for_opencv(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad


def _by_planes(x: torch.Tensor, height: int, width: int, how: int) -> torch.Tensor:
    resized = x.new_empty(*x.shape[:2], height, width)
    for plane, target in zip(x.contiguous().flatten(0, 1), resized.flatten(0, 1), strict=True):
        cv2.resize(plane.numpy(), (width, height), dst=target.numpy(), interpolation=how)
    return resized
