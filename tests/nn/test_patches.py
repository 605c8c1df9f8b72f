import pytest
import torch

from bgmv2.nn.patches import PATCH, crop, replace, select


def some_places(b, h, w, n=7):
    order = torch.randperm(b * h * w, generator=torch.Generator().manual_seed(1))[:n]
    return order // (h * w), order // w % h, order % w


def error_map(*shape):
    values = torch.randperm(torch.Size(shape).numel(), generator=torch.Generator().manual_seed(0))
    return (values.float() / values.numel()).view(shape)


def test_sampling_takes_the_largest_of_each_picture():
    err = error_map(3, 1, 5, 6)
    ref = select(err, "sampling", 8, 0.0)
    assert ref.shape == err.shape and ref.dtype == err.dtype
    for picture, chosen in zip(err.flatten(1), ref.flatten(1), strict=True):
        assert set(chosen.nonzero().flatten().tolist()) == set(picture.argsort(descending=True)[:8].tolist())
    assert set(ref.unique().tolist()) == {0.0, 1.0}


def test_sampling_leaves_out_what_has_no_error():
    err = torch.zeros(2, 1, 4, 4)
    err[0, 0, 1, 2] = err[0, 0, 3, 3] = 1e-3
    ref = select(err, "sampling", 10, 0.0)
    assert ref[0].nonzero().tolist() == [[0, 1, 2], [0, 3, 3]]
    assert not ref[1].any()


def test_sampling_leaves_out_what_is_not_above_the_floor():
    err = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(1, 1, 2, 2)
    assert select(err, "sampling", 3, 0.0, 0.25).flatten().tolist() == [0, 0, 1, 1]
    assert select(err, "sampling", 1, 0.0, 0.25).flatten().tolist() == [0, 0, 0, 1]
    assert select(err, "thresholding", 3, 0.0, 0.25).flatten().tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(("count", "chosen"), [(0, 0), (20, 20), (1000, 20)])
def test_sampling_has_no_more_than_there_is(count, chosen):
    assert select(torch.ones(1, 1, 4, 5), "sampling", count, 0.0).sum() == chosen


def test_thresholding_takes_what_is_above_but_not_what_is_at_the_threshold():
    err = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(1, 1, 2, 2)
    assert select(err, "thresholding", 0, 0.5).flatten().tolist() == [0, 0, 0, 1]
    assert select(err, "thresholding", 0, 0.0).flatten().tolist() == [0, 1, 1, 1]


def test_full_takes_all():
    assert select(torch.zeros(2, 1, 3, 3), "full", 0, 1.0).eq(1).all()


def test_select_does_not_touch_the_errors():
    err = error_map(1, 1, 4, 4)
    before = err.clone()
    for mode in ("sampling", "thresholding", "full"):
        select(err, mode, 3, 0.5)
    assert torch.equal(err, before)


@pytest.mark.parametrize(("size", "margin"), [(4, 2), (4, 0), (2, 3), (2, 0)])
def test_crop_cuts_what_a_loop_cuts(size, margin):
    x = torch.rand(2, 3, 5 * size, 4 * size)
    places = some_places(2, 5, 4)
    padded = torch.nn.functional.pad(x, [margin] * 4)
    window = size + 2 * margin
    for patch, b, i, j in zip(crop(x, places, size, margin), *places, strict=True):
        assert torch.equal(patch, padded[b, :, i * size : i * size + window, j * size : j * size + window])


def test_replace_puts_where_a_loop_puts():
    x = torch.rand(2, 3, 5 * PATCH, 4 * PATCH)
    before = x.clone()
    places = some_places(2, 5, 4)
    patches = torch.rand(len(places[0]), 3, PATCH, PATCH)
    expected = x.clone()
    for patch, b, i, j in zip(patches, *places, strict=True):
        expected[b, :, i * PATCH : (i + 1) * PATCH, j * PATCH : (j + 1) * PATCH] = patch
    assert torch.equal(replace(x, patches, places), expected)
    assert torch.equal(x, before)


def test_what_was_cut_out_goes_back_unchanged():
    x = torch.rand(2, 4, 3 * PATCH, 7 * PATCH)
    places = some_places(2, 3, 7, n=2 * 3 * 7)
    assert torch.equal(replace(x, crop(x, places, PATCH, 0), places), x)
    assert torch.equal(replace(torch.zeros_like(x), crop(x, places, PATCH, 0), places), x)
