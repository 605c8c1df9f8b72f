"""Cells: a picture averaged over a grid, whatever its size."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F


def cell_means(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Average a picture over the cells of a grid, each over all pixels that it touches.

    Args:
        x: ``(B, C, H, W)`` float32.
        size: rows and columns of the grid.

    Returns:
        ``(B, C, rows, columns)``.
    """
    is_uneven = any(whole % cells for whole, cells in zip(x.shape[2:], size, strict=True))
    return _by_products(x, size) if x.is_mps and is_uneven else F.adaptive_avg_pool2d(x, size)


def _by_products(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Do it as two products of matrices: MPS pools only into cells that are alike in size."""
    rows, columns = (_weights(whole, cells, x.device) for whole, cells in zip(x.shape[2:], size, strict=True))
    return rows @ x @ columns.T


@lru_cache(maxsize=32)
def _weights(whole: int, cells: int, device: torch.device) -> torch.Tensor:
    """What each pixel of a row counts in each of its cells, ``(cells, whole)``."""
    at, cell = torch.arange(whole), torch.arange(cells)[:, None]
    first, behind = cell * whole // cells, ((cell + 1) * whole + cells - 1) // cells
    touched = ((at >= first) & (at < behind)).float()
    return (touched / touched.sum(dim=1, keepdim=True)).to(device)
