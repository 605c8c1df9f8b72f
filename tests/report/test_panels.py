"""What a frame looked like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bgmv2.report.panels import RED, draw, layers_of


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (33, 47), (30, 1501)])
def test_every_size_can_be_drawn(size, flat, matte_of):
    layers = layers_of(flat(0.5, *size), matte_of(flat(0.5, *size, channels=1), ref=1))
    channels, height, width = layers.shape
    assert channels == 9 and max(height, width) <= 720 and layers.dtype == torch.uint8
    assert draw(layers).shape == (height, 5 * width, 3)


def test_what_is_drawn_is_what_was_seen(flat, matte_of):
    """Frame, green around the subject, alpha, expected error, and patches in colour on grey with red where any lack."""
    src, pha = flat(0.5), flat(0, channels=1)
    src[:, 0, :, 16:] = 1.0
    pha[..., 16:] = 1
    err, ref = torch.zeros(1, 1, 6, 8), torch.zeros(1, 1, 6, 8)
    err[..., :4, :] = 0.5
    ref[..., 4:] = 1
    strip = draw(layers_of(src, matte_of(pha, err=err, ref=ref)))
    frame, green, alpha, heat, patches = np.hsplit(strip, 5)
    assert frame[4, 4].tolist() == [128, 128, 128] and frame[4, 28].tolist() == [255, 128, 128]
    assert green[4, 4].tolist() == [0, 177, 64] and green[4, 28].tolist() == [128, 128, 128]
    assert alpha[4, 4].tolist() == [0, 0, 0] and alpha[4, 28].tolist() == [255, 255, 255]
    assert heat[4, 4].min() > 150 > 10 > heat[23, 4].max()
    assert patches[4, 28].tolist() == [255, 128, 128] and patches[23, 4].tolist() == [32, 32, 32]
    assert patches[4, 4].tolist() == list(RED)
