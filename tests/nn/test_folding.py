"""A folded network answers what it answered before, in fewer steps."""

import pytest
import torch
from torch import nn

from bgmv2.nn import folding
from bgmv2.nn.backbones import BACKBONES

from .conftest import network, pair


def steps(model):
    """How many steps of a kind a frame takes."""
    counts = {}
    hooks = [
        part.register_forward_hook(lambda part, *_: counts.update({type(part): counts.get(type(part), 0) + 1}))
        for part in model.modules()
        if not list(part.children())
    ]
    with torch.inference_mode():
        model(*pair(1, 64, 96))
    for hook in hooks:
        hook.remove()
    return counts


needs_fusion = pytest.mark.skipif(not folding._activates(torch.float32), reason="this PyTorch activates on its own")


@pytest.mark.parametrize("fuses", [pytest.param(True, marks=needs_fusion), False], ids=["fused", "plain"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_answer_stays(backbone, fuses, monkeypatch):
    if not fuses:
        monkeypatch.setattr(folding, "_activates", lambda dtype: False)
    model = network(backbone, refine_mode="full")
    with torch.inference_mode():
        wanted, got = (net(*pair(1, 64, 96)) for net in (model, folding.folded(model, torch.float32)))
    for a, b in zip(wanted, got, strict=True):
        assert (a - b).abs().max() < 1e-3
    assert min(a.std() for a in wanted[:5]) > 0
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.modules()), "the original must stay"


@needs_fusion
def test_no_activation_of_mobilenetv2_is_a_step_of_its_own():
    model = network()
    before, after = steps(model), steps(folding.folded(model, torch.float32))
    assert {nn.ReLU, nn.ReLU6, nn.BatchNorm2d} <= set(before) and not {nn.ReLU, nn.ReLU6, nn.BatchNorm2d} & set(after)
    assert after[nn.Conv2d] + after[folding._ActivatedConv2d] == before[nn.Conv2d]


@pytest.mark.parametrize("fault", [AttributeError("no such operation"), RuntimeError("unsupported"), None])
def test_where_the_operation_fails_or_errs_it_is_not_used(fault, monkeypatch):
    def forward(self, x):
        if fault is not None:
            raise fault
        return x

    monkeypatch.setattr(folding._ActivatedConv2d, "forward", forward)
    assert not any(
        isinstance(part, folding._ActivatedConv2d) for part in folding.folded(network(), torch.float32).modules()
    )
