"""Choosing, cutting out and putting back 4x4 patches of full-resolution pixels.

A patch is known by its place ``(b, y, x)`` in the grid of a quarter of the frame's size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

PATCH = 4
Places = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def select(err: torch.Tensor, mode: str, count: int, threshold: float, floor: float = 0.0) -> torch.Tensor:
    """Say which patches to refine.

    Args:
        err: ``(B, 1, H/4, W/4)`` predicted error, 0..1.
        mode: `sampling`, `thresholding` or `full`.
        count: in `sampling`, the number of patches to refine in each picture, if so many have an error above the floor.
        threshold: in `thresholding`, the error above which a patch is chosen.
        floor: in `sampling`, the error up to which none is.

    Returns:
        ``(B, 1, H/4, W/4)`` of err's type, 1 for the chosen patches and 0 for the others.
    """
    if mode == "sampling":
        indices, valid = largest(err, count, floor)
        return torch.zeros_like(err).flatten(1).scatter_(1, indices, valid.to(err.dtype)).view_as(err)
    if mode == "thresholding":
        return err.gt(threshold).to(err.dtype)
    return torch.ones_like(err)


def largest(err: torch.Tensor, count: int, floor: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the `count` largest errors of each picture ``(B, 1, h, w)``, or all if there are fewer.

    Returns:
        Where they are, ``(B, count)`` indices into h * w, in no order, and whether they are above the floor.
    """
    flat = err.flatten(1)
    top = flat.topk(min(count, flat.shape[1]), dim=1, sorted=False)
    return top.indices, top.values.gt(floor)


def crop(x: torch.Tensor, places: Places, size: int, margin: int) -> torch.Tensor:
    """Cut out the chosen patches with a margin of neighbours; zeros stand outside the picture.

    Args:
        x: ``(B, C, H, W)``, H and W multiples of `size`.
        places: ``(b, y, x)`` indices of N patches.
        size: side of a patch in pixels of x.
        margin: pixels to take on each side.

    Returns:
        ``(N, C, size + 2 * margin, size + 2 * margin)``.
    """
    window = size + 2 * margin
    x = x.permute(0, 2, 3, 1)
    if margin > 0:
        x = F.pad(x, [0, 0, margin, margin, margin, margin])
    _, h, w, c = x.shape
    steps = torch.arange(window, device=x.device)
    first = (places[0] * h + places[1] * size) * w + places[2] * size
    pixels = first.view(-1, 1, 1) + (steps * w).view(-1, 1) + steps
    # A lookup of rows, because its gradient is as cheap as itself; that of indexed windows takes 20 times as long.
    return F.embedding(pixels, x.reshape(-1, c)).permute(0, 3, 1, 2)


def replace(x: torch.Tensor, patches: torch.Tensor, places: Places) -> torch.Tensor:
    """Put patches back where they were cut out.

    Args:
        x: ``(B, C, H, W)``, H and W multiples of `size`; left as it is.
        patches: ``(N, C, size, size)``.
        places: ``(b, y, x)`` indices of the N patches.

    Returns:
        ``(B, C, H, W)``.
    """
    b, c, h, w = x.shape
    size = patches.shape[2]
    grid = x.view(b, c, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5)
    grid = grid.clone(memory_format=torch.contiguous_format)
    grid[places[0], places[1], places[2]] = patches.to(x.dtype)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(b, c, h, w)
