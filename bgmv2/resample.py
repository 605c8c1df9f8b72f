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
        large = torch.empty(*x.shape[:2], height, width, memory_format=_layout(x))
        _resize(x, large, cv2.INTER_LINEAR)
        return large
    return F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)


def averaged(x: torch.Tensor, step: int) -> torch.Tensor:
    """Average ``(B, C, H, W)`` over squares of `step` pixels; those at the right and lower border may be smaller."""
    if not _is_for_opencv(x):
        return _pooled(x, step)
    rows, columns = x.shape[2] // step, x.shape[3] // step
    bottom, right = rows * step, columns * step
    means = torch.empty(*x.shape[:2], -(-x.shape[2] // step), -(-x.shape[3] // step), memory_format=_layout(x))
    if rows > 0 and columns > 0:
        _resize(x[..., :bottom, :right], means[..., :rows, :columns], cv2.INTER_AREA)
    if bottom < x.shape[2]:
        means[..., rows:, :] = _pooled(x[..., bottom:, :], step)
    if right < x.shape[3]:
        means[..., columns:] = _pooled(x[..., right:], step)
    return means


def _pooled(x: torch.Tensor, step: int) -> torch.Tensor:
    return F.avg_pool2d(x, step, ceil_mode=True, count_include_pad=False)


def _is_for_opencv(x: torch.Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad


def _layout(x: torch.Tensor) -> torch.memory_format:
    """How pictures lie in memory: by pixels, as OpenCV can take them as well, or by planes."""
    by_pixels = x.shape[1] <= 4 and x.stride(1) == 1 and x.stride(3) == x.shape[1]
    return torch.channels_last if by_pixels else torch.contiguous_format


def _resize(x: torch.Tensor, target: torch.Tensor, how: int) -> None:
    """Fill `target`, which lies in memory as `_layout` says of x."""
    if _layout(x) == torch.channels_last:
        pictures, targets = x.permute(0, 2, 3, 1), target.permute(0, 2, 3, 1)
    else:
        pictures = x if x.stride(3) == 1 else x.contiguous()
        pictures, targets = pictures.flatten(0, 1), target.flatten(0, 1)
    for picture, filled in zip(pictures, targets, strict=True):
        cv2.resize(picture.numpy(), filled.shape[1::-1], dst=filled.numpy(), interpolation=how)
