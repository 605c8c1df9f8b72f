"""Alpha is found near the labels' border, and labels that do not fit their photograph are refused."""

import cv2
import numpy as np
import pytest

pytest.importorskip("pymatting")

SIZE = 160


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("prepare_people")


@pytest.fixture
def scene():
    """A soft red disc before grey: photograph, alpha, and labels like those of the data set, hair above the middle."""
    ys, xs = np.mgrid[:SIZE, :SIZE]
    alpha = np.clip((50 - np.hypot(ys - (SIZE - 1) / 2, xs - (SIZE - 1) / 2)) / 4 + 0.5, 0, 1)
    noise = np.random.default_rng(0).normal(0, 2, (SIZE, SIZE, 3))
    photo = alpha[..., None] * [200, 40, 60] + (1 - alpha[..., None]) * [90, 100, 95] + noise
    labels = np.where(alpha > 0.5, np.where(ys < SIZE / 2, 19, 3), 0).astype(np.uint8)
    return np.clip(photo, 0, 255).astype(np.uint8), alpha, labels


def test_a_hard_label_becomes_soft_alpha_and_clean_colours(tool, scene):
    photo, alpha, labels = scene
    rgba = tool.cut_out(photo, labels)
    ys, xs = np.nonzero(alpha > 0.02)
    assert np.abs(np.subtract(rgba.shape[:2], (np.ptp(ys) + 1, np.ptp(xs) + 1))).max() <= 4
    top, left = (SIZE - rgba.shape[0]) // 2, (SIZE - rgba.shape[1]) // 2
    true = alpha[top : top + rgba.shape[0], left : left + rgba.shape[1]]
    hard = (true > 0.5).astype(float)
    error = np.abs(rgba[..., 3] / 255 - true).mean()
    assert error < 0.01 and error < 0.5 * np.abs(hard - true).mean()
    edge = (true > 0.4) & (true < 0.9)
    assert np.abs(rgba[edge, :3].mean(axis=0) - [200, 40, 60]).max() < 25


def test_labels_that_do_not_fit_are_refused(tool, scene):
    photo, _, labels = scene
    narrow = cv2.erode(labels, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17)))
    with pytest.raises(ValueError, match="something is missing"):
        tool.cut_out(photo, narrow)
    with pytest.raises(ValueError, match="almost nothing"):
        tool.cut_out(photo, np.zeros_like(labels))
    with pytest.raises(ValueError, match="almost everything"):
        tool.cut_out(photo, np.ones_like(labels))
    two = np.zeros_like(labels)
    two[20:60, 20:60] = two[100:140, 100:140] = 1
    with pytest.raises(ValueError, match="several large parts"):
        tool.cut_out(photo, two)
