"""Pictures of a run: the losses as curves, and what the network makes of pairs it has not seen."""

from __future__ import annotations

import csv
from os import PathLike
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torchvision.utils import save_image

from bgmv2.budget import pixels_for, scale_for
from bgmv2.config import REFINE_FLOOR
from bgmv2.nn.matting import MattingRefine
from bgmv2.training.compose import Pair

MAGENTA = (1.0, 0.0, 1.0)


def plot_losses(losses: list[dict[str, float]], path: str | PathLike[str], *, window: int = 25) -> None:
    """Draw every loss over the steps, each a mean over a window, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(10, 5), layout="constrained")
    for name in sorted({name for row in losses for name in row} - {"step"}):
        steps, values = zip(*((row["step"], row[name]) for row in losses if name in row), strict=True)
        series = torch.tensor(values)
        if len(series) > window:
            series = F.avg_pool1d(series[None, None], window, stride=1)[0, 0]
        axes.plot(steps[-len(series) :], series, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.legend()
    axes.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


@torch.inference_mode()
def answer(model: MattingRefine, pair: Pair, *, coarse: bool) -> tuple[torch.Tensor, ...]:
    """Alpha, foreground, error map and refined patches of a pair, as a user would get them.

    Args:
        model: is left in eval mode, at the scale and with the pixels and floor to refine of `bgmv2.matter`.
        pair: of any size.
        coarse: give the base network's answer, because the refiner is not trained yet.
    """
    model.eval()
    height, width = pair.src.shape[2:]
    model.backbone_scale, model.refiner.sample_pixels = scale_for(height, width), pixels_for(height, width)
    model.refiner.floor = REFINE_FLOOR
    pred_pha, pred_fgr, pha_sm, fgr_sm, err_sm, ref_sm = model(pair.src, pair.bgr)
    if coarse:
        pred_pha, pred_fgr = (F.interpolate(x, size=(height, width), mode="bilinear") for x in (pha_sm, fgr_sm))
    return pred_pha.float(), pred_fgr.float(), err_sm.float(), ref_sm.float()


def measure(model: MattingRefine, pairs: list[Pair], *, coarse: bool) -> dict[str, float]:
    """Alpha's mean error over pairs, whole and in the soft band, and the share of background taken for subject."""
    whole, band, background = [], [], []
    for pair in pairs:
        gap = (answer(model, pair, coarse=coarse)[0] - pair.pha).abs()
        soft = (pair.pha > 0) & (pair.pha < 1)
        whole.append(gap.mean())
        band.append(gap[soft].mean() if soft.any() else gap.new_zeros(()))
        empty = pair.pha == 0
        background.append((gap[empty] > 0.1).float().mean() if empty.any() else gap.new_zeros(()))
    means = (float(torch.stack(values).mean()) for values in (whole, band, background))
    return dict(zip(("alpha", "soft alpha", "background above 0.1"), means, strict=True))


def append_row(path: Path, row: dict[str, float]) -> None:
    """Add a row to a table, which begins with a line of names."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        table = csv.DictWriter(file, list(row))
        if new:
            table.writeheader()
        table.writerow(row)


def sample_sheet(model: MattingRefine, pair: Pair, path: str | PathLike[str], *, coarse: bool = False) -> None:
    """Save a sheet: a column a picture; frame, plate, true and predicted alpha, error map, patches, over magenta.

    Args:
        model: is left in eval mode.
        pair: what to show.
        path: of the PNG.
        coarse: show the base network's answer, because the refiner is not trained yet.
    """
    pred_pha, pred_fgr, err_sm, ref_sm = answer(model, pair, coarse=coarse)
    magenta = pred_fgr.new_tensor(MAGENTA).view(1, 3, 1, 1)
    com = pred_pha * pred_fgr + (1 - pred_pha) * magenta
    rows = [pair.src, pair.bgr, pair.pha, pred_pha, err_sm, ref_sm, com]
    size = pair.src.shape[2:]
    rows = [F.interpolate(row.float(), size=size, mode="nearest").expand(-1, 3, -1, -1) for row in rows]
    save_image(torch.cat(rows), path, nrow=pair.src.shape[0])
