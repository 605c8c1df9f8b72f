import cv2
import numpy as np
import pytest
import torch

from bgmv2.compose import (
    blurred,
    despill,
    from_integers,
    over,
    overrule,
    parse_color,
    premultiply,
    shade,
    to_uint8,
    to_uint16,
)
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


def test_light_mixes_brighter_than_code_values():
    """Half white over black is half the light, which sRGB codes as 188, and near black the curve is a line."""
    white, half = torch.ones(3, 1, 1), torch.full((1, 1, 1), 0.5)
    assert to_uint8(over(white, half, torch.zeros(3, 1, 1), blend="linear")).flatten().tolist() == [188] * 3
    assert to_uint8(over(white, half, torch.zeros(3, 1, 1), blend="video")).flatten().tolist() == [128] * 3
    dark = over(white * 0.04, half, torch.zeros(3, 1, 1), blend="linear")
    torch.testing.assert_close(dark, torch.full((3, 1, 1), 0.02))


def test_light_is_mixed_as_the_standard_says():
    generator = torch.Generator().manual_seed(0)
    fgr, pha, back = (torch.rand(size, generator=generator) for size in ((2, 3, 9, 9), (2, 1, 9, 9), (3, 9, 9)))

    def light(x):
        return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)

    mixed = light(fgr.double().numpy()) * pha.numpy() + light(back.double().numpy()) * (1 - pha.numpy())
    coded = np.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(over(fgr, pha, back, blend="linear").numpy(), coded, atol=1e-5)
    torch.testing.assert_close(over(fgr, torch.zeros(2, 1, 9, 9), back, blend="linear"), back.expand(2, 3, 9, 9))
    torch.testing.assert_close(over(fgr, torch.ones(2, 1, 9, 9), back, blend="linear"), fgr)


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


def test_mattes_overrule_alpha():
    pha = torch.tensor([0.0, 0.4, 1.0, 0.0, 0.4, 1.0, 0.0, 0.4, 1.0]).view(1, 1, 3, 3)
    garbage = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]).view(1, 1, 3, 3)
    fgr, src = torch.full((1, 3, 3, 3), 0.2), torch.full((1, 3, 3, 3), 0.8)
    cut, same = overrule(pha, fgr, src, garbage=garbage)
    assert cut.flatten().tolist() == pytest.approx([0, 0.4, 1, 0, 0.2, 0.5, 0, 0, 0])
    assert torch.equal(same, fgr)
    for holdout in (0.0, 0.3, 0.7, 1.0):
        kept, _ = overrule(pha, fgr, src, garbage=garbage, holdout=torch.full_like(pha, holdout))
        torch.testing.assert_close(kept, cut.clamp(min=holdout))  # the last word
    assert overrule(pha, fgr, src) == (pha, fgr)


def test_what_is_held_is_the_frame_itself():
    """Where alpha becomes 1 or was 0 the frame is the foreground; where it stays, nothing changes; no step between."""
    pha = torch.linspace(0, 1, 101).view(1, 1, 1, 101)
    fgr, src = torch.full((1, 3, 1, 101), 0.2), torch.full((1, 3, 1, 101), 0.8)
    held, colours = overrule(pha, fgr, src, holdout=torch.ones_like(pha))
    assert (held == 1).all() and torch.equal(colours[..., :-1], src[..., :-1])
    half, colours = overrule(pha, fgr, src, holdout=torch.full_like(pha, 0.5))
    assert (half >= 0.5).all()
    assert torch.equal(colours[..., 0], src[..., 0]) and torch.equal(colours[..., 50:], fgr[..., 50:])
    steps = colours[0, 0, 0].diff()
    assert (steps <= 0).all() and steps.abs().max() < 0.03


def test_mattes_of_another_size_are_refused():
    with pytest.raises(ValueError, match="alpha"):
        overrule(torch.rand(1, 1, 4, 5), torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 4))


SIZE = 240, 320


def a_room(seed=0):
    """A wall and things on it, ``(3, H, W)`` in 0.15..0.9."""
    generator = np.random.default_rng(seed)
    room = cv2.resize(generator.uniform(0.45, 0.9, (4, 5, 3)).astype(np.float32), SIZE[::-1])
    for _ in range(14):
        x, y = generator.integers(0, (SIZE[1] - 40, SIZE[0] - 40))
        cv2.rectangle(room, (int(x), int(y)), (int(x) + 36, int(y) + 24), generator.uniform(0.15, 0.9, 3).tolist(), -1)
    return torch.from_numpy(cv2.GaussianBlur(room, (0, 0), 0.7)).permute(2, 0, 1)


def a_disc(x, y, radius, softness):
    """``(1, H, W)``, 1 inside."""
    disc = cv2.circle(np.zeros(SIZE, np.float32), (x, y), radius, 1.0, -1, cv2.LINE_AA)
    return torch.from_numpy(cv2.GaussianBlur(disc, (0, 0), softness))[None]


