"""What holds of the network whatever its weights are; `test_parity.py` holds it to the published numbers."""

import functools
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bgmv2.config import ModelConfig
from bgmv2.nn.matting import MattingBase, MattingRefine, to_unit

from .conftest import enliven

MODES = ("sampling", "thresholding", "full")
SIZES = [(37, 53), (1, 40), (40, 1), (1, 1), (5, 3), (3, 5), (32, 48)]
TOLERANCE = 1e-4


@functools.cache
def weights(backbone, kernel_size=3):
    """Weights that leave no map flat: normalised as if trained, alpha and error spread around 1/2."""
    torch.manual_seed(1)
    model = MattingRefine(ModelConfig(backbone, 0.5, "full", refine_kernel_size=kernel_size))
    enliven(model, *pair(2, 64, 64))
    return model.state_dict()


def network(mode="sampling", *, scale=0.25, kernel_size=3, backbone="mobilenetv2", pixels=640, threshold=0.5):
    config = ModelConfig(backbone, scale, mode, pixels, threshold, kernel_size)
    model = MattingRefine(config).eval()
    model.load_state_dict(weights(backbone, kernel_size))
    return model


def pair(batch, height, width, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, height, width, generator=g), torch.rand(batch, 3, height, width, generator=g)


@pytest.fixture(autouse=True)
def _small_and_plain():
    """No gradients, and one thread: pictures as small as these only wait for further ones."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(threads)


def far(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("scale", [1 / 2, 1 / 4, 0.3])
def test_full_is_thresholding_with_every_patch_chosen(kernel_size, scale):
    src, bgr = pair(2, 61, 90)
    full = network("full", scale=scale, kernel_size=kernel_size)
    every = network("thresholding", scale=scale, kernel_size=kernel_size, threshold=0.0)
    full.decoder.conv4.bias[4] += 10  # so that no error is 0, which is not above the threshold
    every.decoder.conv4.bias[4] += 10
    *expected, expected_ref = full(src, bgr)
    *got, ref = every(src, bgr)
    assert ref.eq(1).all() and expected_ref.eq(1).all()
    for a, b in zip(got, expected, strict=True):
        assert far(a, b) <= TOLERANCE


def test_sampling_every_pixel_is_full():
    src, bgr = pair(1, 40, 52)
    sampling, full = network("sampling", pixels=40 * 52), network("full")
    sampling.decoder.conv4.bias[4] += 10
    full.decoder.conv4.bias[4] += 10
    for a, b in zip(sampling(src, bgr), full(src, bgr), strict=True):
        assert far(a, b) <= TOLERANCE


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_chosen_patches_are_those_of_full_and_the_others_those_of_the_coarse_network(kernel_size):
    src, bgr = pair(1, 48, 64)
    pha, fgr, pha_sm, _, _, ref = network("sampling", kernel_size=kernel_size)(src, bgr)
    full_pha, full_fgr, *_ = network("full", kernel_size=kernel_size)(src, bgr)
    assert ref.sum() == 640 / 16
    fine = F.interpolate(ref, scale_factor=4.0, mode="nearest").bool()
    coarse_pha = F.interpolate(pha_sm, size=(48, 64), mode="bilinear", align_corners=False)
    assert far(pha[fine], full_pha[fine]) <= TOLERANCE
    assert far(fgr.masked_fill(~fine, 0), full_fgr.masked_fill(~fine, 0)) <= TOLERANCE
    assert far(pha[~fine], coarse_pha[~fine]) <= TOLERANCE
    assert far(full_pha[~fine], coarse_pha[~fine]) > 0.1  # else nothing was shown


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_its_pictures_one_by_one(mode):
    model = network(mode)
    src, bgr = pair(3, 45, 62)
    src[1] *= 0.2
    together = model(src, bgr)
    for i in range(3):
        for a, b in zip(together, model(src[i : i + 1], bgr[i : i + 1]), strict=True):
            assert far(a[i : i + 1], b) <= TOLERANCE


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("scale", [1 / 2, 1 / 4, 1 / 8, 0.3])
def test_any_size_goes_through(mode, kernel_size, scale):
    model = network(mode, scale=scale, kernel_size=kernel_size)
    for height, width in SIZES:
        src, bgr = pair(2, height, width)
        outputs = model(src, bgr)
        pha, fgr, pha_sm, fgr_sm, err_sm, ref_sm = outputs
        assert pha.shape == (2, 1, height, width)
        assert fgr.shape == (2, 3, height, width)
        assert ref_sm.shape == (2, 1, -(-height // 4), -(-width // 4))
        h, w = (max(1, int(-(-side // 4) * 4 * scale)) for side in (height, width))
        assert pha_sm.shape == err_sm.shape == (2, 1, h, w)
        assert fgr_sm.shape == (2, 3, h, w)
        for x in outputs:
            assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_an_odd_size_is_padded_with_its_edge_and_cropped(mode):
    model = network(mode)
    src, bgr = pair(1, 37, 53)
    pha, fgr, *rest = model(src, bgr)
    pad = [0, 3, 0, 3]
    pha_padded, fgr_padded, *rest_padded = model(F.pad(src, pad, mode="replicate"), F.pad(bgr, pad, mode="replicate"))
    assert torch.equal(pha, pha_padded[..., :37, :53])
    assert torch.equal(fgr, fgr_padded[..., :37, :53])
    for a, b in zip(rest, rest_padded, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", SIZES)
def test_the_base_network_keeps_any_size(size):
    model = MattingBase(ModelConfig()).eval()
    model.load_state_dict({k: v for k, v in weights("mobilenetv2").items() if not k.startswith("refiner.")})
    pha, fgr, err, hid = model(*pair(2, *size))
    assert pha.shape == err.shape == (2, 1, *size)
    assert fgr.shape == (2, 3, *size)
    assert hid.shape == (2, 32, *size)
    for x in (pha, fgr, err):
        assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1
    assert hid.isfinite().all() and hid.min() >= 0


@pytest.mark.parametrize("mode", MODES)
def test_black_pictures_go_through(mode):
    for x in network(mode)(torch.zeros(1, 3, 36, 44), torch.zeros(1, 3, 36, 44)):
        assert x.isfinite().all() and x.min() >= 0 and x.max() <= 1


@pytest.mark.parametrize("mode", ["sampling", "thresholding"])
def test_without_any_error_the_coarse_result_stands(mode):
    model = network(mode, pixels=10**6, threshold=0.0)
    model.decoder.conv4.bias[4] -= 100
    src, bgr = pair(1, 32, 48)
    pha, fgr, pha_sm, _, err_sm, ref_sm = model(src, bgr)
    assert not err_sm.any() and not ref_sm.any()
    assert torch.equal(pha, F.interpolate(pha_sm, size=(32, 48), mode="bilinear", align_corners=False))
    assert torch.isfinite(fgr).all()


def test_the_coarse_outputs_are_the_base_network_on_the_small_pictures():
    model = network("sampling", scale=0.25)
    src, bgr = pair(1, 64, 96)
    _, _, pha_sm, fgr_sm, err_sm, _ = model(src, bgr)
    base = MattingBase(model.config).eval()
    base.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("refiner.")})
    small = [F.interpolate(x, size=(16, 24), mode="bilinear", align_corners=False) for x in (src, bgr)]
    pha, fgr, err, _ = base(*small)
    assert torch.equal(pha, pha_sm) and torch.equal(fgr, fgr_sm) and torch.equal(err, err_sm)


@pytest.mark.parametrize("size", [(60, 120), (64, 100)], ids=["divides", "does not"])
@pytest.mark.parametrize("scale", [1 / 3, 0.333333, 1 / 5])
def test_a_thin_line_is_seen_by_the_base_network_wherever_it_runs(scale, size):
    model, step = network(scale=scale), round(1 / scale)
    sums = []
    for column in range(20, 20 + step):
        src = torch.zeros(1, 3, *size)
        src[..., column] = 1
        sums.append(model.reduced(src)[0, 0].sum(dim=1).mean())
    assert min(sums) > 0.8 / step and max(sums) < 1.2 / step


def test_other_scales_are_bilinear_alone():
    src, _ = pair(1, 64, 96)
    for scale, size in ((1 / 4, (16, 24)), (1 / 2, (32, 48)), (0.35, (22, 33))):
        wanted = F.interpolate(src, size=size, mode="bilinear", align_corners=False)
        assert torch.equal(network(scale=scale).reduced(src), wanted)


@torch.inference_mode(False)
def test_an_alpha_beyond_its_range_still_learns():
    x = torch.tensor([-0.3, 0.5, 1.4], requires_grad=True)
    cut = to_unit(x, True)
    assert torch.equal(cut, x.clamp(0, 1)) and torch.equal(to_unit(x, False), cut)
    (cut - torch.tensor([0.2, 0.2, 1.0])).abs().sum().backward()
    assert x.grad.tolist() == [-1, 1, 0]

    model = network().train()
    nn.init.zeros_(model.decoder.conv4.weight)
    with torch.no_grad():
        model.decoder.conv4.bias.fill_(-0.5)  # far below what alpha can be
    MattingBase.forward(model, *pair(2, 32, 32))[0].sum().backward()
    assert model.decoder.conv4.bias.grad[0] > 0


@pytest.mark.parametrize("mode", MODES)
def test_the_inputs_are_left_as_they_are(mode):
    src, bgr = pair(1, 37, 53)
    before = src.clone(), bgr.clone()
    network(mode)(src, bgr)
    assert torch.equal(src, before[0]) and torch.equal(bgr, before[1])


@pytest.mark.parametrize(
    ("src", "bgr"),
    [
        ((3, 8, 8), (3, 8, 8)),
        ((1, 4, 8, 8), (1, 4, 8, 8)),
        ((1, 3, 8, 8), (1, 3, 8, 12)),
        ((2, 3, 8, 8), (1, 3, 8, 8)),
        ((1, 3, 0, 8), (1, 3, 0, 8)),
    ],
)
@pytest.mark.parametrize("build", [MattingBase, MattingRefine])
def test_wrong_shapes_are_refused(build, src, bgr):
    with torch.device("meta"):
        model = build(ModelConfig()).eval()
        with pytest.raises(ValueError, match="a frame is|have one shape"):
            model(torch.empty(src), torch.empty(bgr))


def scripted(model):
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", message=".*torch.jit.script", category=category)
        return torch.jit.script(model)


# Once to profile, once specialised, and once on what that was not made for.
def assert_script_is_eager(model, sizes=((40, 56), (40, 56), (37, 53))):
    script = scripted(model)
    for size in sizes:
        src, bgr = pair(1, *size)
        for a, b in zip(script(src, bgr), model(src, bgr), strict=True):
            assert a.shape == b.shape
            assert far(a, b) <= TOLERANCE


@pytest.mark.parametrize("mode", MODES)
def test_torchscript_of_the_refining_network_computes_the_same(mode):
    assert_script_is_eager(network(mode))


def test_torchscript_on_resnet50_computes_the_same():
    assert_script_is_eager(network("sampling", backbone="resnet50"), sizes=[(37, 53)])


@pytest.mark.parametrize("backbone", ["mobilenetv2", "resnet50"])
def test_torchscript_of_the_base_network_computes_the_same(backbone):
    model = MattingBase(ModelConfig(backbone)).eval()
    model.load_state_dict({k: v for k, v in weights(backbone).items() if not k.startswith("refiner.")})
    assert_script_is_eager(model, sizes=[(37, 53)])


def test_torchscript_on_resnet101_gives_the_same_shapes():
    with torch.device("meta"):
        model = MattingRefine(ModelConfig("resnet101", refine_mode="full")).eval()
        src, bgr = torch.empty(1, 3, 33, 47), torch.empty(1, 3, 33, 47)
        for a, b in zip(scripted(model)(src, bgr), model(src, bgr), strict=True):
            assert a.shape == b.shape
