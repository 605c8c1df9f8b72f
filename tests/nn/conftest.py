"""A network to compare with itself, and what to give it."""

import torch
from torch import nn

from bgmv2.config import ModelConfig
from bgmv2.nn.matting import MattingRefine


def network(backbone="mobilenetv2", **choices):
    """A network whose weights nobody trained; alpha and error are spread around 1/2, and normalised as if trained."""
    torch.manual_seed(0)
    choices = {"backbone_scale": 0.25, "refine_sample_pixels": 640, "refine_threshold": 0.5, **choices}
    model = MattingRefine(ModelConfig(backbone, **choices))
    model.refiner.mode, model.backbone_scale = "full", 0.5
    enliven(model, *pair(2, 128, 128), spread=0.03)  # no errors are cut to 1: among equals anyone may be chosen
    model.refiner.mode, model.backbone_scale = model.config.refine_mode, model.config.backbone_scale
    return model


def enliven(model, src, bgr, *, spread=1.0):
    """Leave no map flat: normalise as if trained, on these pictures; alpha and error lie around 1/2.

    The error is spread less by this factor. The model refines everything, and is in eval mode afterwards.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    nn.init.normal_(model.decoder.conv4.weight, std=0.02)
    nn.init.normal_(model.refiner.conv4.weight, std=0.05)
    with torch.no_grad():
        model.decoder.conv4.weight[4] *= spread
        model.decoder.conv4.bias.copy_(torch.full((37,), 0.5))
        model.refiner.conv4.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
        model.train()(src, bgr)
    model.eval()


def pair(batch, height, width):
    g = torch.Generator().manual_seed(7)
    return [torch.rand(batch, 3, height, width, generator=g) for _ in range(2)]