def filmed(picture, seed, noise=0.012):
    """``(1, 3, H, W)`` with a sensor's noise, in 8 bits."""
    noisy = picture + noise * torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
    return to_uint8(noisy)[None] / 255


PHA = a_disc(150, 120, 50, 2.0)
BLACK = torch.full((3, *SIZE), 0.05)


@pytest.mark.parametrize("softness", [1.0, 6.0, 20.0])
@pytest.mark.parametrize("depth", [0.25, 0.6])
def test_a_shadow_is_found_as_it_fell(softness, depth):
    room, true = a_room(), 1 - depth * a_disc(200, 140, 60, softness)
    src = filmed(PHA * BLACK + (1 - PHA) * room * true, 1)
    found = shade(src, filmed(room, 2), PHA[None])
    assert found.shape == (1, 1, *SIZE) and found.min() >= 0 and found.max() <= 1
    error, seen = (found[0] - true).abs(), 1 - PHA
    darkness = ((1 - true) * seen).sum() / seen.sum()
    assert (error * seen).sum() / seen.sum() < min(0.005, darkness / 8)
    # At the subject's soft edge the shadow goes on, and the black subject is no part of it.
    edge = (PHA > 0.02) & (PHA < 0.7)
    assert error[edge].mean() < 0.025


def test_where_no_shadow_fell_nothing_darkens():
    room = a_room()
    for subject in (0.0, 0.5, 1.0):
        src = filmed(PHA * subject + (1 - PHA) * room, 1)
        found = shade(src, filmed(room, 2), PHA[None])
        assert found.min() > 0.99 and (found == 1).float().mean() > 0.99


@pytest.mark.parametrize(
    "change",
    [
        lambda room: room * 1.1,  # more light is no shadow
        lambda room: room - 0.008,  # exposure is never matched to the last code value
        lambda room: (room + torch.roll(room, 1, 2)) / 2,  # nor alignment to the last part of a pixel
    ],
)
def test_what_differs_for_other_reasons_is_no_shadow(change):
    room = a_room()
    src = filmed(PHA * BLACK + (1 - PHA) * change(room), 1)
    found = shade(src, filmed(room, 2), PHA[None])
    assert found.min() > 0.96 and found.mean() > 0.9995


def test_a_thing_of_another_colour_is_no_shadow():
    room, disc = a_room(), a_disc(60, 60, 30, 1)
    red = room * (1 - disc * torch.tensor([0.0, 0.7, 0.7]).view(3, 1, 1))
    inside = disc[None] > 0.5
    assert shade(filmed(red, 1), filmed(room, 2), torch.zeros(1, 1, *SIZE))[inside].mean() > 0.95
    grey = shade(filmed(room * (1 - 0.55 * disc), 1), filmed(room, 2), torch.zeros(1, 1, *SIZE))
    assert grey[inside].mean() < 0.5  # as dark, but grey: this one nobody can tell


def test_noise_does_not_make_a_shadow_flicker():
    room, true = a_room(), 1 - 0.4 * a_disc(200, 140, 60, 10)
    scene, plate = PHA * BLACK + (1 - PHA) * room * true, filmed(room, 99)
    frames = torch.cat([shade(filmed(scene, seed), plate, PHA[None]) for seed in range(6)])
    assert (frames.std(dim=0) * (1 - PHA)).mean() < 0.002
    assert frames.mean(dim=(1, 2, 3)).std() < 0.0003  # no pumping of the whole


def test_what_the_plate_never_saw_is_no_shadow():
    room, covered = a_room(), torch.ones(1, 1, *SIZE)
    src = filmed(room, 1)
    covered[..., :80] = 0
    src[..., :80] *= 0.5
    assert shade(src, filmed(room, 2), torch.zeros(1, 1, *SIZE)).min() < 0.6
    assert shade(src, filmed(room, 2), torch.zeros(1, 1, *SIZE), covered=covered).min() > 0.99


def test_leaves_that_move_are_no_shadow():
    generator = np.random.default_rng(5)
    leaves = cv2.GaussianBlur(generator.uniform(0, 1, SIZE).astype(np.float32), (0, 0), 2)
    leaves = 0.4 + 3 * (leaves - leaves.mean())
    green = torch.from_numpy(np.float32([0.8, 1, 0.6])[:, None, None] * leaves.clip(0.05, 0.95))
    moved = torch.roll(green, (3, 4), dims=(1, 2))
    assert shade(filmed(moved, 1), filmed(green, 2), torch.zeros(1, 1, *SIZE)).mean() > 0.94
    dark = a_disc(160, 120, 60, 4.0)
    found = shade(filmed(green * (1 - 0.5 * dark), 1), filmed(green, 2), torch.zeros(1, 1, *SIZE))
    assert found[0, 0, 100:140, 140:180].mean() < 0.6


def test_a_hard_edge_stays_hard():
    wall, dark = torch.full((3, *SIZE), 0.7), (torch.arange(SIZE[1]) < 160).float().expand(1, *SIZE)
    found = shade(filmed(wall * (1 - 0.5 * dark), 1), filmed(wall, 2), torch.zeros(1, 1, *SIZE))[0, 0].mean(dim=0)
    assert (found < 0.55)[:157].all() and (found > 0.95)[164:].all()


