import numpy as np
import pytest

from bgmv2.plate import uneven

SIZE = 45, 80
Y, X = ((np.arange(n) + 0.5) / n for n in SIZE)


def fitted(logs, weight):
    basis = uneven.polynomials(*SIZE)
    found = uneven.smooth(uneven.fit_smooth(basis, logs.reshape(-1, 3), weight.ravel()))
    return uneven.resized(found, *SIZE)


def in_colours(logs):
    return np.broadcast_to(logs[..., None], (*SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize("logs", [
    -0.4 * ((X - 0.5) ** 2 + (Y[:, None] - 0.5) ** 2),  # a vignette
    0.3 * X + 0 * Y[:, None],  # light from one side
    0.4 * np.exp(-((X - 0.2) ** 2 + (Y[:, None] - 0.3) ** 2) / 0.2),  # a lamp
], ids=["vignette", "side", "lamp"])  # fmt: skip
def test_light_is_fitted_behind_a_subject_too(logs):
    logs = logs - logs.mean()
    weight = np.full(SIZE, 200.0)
    weight[15:, 30:55] = 0
    found = fitted(in_colours(logs), weight)
    assert np.abs(found - found.mean() - in_colours(logs)).mean() < 0.1 * np.abs(logs).mean()


def test_without_evidence_light_is_even():
    assert np.abs(fitted(in_colours(0.5 * X + 0 * Y[:, None]), np.zeros(SIZE))).max() == 0


def test_what_is_not_seen_does_not_run_away():
    weight = np.zeros(SIZE)
    weight[:, :20] = 200
    found = fitted(in_colours(0.2 * X + 0 * Y[:, None]), weight)
    assert np.abs(found).max() < 0.4


@pytest.mark.parametrize("axis", [0, 1])
def test_bands_are_found_along_rows_and_columns(axis):
    side = (Y[:, None], X[None])[axis]
    wave = 0.06 * np.sin(2 * np.pi * 2.5 * side + 1) + 0 * X * Y[:, None]
    weight = np.full(SIZE, 200.0)
    weight[10:, 30:60] = 0
    noise = np.random.default_rng(0).normal(0, 0.01, (*SIZE, 3))
    bands = uneven.fit_bands(in_colours(wave) + noise, weight)
    error = uneven.resized(bands, *SIZE) - in_colours(wave - wave.mean())
    assert np.abs(error).mean() < 0.006
    assert np.ptp(bands, axis=1 - axis).max() < 1e-9


def test_noise_is_no_band():
    noise = np.random.default_rng(0).normal(0, 0.02, (*SIZE, 3))
    assert uneven.fit_bands(noise, np.full(SIZE, 200.0)) is None


def test_a_field_keeps_its_edges_at_any_size():
    field = np.zeros((*uneven.GRID, 3))
    field[:, uneven.GRID[1] // 2 :] = 1
    for height, width in ((7, 13), (36, 36), (200, 300)):
        large = uneven.resized(field, height, width)
        assert large.shape == (height, width, 3) and abs(large.mean() - 0.5) < 0.01
