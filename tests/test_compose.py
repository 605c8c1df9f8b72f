import numpy as np
import pytest
import torch

from bgmv2.compose import blurred, over, parse_color, premultiply, to_uint8, to_uint16
from bgmv2.errors import BackdropError, Bgmv2Error


def test_over_mixes_by_alpha():
    fgr = torch.full((1, 3, 1, 3), 0.8)
    pha = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3)
    com = over(fgr, pha, torch.full((3, 1, 3), 0.2))
    torch.testing.assert_close(com, torch.tensor([0.2, 0.5, 0.8]).expand(1, 3, 1, 3))


def test_over_is_exact_where_nothing_is_mixed():
    fgr, backdrop = torch.rand(2, 3, 9, 9), torch.rand(2, 3, 9, 9)
    assert torch.equal(over(fgr, torch.zeros(2, 1, 9, 9), backdrop), backdrop)
    assert torch.equal(over(fgr, torch.ones(2, 1, 9, 9), backdrop), fgr)


@pytest.mark.parametrize("backdrop", [(3, 1, 1), (3, 4, 5), (2, 3, 4, 5), (1, 3, 4, 5)])
def test_over_takes_one_backdrop_for_a_batch(backdrop):
    fgr, pha, back = torch.rand(2, 3, 4, 5), torch.rand(2, 1, 4, 5), torch.rand(backdrop)
    torch.testing.assert_close(over(fgr, pha, back), fgr * pha + back * (1 - pha))


def test_over_of_a_premultiplied_foreground_is_the_same():
    fgr, pha, back = torch.rand(3, 4, 5), torch.rand(1, 4, 5), torch.rand(3, 4, 5)
    torch.testing.assert_close(premultiply(fgr, pha) + (1 - pha) * back, over(fgr, pha, back))


def test_layers_of_different_sizes_are_refused():
    fgr, pha = torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 4)
    for bad_pha in (torch.rand(1, 3, 4, 4), torch.rand(1, 1, 4, 5), torch.rand(1, 4, 4)):
        with pytest.raises(ValueError, match="alpha"):
            over(fgr, bad_pha, torch.rand(3, 4, 4))
        with pytest.raises(ValueError, match="alpha"):
            premultiply(fgr, bad_pha)
    for bad_back in (torch.rand(3), torch.rand(3, 5, 4), torch.rand(1, 4, 4), torch.rand(1, 1, 3, 4, 4)):
        with pytest.raises(ValueError, match="backdrop"):
            over(fgr, pha, bad_back)


@pytest.mark.parametrize(("convert", "top", "numpy_type"), [(to_uint8, 255, np.uint8), (to_uint16, 65535, np.uint16)])
def test_integers_come_back_from_floats(convert, top, numpy_type):
    codes = torch.arange(top + 1)
    integers = convert(codes / top).numpy()
    assert integers.dtype == numpy_type
    np.testing.assert_array_equal(integers, codes.numpy())


def test_integers_are_rounded_not_cut_off():
    assert to_uint8(torch.tensor([0.4 / 255, 0.6 / 255, 254.6 / 255])).tolist() == [0, 1, 255]
    assert to_uint16(torch.tensor([0.6 / 65535, 65534.6 / 65535], dtype=torch.float64)).numpy().tolist() == [1, 65535]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_integers_are_clamped_in_every_precision(dtype):
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=dtype)
    assert to_uint8(x).tolist() == [0, 0, 255, 255]
    assert to_uint16(x).numpy().tolist() == [0, 0, 65535, 65535]


@pytest.mark.parametrize(
    ("text", "rgb"),
    [
        ("#00b140", (0, 177, 64)),
        ("#0b4", (0, 187, 68)),
        (" #FF00ff ", (255, 0, 255)),
        ("magenta", (255, 0, 255)),
        ("Black", (0, 0, 0)),
        ("lime", (0, 255, 0)),
        ("rebeccapurple", (102, 51, 153)),
        ("green", (0, 177, 64)),  # to be keyed, so not CSS's dark (0, 128, 0)
    ],
)
def test_colors_are_read(text, rgb):
    color = parse_color(text)
    assert color.shape == (3,) and color.dtype == torch.float32
    assert to_uint8(color).tolist() == list(rgb)


@pytest.mark.parametrize("text", ["", "#", "#12345", "#gggggg", "#00b14080", "gren", "rgb(300, 0, 0)", "beach.jpg"])
def test_what_is_no_color_is_refused_in_one_line(text):
    with pytest.raises(BackdropError, match="is no colour") as caught:
        parse_color(text)
    assert isinstance(caught.value, Bgmv2Error)
    assert repr(text)[1:-1] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 48, 64), (2, 3, 48, 64), (3, 37, 53), (3, 1, 1), (3, 5, 200)])
@pytest.mark.parametrize("strength", [0.0, 0.01, 0.1, 0.5])
def test_a_blur_keeps_the_shape_and_an_even_picture(shape, strength):
    even = torch.full(shape, 0.25)
    torch.testing.assert_close(blurred(even, strength=strength), even)


@pytest.mark.parametrize(("size", "strength"), [(101, 0.02), (201, 0.05), (301, 0.05)])
def test_a_blur_spreads_a_point_as_wide_as_its_strength(size, strength):
    point = torch.zeros(3, size, size)
    point[:, size // 2, size // 2] = 1
    spread = blurred(point, strength=strength)[0].double()
    assert spread.sum().item() == pytest.approx(1, abs=0.02)
    place = torch.arange(size) - size // 2
    for marginal in (spread.sum(0), spread.sum(1)):
        variance = (marginal * place**2).sum() / marginal.sum() - ((marginal * place).sum() / marginal.sum()) ** 2
        assert variance.sqrt().item() == pytest.approx(strength * size, rel=0.05)


def test_a_blur_on_fewer_pixels_is_nearly_that_on_all():
    picture = torch.rand(3, 120, 160, generator=torch.Generator().manual_seed(0))
    picture[:, :, 80:] *= 0.2
    sigma, reach = 12.0, 36
    weights = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = weights / weights.sum()
    padded = torch.nn.functional.pad(picture[None], [reach] * 4, mode="replicate")
    expected = padded.unfold(2, 2 * reach + 1, 1).matmul(weights).unfold(3, 2 * reach + 1, 1).matmul(weights)[0]
    inside = (..., slice(reach, -reach), slice(reach, -reach))  # how a noisy edge is continued is a matter of taste
    assert (blurred(picture, strength=0.1) - expected)[inside].abs().max() < 0.01


def test_a_blur_without_strength_changes_nothing():
    picture = torch.rand(3, 20, 30)
    assert torch.equal(blurred(picture, strength=0), picture)


def test_a_blur_of_what_is_no_plate_is_refused():
    with pytest.raises(ValueError, match="plate"):
        blurred(torch.rand(1, 20, 30))
    with pytest.raises(ValueError, match="strength"):
        blurred(torch.rand(3, 20, 30), strength=-0.1)
