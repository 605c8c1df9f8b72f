"""The losses of the paper.

Source: Lin et al. 2021, section 4: L1 on alpha and on its Sobel gradients, L1 on the foreground where there is any,
squared error on the error map.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.filters import spatial_gradient


def alpha_loss(pred_pha: torch.Tensor, true_pha: torch.Tensor) -> torch.Tensor:
    """L1 of alpha and of its Sobel gradients; both ``(B, 1, H, W)``."""
    difference = pred_pha - true_pha  # the gradient is linear: one filter serves both
    return difference.abs().mean() + spatial_gradient(difference, mode="sobel").abs().mean()


def foreground_loss(pred_fgr: torch.Tensor, true_fgr: torch.Tensor, true_pha: torch.Tensor) -> torch.Tensor:
    """L1 of the foreground ``(B, 3, H, W)`` where the true alpha is above 0."""
    return (true_pha.gt(0) * (pred_fgr - true_fgr)).abs().mean()


def error_loss(pred_err: torch.Tensor, pred_pha: torch.Tensor, true_pha: torch.Tensor) -> torch.Tensor:
    """Squared difference to the alpha's true error, which is a target and takes no gradient."""
    return F.mse_loss(pred_err, (pred_pha.detach() - true_pha).abs())