def test_a_little_less_light_in_the_dark_is_no_shadow():
    night = torch.full((3, *SIZE), 0.04)
    assert shade(filmed(night - 0.005, 1, 0.004), filmed(night, 2, 0.004), torch.zeros(1, 1, *SIZE)).mean() > 0.995


def test_each_picture_of_a_batch_has_its_own_shadow():
    room = filmed(a_room(), 2)
    src = torch.cat([room, room * 0.5])
    found = shade(src, room.expand(2, -1, -1, -1), torch.zeros(2, 1, *SIZE))
    assert found[0].min() > 0.99 and found[1].max() < 0.52


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 48), (37, 301)])
@pytest.mark.parametrize("subject", [0.0, 1.0])
def test_a_shadow_is_sought_in_any_size(size, subject):
    room = torch.full((1, 3, *size), 0.7)
    found = shade(room * 0.6, room, torch.full((1, 1, *size), subject))
    # Where all is subject nobody knows, and nothing is shown.
    torch.testing.assert_close(found, torch.full((1, 1, *size), 1.0 if subject else 0.6))


def test_a_black_plate_holds_no_shadow():
    black = torch.zeros(1, 3, 48, 64)
    assert (shade(black, black, torch.zeros(1, 1, 48, 64)) == 1).all()


def test_pictures_of_different_sizes_have_no_shadow_in_common():
    for bgr, pha in (((1, 3, 8, 9), (1, 1, 8, 8)), ((1, 3, 8, 8), (1, 1, 8, 9)), ((3, 8, 8), (1, 1, 8, 8))):
        with pytest.raises(ValueError, match="are|alpha"):
            shade(torch.rand(1, 3, 8, 8), torch.rand(bgr), torch.rand(pha))


@pytest.mark.parametrize("color", [(0.1, 0.1, 0.1), (0.8, 0.2, 0.2), (0.9, 0.9, 0.9)])
def test_the_plate_s_colours_are_taken_out_of_soft_edges(color):
    """A foreground that is the frame itself, spill and all, comes near to the subject's true colours."""
    room, pha = a_room(), a_disc(150, 120, 50, 1.5)[None]
    bgr = filmed(room, 2)
    true = torch.tensor(color).view(3, 1, 1).expand(3, *SIZE)[None]
    src = filmed((pha * true + (1 - pha) * room)[0], 1)
    clean = despill(src, pha, src, bgr)
    assert clean.min() >= 0 and clean.max() <= 1
    rim = ((pha > 0.1) & (pha < 0.9)).expand_as(true)
    before, after = (src - true).abs()[rim].mean(), (clean - true).abs()[rim].mean()
    assert after < before / 5 and after < 0.03
    half = despill(src, pha, src, bgr, strength=0.5)
    torch.testing.assert_close(half, (src + clean) / 2)
    assert torch.equal(despill(src, pha, src, bgr, strength=0), src)


def test_where_all_is_subject_its_colours_are_the_frame_s():
    src, bgr = (torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    torch.testing.assert_close(despill(src * 0.9, torch.ones(1, 1, 40, 50), src, bgr), src)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (37, 301)])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_colours_are_cleaned_in_any_size(size, alpha):
    fgr, pha = torch.full((2, 3, *size), 0.5), torch.full((2, 1, *size), alpha)
    clean = despill(fgr, pha, fgr, fgr)
    assert clean.shape == fgr.shape and clean.isfinite().all()


def test_pictures_of_different_sizes_are_not_cleaned():
    with pytest.raises(ValueError, match="alike"):
        despill(torch.rand(1, 3, 8, 8), torch.rand(1, 1, 8, 8), torch.rand(1, 3, 8, 9), torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize(("dtype", "back"), [(np.uint8, to_uint8), (np.uint16, to_uint16)])
def test_integers_become_floats_and_come_back(dtype, back):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (5, 7, 3)).astype(dtype)
    x = from_integers(pixels[:, ::-1])
    assert x.shape == (3, 5, 7) and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
    np.testing.assert_array_equal(back(x).permute(1, 2, 0).numpy(), pixels[:, ::-1])


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


@pytest.mark.needs_cuda
def test_cuda_composes_what_the_cpu_does():
    room, src = filmed(a_room(), 2), filmed(PHA * BLACK + (1 - PHA) * 0.7 * a_room(), 1)
    pha = PHA[None]
    on_cpu = shade(src, room, pha), despill(src, pha, src, room), over(src, pha, room, blend="linear")
    src, room, pha = (x.cuda() for x in (src, room, pha))
    on_cuda = shade(src, room, pha), despill(src, pha, src, room), over(src, pha, room, blend="linear")
    for expected, found in zip(on_cpu, on_cuda, strict=True):
        torch.testing.assert_close(found.cpu(), expected, atol=1e-3, rtol=0)
