"""Where the subject can be: the part of the coarse pictures in which frame and plate differ.

What the network says of a place depends on much around it, up to the mean of all features. Composites of the sample
clip's subject on its plate at 1920x1080, made smaller to .45 and .6, with noise up to .02: with this margin, 0.6 to
1.1 % of all alphas changed by more than 1/255, 0.3 to 0.6 % by more than 0.02, where the network was unsure in the
first place. Margins of 32 to 80 pixels let these shares fall only slowly. Of a subject that is 30 % opaque,
2 % changed by more than 1/255, and up to 0.37 of alpha was lost outside.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

STRIDE = 16  # pixels of the deepest map's grid
MARGIN = 48  # pixels: the network looks at more around a subject than the subject
MOST = 0.7  # of the picture: from here on the whole is as quick
STEP = 4  # pixels: how far apart differences are looked for
# Differences in 0..1, means over 5x5 coarse pixels. Noise has no sign that lasts, so that a mean of signed differences
# tells fainter things from it; something of the room's mean colour shows in the mean of their sizes.
SIGNED, UNSIGNED = 0.015, 0.05


class Region(NamedTuple):
    """A part of a coarse picture, ``[top, bottom)`` by ``[left, right)``; edges lie on the grid or the picture's."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Cut it out of ``(B, C, h, w)``."""
        return x[:, :, self.top : self.bottom, self.left : self.right]


def whole(x: torch.Tensor) -> Region:
    """All of ``(B, C, h, w)``."""
    return Region(0, x.shape[2], 0, x.shape[3])


def differing(src_sm: torch.Tensor, bgr_sm: torch.Tensor) -> Region:
    """Find the region in which frames and plates ``(B, 3, h, w)`` differ, with a margin; in doubt, the whole."""
    _, _, h, w = src_sm.shape
    gap = (src_sm - bgr_sm).contiguous()
    signed, unsigned = (F.avg_pool2d(x, 5, STEP, 2).abs().amax(dim=(0, 1)) for x in (gap, gap.abs()))
    differs = (signed > SIGNED) | (unsigned > UNSIGNED)
    ends = []
    for size, hit in ((h, differs.any(dim=1)), (w, differs.any(dim=0))):
        at = hit.nonzero().flatten() * STEP
        if len(at) == 0:  # the network, not this, says that there is nobody
            return whole(src_sm)
        first, last = int(at[0]) - MARGIN, int(at[-1]) + STEP + MARGIN
        ends += [max(0, first // STRIDE * STRIDE), min(size, -(-last // STRIDE) * STRIDE)]
    region = Region(*ends)
    area = (region.bottom - region.top) * (region.right - region.left)
    return region if area < MOST * h * w else whole(src_sm)
