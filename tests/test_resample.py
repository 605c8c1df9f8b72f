"""OpenCV and PyTorch resample alike."""

import pytest
import torch
import torch.nn.functional as F

from bgmv2.resample import averaged, enlarged


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("small", "large"), [((1, 1), (5, 3)), ((9, 16), (1080, 1920)), ((7, 5), (20, 33)), ((30, 40), (7, 9))]
)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_are_enlarged_as_pytorch_does_it(channels, small, large, layout):
    x = torch.rand(2, channels, *small).contiguous(memory_format=layout)
    before = x.clone()
    wanted = F.interpolate(x, size=large, mode="bilinear", align_corners=False)
    assert (enlarged(x, *large) - wanted).abs().max() < 2e-5
    assert torch.equal(x, before)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("size", "step"), [((6, 9), 3), ((7, 10), 3), ((2, 2), 5), ((4, 4), 1)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_are_averaged_over_whole_squares_and_what_is_left_of_them(channels, size, step, layout):
    x = torch.rand(2, channels, *size).contiguous(memory_format=layout)
    means = averaged(x, step)
    assert means.shape[2:] == (-(-size[0] // step), -(-size[1] // step))
    for i in range(means.shape[2]):
        for j in range(means.shape[3]):
            square = x[:, :, i * step : (i + 1) * step, j * step : (j + 1) * step]
            assert (means[:, :, i, j] - square.mean(dim=(2, 3))).abs().max() < 1e-6


def test_parts_of_pictures_and_repeated_ones_are_taken_as_they_are():
    x = torch.rand(2, 3, 20, 30)
    for part in (x[:, 1:, 3:17, 5:26], x[:1].expand(3, -1, -1, -1), x[:, :1, :1].expand(-1, -1, 9, -1), x[..., ::2]):
        assert (averaged(part, 3) - F.avg_pool2d(part, 3, ceil_mode=True, count_include_pad=False)).abs().max() < 1e-6
        assert (enlarged(part, 40, 50) - enlarged(part.double(), 40, 50)).abs().max() < 2e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_numbers_keep_their_kind(dtype):
    x = torch.rand(1, 1, 4, 4).to(dtype)
    assert enlarged(x, 8, 8).dtype == averaged(x, 2).dtype == dtype


def test_gradients_pass():
    x = torch.rand(1, 1, 4, 4, requires_grad=True)
    (enlarged(x, 8, 8).sum() + averaged(x, 2).sum()).backward()
    assert x.grad is not None and (x.grad - 4.25).abs().max() < 1e-5
