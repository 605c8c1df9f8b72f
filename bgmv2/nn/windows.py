"""Windows onto maps: what `patches.crop` cuts out of an upsampled map, without the map being upsampled.

A window belongs to a place ``(b, y, x)`` in a grid of cells; it is the cell with a margin of its neighbours' pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import torch
import torch.nn.functional as F

from bgmv2.nn.patches import Places

Look = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def onto(x: torch.Tensor) -> Look:
    """Look at pixels of a map ``(B, C, H, W)``: indices b, y, x of one shape, or that can be made so, give their C."""
    _, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(-1, c)
    return lambda b, y, x: F.embedding((b * h + y) * w + x, rows)


def pixels(places: Places, h: int, w: int, size: int, margin: int, ratio: Fraction | int) -> Places:
    """Say which pixels of a map are looked at, for windows onto the map made `ratio` times larger.

    Args:
        places: of N cells.
        h: the map's height; its edge goes on outside.
        w: the map's width.
        size: side of a cell in pixels of the larger map, a multiple of `ratio`.
        margin: pixels of the larger map on each side of the cell.
        ratio: 1 or more; small numbers over small ones are cheap.

    Returns:
        b ``(N, 1, 1)``, y ``(N, k, 1)``, x ``(N, 1, k)``.
    """
    b, y, x = places
    first = _first(margin, ratio)
    last = math.floor((size + margin - 0.5) / ratio - 0.5) + int(ratio > 1)
    steps = torch.arange(first, last + 1, device=b.device)
    ys = (y.view(-1, 1) * int(size / ratio) + steps).clamp(0, h - 1)
    xs = (x.view(-1, 1) * int(size / ratio) + steps).clamp(0, w - 1)
    return b.view(-1, 1, 1), ys.unsqueeze(2), xs.unsqueeze(1)


def enlarged(
    look: Look, places: Places, h: int, w: int, *, size: int, margin: int, ratio: Fraction | int = 1
) -> torch.Tensor:
    """Cut windows out of a map made `ratio` times larger (bilinear); zeros stand outside of it.

    The other arguments are those of `pixels`; `look` gives the map's pixels.

    Returns:
        ``(N, C, size + 2 * margin, size + 2 * margin)``, channels_last.
    """
    window = size + 2 * margin
    x = look(*pixels(places, h, w, size, margin, ratio)).permute(0, 3, 1, 2)
    if ratio > 1:
        skip = -margin - int(_first(margin, ratio) * ratio)
        x = F.interpolate(x, scale_factor=float(ratio), mode="bilinear", align_corners=False)
        x = x[:, :, skip : skip + window, skip : skip + window]
    steps = torch.arange(-margin, size + margin, device=x.device)
    ys, xs = (place.view(-1, 1) * size + steps for place in places[1:])
    seen = ((ys >= 0) & (ys < int(h * ratio))).unsqueeze(2) & ((xs >= 0) & (xs < int(w * ratio))).unsqueeze(1)
    if x.device.type != "cpu":
        return x * seen.unsqueeze(1)
    outer = (~seen.flatten(1).all(dim=1)).nonzero().squeeze(1)
    if len(outer):
        x[outer] = x[outer] * seen[outer].unsqueeze(1)
    return x


def plain(x: torch.Tensor, places: Places, *, size: int, margin: int) -> torch.Tensor:
    """Cut windows out of full-resolution pictures; zeros stand outside.

    The pictures are ``(B, C, H, W)``, channels_last; the other arguments are those of `pixels`.

    Returns:
        ``(N, C, size + 2 * margin, size + 2 * margin)``, channels_last.
    """
    _, c, h, w = x.shape
    window = size + 2 * margin
    if x.device.type != "cpu" or window > min(h, w):
        return enlarged(onto(x), places, h, w, size=size, margin=margin)
    # Rows of a window are runs of memory, copied as such; windows over the edge, shifted inside here, are done anew.
    top, left = (place * size - margin for place in places[1:])
    down, right = top.clamp(0, h - window), left.clamp(0, w - window)
    starts = ((places[0] * h + down) * w + right).view(-1, 1) + torch.arange(window) * w
    runs = x.permute(0, 2, 3, 1).as_strided((x.numel() // c - window + 1, window * c), (c, 1))
    cut = runs.index_select(0, starts.view(-1)).view(-1, window, window, c).permute(0, 3, 1, 2)
    outer = ((down != top) | (right != left)).nonzero().squeeze(1)
    if len(outer):
        b, y, x_ = (place[outer] for place in places)
        cut[outer] = enlarged(onto(x), (b, y, x_), h, w, size=size, margin=margin)
    return cut


def _first(margin: int, ratio: Fraction | int) -> int:
    """The first pixel to look at, counted from the cell's own first; one at which one of the larger map begins."""
    return math.floor((0.5 - margin) / ratio - 0.5) // ratio.denominator * ratio.denominator
