"""What the plate never saw: beyond its edges, or where somebody stood in front of it all the time.

The plate's colours are made up there, so the network finds that most of what it sees differs from them. It is right
about the subject, and wrong about the room: alpha is believed there only where it continues the subject from what the
plate did see.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bgmv2.resample import averaged, enlarged

# Alpha is followed on pictures of about this long side, for as many steps of a pixel.
_SIDE, _STEPS = 160, 48
# What can start to continue, and what can be continued.
_SUBJECT, _PERHAPS = 0.5, 0.1
# The subject widens by no more than this, on each side, per step away from what was seen: what runs along the border
# of that is no subject. Of 1, 1.5 and 2 this one loses next to nothing of subjects, by tools/measure_unseen.py.
_SPREAD = 1.5


def continue_subject(pha: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """Take alpha away where the plate has no pixels and where it does not continue the subject.

    Args:
        pha: ``(B, 1, H, W)`` alpha, 0..1.
        covered: ``(B, 1, H, W)``, 1 where the plate has pixels and 0 where its colours are made up.

    Returns:
        ``(B, 1, H, W)`` alpha, unchanged where the plate has pixels. A subject of which the plate's part shows nothing
        is lost.

    Raises:
        ValueError: the shapes differ.
    """
    if pha.ndim != 4 or pha.shape != covered.shape:
        raise ValueError(f"both are (B, 1, H, W) and alike, got {pha.shape = }, {covered.shape = }")
    shrink = max(1, max(pha.shape[2:]) // _SIDE)
    small, seen = (averaged(x.float(), shrink) for x in (pha, covered))
    seen = (seen > 0.5).float()
    depth, reached = torch.zeros_like(seen), seen
    for _ in range(round(_STEPS / _SPREAD)):
        depth += 1 - reached
        reached = _grown(reached)
    continues = seen * (small > _SUBJECT)
    possible = (1 - seen) * (small > _PERHAPS)
    steps = torch.arange(_STEPS, device=pha.device).view(-1, 1, 1, 1, 1)
    for allowed in possible * (steps < _SPREAD * depth):
        continues = torch.maximum(continues, _grown(continues) * allowed)
    # One pixel more, so that the subject's own soft edge stays.
    believed = enlarged(_grown(continues), *pha.shape[2:]).to(pha)
    return pha * torch.maximum(covered.to(pha), believed)


def _grown(mask: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(mask, 3, stride=1, padding=1)
