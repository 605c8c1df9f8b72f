import numpy as np
import pytest
import torch

from bgmv2 import compose, metrics
from bgmv2.develop import matte_against
from bgmv2.live.steady import Steadier
from bgmv2.plate.align import Aligner
from bgmv2.plate.sources import load_plate

H, W = 48, 64


def picture(value):
    return torch.full((1, 3, H, W), value)


def alpha(value):
    return torch.full((1, 1, H, W), value)


def test_alpha_that_flickers_before_a_still_picture_is_steadied():
    steadier, rng = Steadier(), np.random.default_rng(0)
    raw = [alpha(0.5 + 0.2 * float(rng.uniform(-1, 1))) for _ in range(50)]
    steady = [steadier(pha, picture(0.8), picture(0.2)) for pha in raw]
    noise, left = (np.std([float(x[0, 0, 0, 0]) for x in phas[10:]]) for phas in (raw, steady))
    assert left < 0.45 * noise


def test_nothing_trails_behind_what_moves():
    steadier = Steadier()
    for step in range(6):
        src, pha = picture(0.2), alpha(0.0)
        left = 8 * step
        src[..., left : left + 12], pha[..., left : left + 12] = 0.8, 1.0
        torch.testing.assert_close(steadier(pha, src, picture(0.2))[..., : left + 12], pha[..., : left + 12])


def test_a_halo_before_the_plate_goes_at_once_but_does_not_come_at_once():
    steadier = Steadier()
    plate = picture(0.3)
    steadier(alpha(0.4), plate, plate)
    assert float(steadier(alpha(0.0), plate, plate).max()) == 0
    assert float(steadier(alpha(0.4), plate, plate).max()) < 0.1


def test_a_hole_that_stays_closed_for_two_frames_is_closed():
    steadier = Steadier()
    src, plate = picture(0.8), picture(0.3)
    steadier(alpha(0.3), src, plate)
    assert float(steadier(alpha(1.0), src, plate).max()) < 0.5
    assert float(steadier(alpha(1.0), src, plate).min()) == 1
    assert float(steadier(alpha(0.3), src, plate).min()) > 0.8


@pytest.mark.parametrize("raw", [[0.0, 0.4], [0.3, 0.7], [0.0, 0.0, 0.0, 0.3]], ids=str)
@pytest.mark.parametrize("behind", [0.3, 0.8], ids=["differs", "agrees"])
def test_flicker_makes_nothing_more_opaque(raw, behind):
    steadier = Steadier()
    steady = [float(steadier(alpha(value), picture(0.8), picture(behind)).mean()) for value in 20 * raw]
    assert np.mean(steady[20:]) < np.mean(raw) + 0.01


def test_noise_is_no_motion():
    steadier, generator = Steadier(), torch.Generator().manual_seed(0)
    for _ in range(5):
        src = picture(0.5) + 0.02 * torch.randn(1, 3, H, W, generator=generator)
        out = steadier(alpha(0.6), src, picture(0.1))
    src = picture(0.5) + 0.02 * torch.randn(1, 3, H, W, generator=generator)
    assert float(steadier(alpha(0.9), src, picture(0.1)).mean()) < 0.75
    assert out.shape == (1, 1, H, W)


def test_another_size_and_a_new_beginning_keep_nothing():
    steadier = Steadier()
    steadier(alpha(0.0), picture(0.5), picture(0.1))
    larger = torch.full((1, 1, 2 * H, 2 * W), 0.9)
    out = steadier(larger, torch.full((1, 3, 2 * H, 2 * W), 0.5), torch.zeros(1, 3, 2 * H, 2 * W))
    assert torch.equal(out, larger)
    steadier.forget()
    assert torch.equal(
        steadier(0 * larger, torch.full((1, 3, 2 * H, 2 * W), 0.5), larger.expand(1, 3, -1, -1)), 0 * larger
    )


def test_the_sample_flickers_less_and_is_no_less_right(sample):
    plate = load_plate(sample.plate_path, 320, 180)
    aligner, steadier = Aligner(plate), Steadier()
    raw, steady = [], []
    for pixels in sample.frames[:16]:
        src = compose.from_integers(pixels)[None]
        matte, bgr, _ = matte_against(sample.matter, src, plate, aligner.align(pixels))
        raw.append(matte.pha[0, 0].numpy())
        steady.append(steadier(matte.pha, src, bgr)[0, 0].numpy())
    true = np.stack(sample.phas[:16]) / 255
    assert metrics.dtssd(np.stack(steady), true) < 0.98 * metrics.dtssd(np.stack(raw), true)
    errors = [np.mean([metrics.mad(p, t) for p, t in zip(phas, true, strict=True)]) for phas in (raw, steady)]
    assert errors[1] <= errors[0] * 1.02
    assert errors[0] == pytest.approx(0, abs=0.05)
