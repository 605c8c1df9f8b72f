"""A folded network answers what it answered before, in fewer steps."""

import pickle

import pytest
import torch
from torch import nn

from bgmv2.nn import folding
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.fast import FastMatting

from .conftest import network, pair

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


def steps(model):
    """How many steps of a kind a frame takes."""
    counts = {}

    def count(part, *_):
        counts[type(part)] = counts.get(type(part), 0) + 1

    hooks = [part.register_forward_hook(count) for part in model.modules() if not list(part.children())]
    with torch.inference_mode():
        model(*pair(1, 64, 96))
    for hook in hooks:
        hook.remove()
    return counts


@pytest.mark.parametrize("activate", [pytest.param(True, marks=needs_onednn), False], ids=["activated", "plain"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_answer_stays(backbone, activate):
    model = network(backbone, refine_mode="full")
    with torch.inference_mode():
        wanted, got = (net(*pair(1, 64, 96)) for net in (model, folding.folded(model, activate=activate)))
    for a, b in zip(wanted, got, strict=True):
        assert (a - b).abs().max() < 1e-3
    assert min(a.std() for a in wanted[:5]) > 0
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.modules()), "the original must stay"


@needs_onednn
def test_no_activation_of_mobilenetv2_is_a_step_of_its_own():
    model = network()
    before, after = steps(model), steps(FastMatting(model)._net)
    assert {nn.ReLU, nn.ReLU6, nn.BatchNorm2d} <= set(before) and not {nn.ReLU, nn.ReLU6, nn.BatchNorm2d} & set(after)
    assert after[nn.Conv2d] + after[folding._ActivatedConv2d] == before[nn.Conv2d]


@needs_onednn
def test_this_pytorch_has_the_operation():
    assert folding.activates(torch.float32)


@pytest.mark.parametrize("fault", [AttributeError("no such operation"), RuntimeError("unsupported"), None])
def test_where_the_operation_fails_or_errs_it_is_not_used(fault, monkeypatch):
    def forward(self, x):
        if fault is not None:
            raise fault
        return x

    monkeypatch.setattr(folding._ActivatedConv2d, "forward", forward)
    assert not folding.activates(torch.float32)
    assert not any(isinstance(part, folding._ActivatedConv2d) for part in FastMatting(network())._net.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_quick_network_can_be_sent_to_another_process(dtype):
    fast = FastMatting(network(), dtype)
    for a, b in zip(pickle.loads(pickle.dumps(fast))(*pair(1, 64, 96)), fast(*pair(1, 64, 96)), strict=True):
        assert torch.equal(a, b)


def test_mobilenetv2_begins_in_float32():
    blocks = FastMatting(network(), torch.bfloat16)._net.backbone.features
    assert {x.dtype for x in blocks[:7].parameters()} == {torch.float32}
    assert {x.dtype for x in blocks[7:].parameters()} == {torch.bfloat16}
