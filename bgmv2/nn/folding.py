"""Steps of a trained network made one: batch norm folded into convolutions, activations computed within them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bgmv2.nn.decoder import Decoder
from bgmv2.nn.matting import MattingRefine
from bgmv2.nn.refiner import Refiner


def folded(model: MattingRefine, dtype: torch.dtype) -> MattingRefine:
    """Copy a network in eval mode and channels_last, with as few steps as its device allows.

    Args:
        model: the network; stays as it is.
        dtype: in which parts of it will compute; others stay in float32.
    """
    model = copy.deepcopy(model).eval()
    for part in list(model.modules()):
        before, conv = "", None
        for name, child in list(part.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(conv, nn.Conv2d):
                setattr(part, before, fuse_conv_bn_eval(conv, child))
                setattr(part, name, nn.Identity())
            if isinstance(child, nn.ReLU):
                child.inplace = True
            before, conv = name, child
    if model.decoder.conv4.weight.is_cpu and _activates(torch.float32) and _activates(dtype):
        for part in list(model.modules()):
            _activate(part)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


class _ActivatedConv2d(nn.Conv2d):
    """A convolution that is followed by ReLU or ReLU6, both computed by oneDNN in one walk through memory.

    The operation is the one into which PyTorch's compiler turns the two; it has no public name.
    """

    activation: tuple[str, list[float]]  # as oneDNN calls it, and its bounds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kind, bounds = self.activation
        at = self.padding, self.stride, self.dilation, self.groups
        return torch.ops.mkldnn._convolution_pointwise(x, self.weight, self.bias, *at, kind, bounds, "")


def _activate(part: nn.Module) -> None:
    """Let the convolutions right within a part compute the activations that follow them, which then do nothing."""
    if isinstance(part, nn.Sequential):
        layers = [(name, child) for name, child in part.named_children() if not isinstance(child, nn.Identity)]
        for (_, conv), (name, relu) in zip(layers, layers[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(relu, (nn.ReLU, nn.ReLU6)):
                _give(conv, relu)
                setattr(part, name, nn.Identity())
    elif isinstance(part, (Decoder, Refiner)):  # their last convolution, the fourth, is not activated
        for conv in (part.conv1, part.conv2, part.conv3):
            _give(conv, part.relu)
        part.relu = nn.Identity()


def _give(conv: nn.Conv2d, relu: nn.Module) -> None:
    conv.__class__ = _ActivatedConv2d
    assert isinstance(conv, _ActivatedConv2d)
    conv.activation = ("hardtanh", [0.0, 6.0]) if isinstance(relu, nn.ReLU6) else ("relu", [])


def _activates(dtype: torch.dtype) -> bool:
    """Whether this PyTorch and this processor have the operation for numbers of a kind."""
    conv = nn.Conv2d(1, 1, 1, device="meta", dtype=dtype).requires_grad_(False).to_empty(device="cpu")
    nn.init.dirac_(conv.weight)
    assert conv.bias is not None
    conv.bias.zero_()
    for relu in (nn.ReLU(), nn.ReLU6()):
        _give(conv, relu)
        x = torch.tensor([-1.0, 3.0, 7.0], dtype=dtype).view(3, 1, 1, 1)
        try:
            if not torch.equal(conv(x), relu(x)):
                return False
        except (AttributeError, RuntimeError):
            return False
    return True
