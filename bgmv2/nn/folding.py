"""Steps of a trained network made one: batch norm folded into convolutions, activations computed within them."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bgmv2.nn.decoder import Decoder
from bgmv2.nn.matting import MattingRefine
from bgmv2.nn.refiner import Refiner


def folded(model: MattingRefine, *, activate: bool) -> MattingRefine:
    """Copy a network in eval mode and channels_last, its batch norms folded.

    Args:
        model: the network; stays as it is.
        activate: let convolutions compute the activations right behind them, but for ResNet's; needs `activates`.
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
    for part in list(model.modules()) if activate else []:
        _activate(part)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


def activates(dtype: torch.dtype) -> bool:
    """Whether this PyTorch and this processor can convolve and activate in one step, for numbers of a kind."""
    with torch.device("meta"):
        convs = [nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)]
    x = torch.tensor([-1.0, 3.0, 7.0], dtype=dtype).expand(1, 8, 3, 3).contiguous(memory_format=torch.channels_last)
    for conv in convs:
        conv = conv.to(dtype).requires_grad_(False).to_empty(device="cpu")
        nn.init.dirac_(conv.weight, groups=conv.groups)
        assert conv.bias is not None
        conv.bias.zero_()
        for relu in (nn.ReLU(), nn.ReLU6()):
            _give(conv, relu)
            try:
                if not torch.equal(conv(x), relu(x)):
                    return False
            except (AttributeError, RuntimeError):
                return False
    return True


class _ActivatedConv2d(nn.Conv2d):
    """A convolution that is followed by ReLU or ReLU6, both computed by oneDNN in one walk through memory.

    The operation is the one into which PyTorch's compiler turns the two; it has no public name. Of what is no number it
    makes 0.
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
