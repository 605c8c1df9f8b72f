import cv2
import numpy as np
import pytest

from bgmv2.doctor.sharpness import TILE, measure_detail

from .conftest import HEIGHT, WIDTH, room


@pytest.mark.parametrize("sigma", [2, 6])
def test_noise_is_measured(sigma):
    flat = np.full((HEIGHT, WIDTH, 3), 120.0) + np.random.default_rng(0).normal(0, sigma, (HEIGHT, WIDTH, 1))
    detail = measure_detail(np.clip(flat + 0.5, 0, 255).astype(np.uint8))
    assert detail.noise == pytest.approx(sigma / 255, rel=0.15)
    assert detail.fine.mean() < 0.5 * (sigma / 255) ** 2


def test_a_blur_takes_fine_detail_and_leaves_coarse():
    sharp, soft = (measure_detail(x) for x in (room(), cv2.GaussianBlur(room(), (0, 0), 1.5)))
    assert soft.fine.sum() < 0.2 * sharp.fine.sum()
    assert soft.coarse.sum() > 0.7 * sharp.coarse.sum()
    assert sharp.fine.shape == sharp.coarse.shape == (HEIGHT // TILE, WIDTH // TILE)


def test_depth_of_bits_does_not_matter():
    eight, sixteen = measure_detail(room()), measure_detail(room().astype(np.uint16) * 257)
    assert sixteen.fine == pytest.approx(eight.fine, abs=1e-5) and sixteen.noise == pytest.approx(eight.noise, abs=1e-4)
