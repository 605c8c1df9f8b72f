"""`FastMatting` answers what `MattingRefine` answers."""

import copy
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from bgmv2.config import ModelConfig
from bgmv2.nn import patches, region, windows
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.fast import FastMatting
from bgmv2.nn.graphs import GraphedMatting
from bgmv2.nn.matting import MattingRefine

from .conftest import network, pair

TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.inference_mode():
        yield


def assert_same(model, src, bgr, *, plain=False, **choices):
    """Compare answers; `plain` lets the refiner be the one that devices without CUDA have."""
    before = src.clone(), bgr.clone()
    fast = FastMatting(model, **choices)
    fast._plain = plain
    wanted, got = model(src, bgr), fast(src, bgr)
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


@pytest.mark.parametrize("plain", [False, True], ids=["quick", "plain"])
@pytest.mark.parametrize("fixed", [False, True], ids=["counted", "fixed"])
def test_what_lies_below_the_floor_is_left(fixed, plain):
    model = network(refine_sample_pixels=96 * 128)
    errors = F.interpolate(model(*pair(1, 96, 128))[4], size=(24, 32), mode="bilinear")
    model.refiner.floor = float(errors.median())
    ref = assert_same(model, *pair(1, 96, 128), plain=plain, fixed=fixed)[5]
    assert 0.3 < ref.mean() < 0.7


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 0.333333, 0.3333, 1 / 4, 1 / 5, 1 / 6, 1 / 8, 0.3])
@pytest.mark.parametrize("size", [(96, 160), (96, 144), (92, 132), (61, 90), (33, 17), (5, 3), (1, 1)], ids=str)
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
    plain = copy.deepcopy(model).bfloat16()(src.bfloat16(), bgr.bfloat16())
    # Deep networks whose weights nobody trained lose more, but the plain network loses as much.
    lost = max((a - b).abs().mean() for a, b in zip(wanted, plain, strict=True))
    for a, b in zip(wanted, got, strict=True):
        assert b.dtype == torch.float32
        assert (a - b).abs().mean() < (0.02 if backbone == "mobilenetv2" else lost)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4])
def test_a_fixed_number_of_patches_asks_a_device_for_no_value(scale):
    """Tensors of the device *meta* have none: whoever asked for one would have made a GPU wait."""
    with torch.device("meta"):
        model = MattingRefine(ModelConfig("mobilenetv2", scale, "sampling", 640)).eval()
        src = torch.empty(2, 3, 96, 144)
    answers = {}
    for fixed in (True, False):
        answers[fixed] = FastMatting(model, torch.float16, fixed=fixed)
        answers[fixed]._plain = False  # as on CUDA
    assert answers[True](src, src)[0].shape == (2, 1, 96, 144)
    with pytest.raises(NotImplementedError, match="nonzero"):
        answers[False](src, src)


@pytest.mark.parametrize(
    ("size", "margin", "ratio"),
    [
        *((4, 6, 1), (16, 2, 1), (4, 0, 2), (8, 3, 2), (8, 3, 4), (8, 1, 8)),
        *((6, 3, Fraction(3, 2)), (12, 0, Fraction(3, 2)), (6, 3, 3), (10, 3, Fraction(5, 2)), (10, 2, Fraction(5, 4))),
    ],
)
def test_windows_are_those_cut_out_of_the_upsampled_map(size, margin, ratio):
    x = torch.rand(2, 5, 32, 48).contiguous(memory_format=torch.channels_last)
    whole = F.interpolate(x, scale_factor=float(ratio), mode="bilinear") if ratio > 1 else x
    cells = [torch.arange(n) for n in (2, whole.shape[2] // size, whole.shape[3] // size)]
    places = tuple(place.flatten() for place in torch.meshgrid(*cells, indexing="ij"))
    wanted = patches.crop(whole, places, size, margin)
    got = windows.enlarged(windows.onto(x), places, 32, 48, size=size, margin=margin, ratio=ratio)
    assert (wanted - got).abs().max() < 1e-5  # rounding of places in the whole map
    if ratio == 1:
        assert torch.equal(windows.plain(x, places, size=size, margin=margin), wanted)


def before(bgr, subject, top, left):
    """A subject ``(3, h, w)`` before plates."""
    src = bgr.clone()
    src[:, :, top : top + subject.shape[1], left : left + subject.shape[2]] = subject
    return src


def room(height=400, width=560):
    """Smooth, as a coarse picture of a room is."""
    small = torch.rand(1, 3, 9, 13, generator=torch.Generator().manual_seed(1))
    return F.interpolate(small, size=(height, width), mode="bicubic").clamp(0.1, 0.9)


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: 1 - x, id="another colour"),
        pytest.param(lambda x: x + 0.03, id="faint"),
        pytest.param(lambda x: x.mean() + 0.2 * torch.randn(x.shape), id="the room's mean colour"),
    ],
)
def test_the_region_holds_a_subject_and_no_noise(change, noise):
    torch.manual_seed(0)
    bgr = room()
    src = before(bgr, change(bgr[0, :, 200:240, 320:350]), 200, 320)
    found = region.differing((src + noise * torch.randn(src.shape)).clamp(0, 1), bgr)
    assert found.top <= 200 - region.MARGIN // 2 and found.bottom >= 240 + region.MARGIN // 2
    assert found.left <= 320 - region.MARGIN // 2 and found.right >= 350 + region.MARGIN // 2
    assert (found.bottom - found.top) * (found.right - found.left) < 400 * 560 / 2
    assert all(edge % region.STRIDE == 0 for edge in found)


