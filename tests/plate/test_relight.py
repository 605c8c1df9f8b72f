import numpy as np
import pytest
import torch

from bgmv2.plate import uneven
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.relight import relight

FIELD = np.random.default_rng(1).normal(0, 0.1, (*uneven.GRID, 3))
LIGHTS = [
    SAME_LIGHT,
    Exposure(np.array([0.7, 1.0, 1.4]), np.array([0.02, 0.0, -0.01])),
    Exposure(np.array([0.7, 1.0, 1.4]), np.array([0.02, 0.0, -0.01]), rolloff=0.9),
    Exposure(np.array([0.7, 1.0, 1.4]), np.zeros(3), 0.5, FIELD),
]


@pytest.mark.parametrize("light", LIGHTS, ids=["same", "line", "roll-off", "field"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_device_lights_a_plate_as_numpy_does(light, dtype):
    picture = np.random.default_rng(2).uniform(0, 1, (50, 70, 3)).astype(np.float32)
    bgr = torch.from_numpy(picture).permute(2, 0, 1)[None].to(dtype)
    lit = relight(bgr, light)
    assert lit.dtype == dtype and lit.shape == bgr.shape
    within = 2e-6 if dtype == torch.float32 else 2e-3
    np.testing.assert_allclose(lit[0].permute(1, 2, 0).float().numpy(), light(picture), atol=within)


def test_the_same_light_changes_no_bit():
    bgr = torch.rand(1, 3, 20, 30)
    assert torch.equal(relight(bgr, SAME_LIGHT), bgr)
