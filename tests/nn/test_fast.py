"""`FastMatting` answers what `MattingRefine` answers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.config import ModelConfig
from bgmv2.nn import patches, windows
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.fast import FastMatting
from bgmv2.nn.matting import MattingRefine

TOLERANCE = 1e-3


def network(backbone="mobilenetv2", **choices):
    """A network whose weights nobody trained; alpha and error are spread around 1/2, and normalised as if trained."""
    torch.manual_seed(0)
    choices = {"backbone_scale": 0.25, "refine_sample_pixels": 640, "refine_threshold": 0.5, **choices}
    model = MattingRefine(ModelConfig(backbone, **choices))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    nn.init.normal_(model.decoder.conv4.weight, std=0.02)
    nn.init.normal_(model.refiner.conv4.weight, std=0.05)
    with torch.no_grad():
        model.decoder.conv4.weight[4] *= 0.2  # so that no errors are cut to one same value
        model.decoder.conv4.bias.copy_(torch.full((37,), 0.5))
        model.refiner.conv4.bias.copy_(torch.tensor([0.5, 0.0, 0.0, 0.0]))
        model.refiner.mode, model.backbone_scale = "full", 0.5
        model.train()(*pair(2, 128, 128))
    model.refiner.mode, model.backbone_scale = model.config.refine_mode, model.config.backbone_scale
    return model.eval()


def pair(batch, height, width):
    g = torch.Generator().manual_seed(7)
    return [torch.rand(batch, 3, height, width, generator=g) for _ in range(2)]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def assert_same(model, src, bgr, **choices):
    before = src.clone(), bgr.clone()
    wanted, got = model(src, bgr), FastMatting(model, **choices)(src, bgr)
    assert torch.equal(src, before[0]) and torch.equal(bgr, before[1])
    for a, b in zip(wanted[2:5], got[2:5], strict=True):
        assert a.shape == b.shape and (a - b).abs().max() <= TOLERANCE
    # Two patches of nearly the same error may swap their places among the chosen.
    same = wanted[5] == got[5]
    assert same.float().mean() >= 0.99
    same = F.interpolate(same.float(), scale_factor=4.0, mode="nearest").bool()[..., : src.shape[2], : src.shape[3]]
    for a, b in zip(wanted[:2], got[:2], strict=True):
        assert a.shape == b.shape and b.dtype == torch.float32
        assert ((a - b).abs() * same).max() <= TOLERANCE
    return got


@pytest.mark.parametrize("fixed", [False, True], ids=["counted", "fixed"])
@pytest.mark.parametrize("mode", ["sampling", "thresholding", "full"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_all_modes_answer_the_same(mode, kernel_size, fixed):
    model = network(refine_mode=mode, refine_kernel_size=kernel_size)
    ref = assert_same(model, *pair(2, 96, 128), fixed=fixed)[5]
    assert 0 < ref.mean() <= 1


@pytest.mark.parametrize("scale", [1 / 2, 1 / 4, 1 / 8, 0.3])
@pytest.mark.parametrize("size", [(96, 160), (92, 132), (61, 90), (33, 17), (5, 3), (1, 1)], ids=str)
def test_any_size_and_scale_answers_the_same(size, scale):
    for fixed in (False, True):
        assert_same(network(backbone_scale=scale), *pair(1, *size), fixed=fixed)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_answers_the_same(backbone):
    assert_same(network(backbone), *pair(1, 64, 96))


@pytest.mark.parametrize("kept", [1, 2, 8, 600])
def test_few_patches_and_many_are_refined_in_tiles_of_any_size(kept):
    assert assert_same(network(refine_sample_pixels=16 * kept), *pair(1, 96, 128))[5].sum() == kept


def test_where_nothing_is_to_be_refined_the_coarse_answer_stands():
    model = network()
    model.decoder.conv4.bias[4] -= 100
    for fixed in (False, True):
        assert not assert_same(model, *pair(2, 48, 64), fixed=fixed)[5].any()


def test_settings_are_those_of_the_model_now():
    model = network()
    fast = FastMatting(model)
    model.backbone_scale, model.refiner.sample_pixels = 0.5, 32
    _, _, pha_sm, _, _, ref_sm = fast(*pair(1, 64, 64))
    assert pha_sm.shape[2:] == (32, 32) and ref_sm.sum() == 2


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bfloat16_comes_near(backbone):
    model = network(backbone, refine_mode="thresholding", refine_threshold=0.0)
    src, bgr = pair(1, 64, 96)
    wanted, got = model(src, bgr), FastMatting(model, torch.bfloat16)(src, bgr)
    for a, b in zip(wanted, got, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("size", "margin", "ratio"), [(4, 6, 1), (16, 2, 1), (4, 0, 2), (8, 3, 2), (8, 3, 4), (8, 1, 8)]
)
def test_windows_are_those_cut_out_of_the_upsampled_map(size, margin, ratio):
    x = torch.rand(2, 5, 32, 48).contiguous(memory_format=torch.channels_last)
    whole = F.interpolate(x, scale_factor=float(ratio), mode="bilinear") if ratio > 1 else x
    cells = [torch.arange(n) for n in (2, whole.shape[2] // size, whole.shape[3] // size)]
    places = tuple(place.flatten() for place in torch.meshgrid(*cells, indexing="ij"))
    wanted = patches.crop(whole, places, size, margin)
    got = windows.enlarged(windows.onto(x), places, 32, 48, size=size, margin=margin, ratio=ratio)
    assert (wanted - got).abs().max() < 1e-6
    if ratio == 1:
        assert torch.equal(windows.plain(x, places, size=size, margin=margin), wanted)