@pytest.mark.parametrize(
    "change", [lambda x: x * 1.1, lambda x: x.roll(40, dims=3), lambda x: x, lambda x: x + 0.1 * torch.randn(x.shape)]
)
def test_in_doubt_the_region_is_the_whole(change):
    torch.manual_seed(0)
    bgr = room()
    assert region.differing(change(bgr).clamp(0, 1), bgr) == region.whole(bgr)


@pytest.mark.parametrize(("parts", "size"), [(4, (640, 896)), (3, (576, 768))])
def test_followed_work_is_that_on_the_region_alone(parts, size):
    """Alpha is 0 elsewhere, the foreground is the frame, and the answers are those for the region cut out."""
    model = network(refine_sample_pixels=10**6, backbone_scale=1 / parts)
    model.refiner.conv4.weight *= 0.02  # no alpha is cut to 0 or 1 here
    bgr = room(*size)
    src = before(bgr, 1 - bgr[0, :, 400:480, 520:600], 400, 520)
    sm = [model.reduced(x) for x in (src, bgr)]
    found = region.differing(*sm)
    assert found != region.whole(sm[0])
    pha, fgr, pha_sm, _, err_sm, ref_sm = FastMatting(model, follow=True)(src, bgr)
    near = region.Region(*(parts * edge for edge in found))
    alone = FastMatting(model)(near.of(src), near.of(bgr))
    assert (found.of(pha_sm) - alone[2]).abs().max() < TOLERANCE
    inner = torch.zeros_like(pha, dtype=torch.bool)
    near.of(inner)[:, :, 16:-16, 16:-16] = True
    wanted = torch.zeros_like(pha)
    near.of(wanted).copy_(alone[0])
    assert ((pha - wanted).abs() * inner).max() < TOLERANCE and pha[inner].std() > 0.001
    outer = torch.ones_like(pha)
    near.of(outer).zero_()
    outer = -F.max_pool2d(-outer, 17, 1, 8)
    assert not (pha * outer).any() and not ((fgr - src) * outer).any()
    refined = region.Region(*(edge // patches.PATCH for edge in near)).of(ref_sm)
    assert err_sm.shape == pha_sm.shape and refined.sum() > 0.9 * ref_sm.sum()


def test_a_region_that_would_end_within_a_pixel_is_not_followed():
    model = network(refine_sample_pixels=10**6, backbone_scale=3 / 8)
    bgr = room(640, 896)
    src = before(bgr, 1 - bgr[0, :, 400:480, 520:600], 400, 520)
    assert region.differing(model.reduced(src), model.reduced(bgr)) != region.whole(model.reduced(src))
    for a, b in zip(FastMatting(model, follow=True)(src, bgr), FastMatting(model)(src, bgr), strict=True):
        assert torch.equal(a, b)


@pytest.mark.needs_cuda
@pytest.mark.parametrize("mode", ["sampling", "thresholding", "full"])
def test_a_graph_answers_the_same_for_each_frame(mode):
    model = network(refine_mode=mode).cuda()
    fast = FastMatting(model)
    graphed = GraphedMatting(fast)
    src, bgr = (x.cuda() for x in pair(1, 96, 128))
    first = graphed(src, bgr)
    kept = [x.clone() for x in first]
    for given in ((bgr, src), (src, bgr), (src[..., :64], bgr[..., :64])):
        for a, b in zip(graphed(*given), fast(*given), strict=True):
            assert (a - b).abs().max() < 0.01
    for a, b in zip(first, kept, strict=True):
        assert torch.equal(a, b)


@pytest.mark.needs_cuda
def test_cuda_answers_as_the_cpu_does():
    src, bgr = pair(1, 96, 128)
    model = network()
    wanted = model(src, bgr)
    got = FastMatting(model.cuda(), torch.float16)(src.cuda(), bgr.cuda())
    for a, b in zip(wanted[:5], got, strict=False):
        assert (a - b.cpu()).abs().mean() < 0.02
