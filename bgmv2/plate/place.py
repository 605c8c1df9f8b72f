"""Placing: the plate brought to where, and in which light, a frame shows it, on the device."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bgmv2.plate.align import Alignment
from bgmv2.plate.relight import relight

# A pixel of the plate that is made of a made-up one by more than a trace was not seen.
_SEEN = 0.99


def warp_plate(
    bgr: torch.Tensor,
    homography: torch.Tensor,
    *,
    mesh: torch.Tensor | None = None,
    seen: torch.Tensor | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move plates to where the frames show them, in one resampling.

    What a frame shows beyond the plate's edges is filled with the edge's colours, never with the frame's own: a subject
    that stands there would read as background.

    **Convention**: `homography` maps plate pixels to frame pixels, see `bgmv2.plate.geometry`; `mesh` then moves them
    on, see `bgmv2.plate.mesh`.

    Args:
        bgr: ``(B, 3, H, W)``.
        homography: ``(B, 3, 3)``; may stay on the CPU, which spares a wait for the device.
        mesh: ``(B, rows, columns, 2)``, in pixels of the frame; None moves nothing.
        seen: ``(1, H, W)`` bool, where the plates show the scene; None means everywhere.
        size: ``(h, w)`` of the frames; None if they are sized like the plates.

    Returns:
        ``(B, 3, h, w)`` of the kind of `bgr`, which is `bgr` itself if no plate moves; and ``(B, 1, h, w)``, 1 where
        the plate shows the scene and 0 where its edge was extended or its colours are made up.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if bgr.ndim != 4 or bgr.shape[1] != 3 or homography.shape != (len(bgr), 3, 3):
        raise ValueError(f"plates are (B, 3, H, W), homographies (B, 3, 3), got {bgr.shape = }, {homography.shape = }")
    if mesh is not None and (mesh.ndim != 4 or mesh.shape[::3] != (len(bgr), 2)):
        raise ValueError(f"meshes are (B, rows, columns, 2), got {mesh.shape = }, {bgr.shape = }")
    if seen is not None and seen.shape != (1, *bgr.shape[2:]):
        raise ValueError(f"what was seen is (1, H, W) like the plates, got {seen.shape = }, {bgr.shape = }")
    whole = bgr.shape[2], bgr.shape[3]
    size = whole if size is None else size
    is_still = homography.cpu().eq(torch.eye(3, dtype=homography.dtype)).flatten(1).all(dim=1)
    if size == whole and mesh is None and (is_still.all() or min(whole) < 2):
        return bgr, _covered(bgr, seen)
    placed = []
    for index, picture in enumerate(bgr.split(1)):
        if size == whole and mesh is None and is_still[index]:
            placed.append((picture, _covered(picture, seen)))
        else:
            bend = None if mesh is None else mesh[index]
            placed.append(_looked_up(picture, _sources(homography[index], bend, size, whole, bgr.device), seen))
    moved, covered = (torch.cat(parts) for parts in zip(*placed, strict=True))
    return moved, covered


def place_plate(bgr: torch.Tensor, alignment: Alignment) -> torch.Tensor:
    """Bring a plate to where, and in which light, a frame shows it.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1.
        alignment: what `Aligner.align` said of the frame.

    Returns:
        ``(1, 3, H, W)``, 0..1, of the kind of `bgr`.
    """
    return place_plate_and_cover(bgr, alignment)[0]


def place_plate_and_cover(
    bgr: torch.Tensor,
    alignment: Alignment,
    seen: torch.Tensor | None = None,
    size: tuple[int, int] | None = None,
    drift: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do what `place_plate` does, and tell where the plate shows the scene.

    Args:
        bgr: ``(1, 3, H, W)``, 0..1.
        alignment: what `Aligner.align` said of the frame.
        seen: ``(1, H, W)`` bool, see `bgmv2.types.Plate`; None means everywhere.
        size: ``(h, w)`` of the frame; None if it is sized like the plate.
        drift: ``(1, 3, rows, columns)``, how the scene's light has changed, as of `bgmv2.plate.drift`; None if not.

    Returns:
        ``(1, 3, h, w)``, 0..1, and ``(1, 1, h, w)`` as of `warp_plate`, both of the kind of `bgr`.
    """
    mesh = None if alignment.mesh is None else torch.from_numpy(alignment.mesh)[None]
    homography = torch.from_numpy(alignment.homography)[None]
    warped, covered = warp_plate(bgr, homography, mesh=mesh, seen=seen, size=size)
    return relight(warped, alignment.light, drift), covered


def _covered(bgr: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """Where plates that are not moved show the scene."""
    everywhere = bgr.new_ones(len(bgr), 1, *bgr.shape[2:])
    return everywhere if seen is None else everywhere * seen.to(bgr)


def _sources(
    homography: torch.Tensor,
    mesh: torch.Tensor | None,
    size: tuple[int, int],
    whole: tuple[int, int],
    device: torch.device,
) -> torch.Tensor:
    """Where in the plate each pixel of a frame comes from, ``(1, h, w, 2)`` float32: x and y from -1 to 1.

    The centres of the plate's outer pixels are at -1 and 1, as `grid_sample` counts with `align_corners`; that of a
    single one is at 0.
    """
    y, x = (torch.arange(n, dtype=torch.float32, device=device) for n in size)
    y, x = y[:, None], x[None]
    if mesh is not None:
        bend = mesh.to(device, torch.float32).permute(2, 0, 1)[None]
        bend = F.interpolate(bend, size=size, mode="bilinear", align_corners=True)[0]
        x, y = x - bend[0], y - bend[1]
    # In double precision, which not every device has.
    back = torch.linalg.inv(homography.cpu().double())
    (height, top), (width, left) = ((2 / max(1, n - 1), -min(1, n - 1)) for n in whole)
    back = torch.tensor([[width, 0, left], [0, height, top], [0, 0, 1]], dtype=back.dtype) @ (back / back[2, 2])
    (a, b, c), (d, e, f), (g, h, i) = back.tolist()
    depth = g * x + (h * y + i)
    grid = depth.new_empty(1, *size, 2)
    torch.div(a * x + (b * y + c), depth, out=grid[0, :, :, 0])
    torch.div(d * x + (e * y + f), depth, out=grid[0, :, :, 1])
    return grid


def _looked_up(bgr: torch.Tensor, grid: torch.Tensor, seen: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Resample a plate ``(1, 3, H, W)``, and tell where it shows the scene."""
    # Half a pixel beyond the centres of the outer ones.
    height, width = (n / max(1, n - 1) for n in bgr.shape[2:])
    inside = (grid[..., 0].abs() <= width) & (grid[..., 1].abs() <= height)
    # Half precision cannot tell neighbouring pixels apart in coordinates that run to thousands. Bicubic resampling
    # would keep the plate sharper, but the mattes were the same within 1 %, some better and some worse.
    grid = grid.clamp_(-1, 1)  # padding by the border, which MPS does not have before PyTorch 2.13
    moved = F.grid_sample(bgr.float().contiguous(), grid, align_corners=True)
    if seen is not None:
        of_seen = F.grid_sample(seen[None].float().to(bgr.device), grid, align_corners=True)
        inside = inside & (of_seen[:, 0] > _SEEN)
    return moved.to(bgr.dtype), inside[:, None].to(bgr.dtype)
