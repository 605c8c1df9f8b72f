import cv2
import numpy as np
import pytest

from bgmv2.plate.shape import bars_of, why_shaped


def boxed(picture, above=0, beside=0):
    return np.pad(picture, ((above, above), (beside, beside), (0, 0)))


@pytest.mark.parametrize(("above", "beside"), [(0, 0), (30, 0), (0, 60)])
def test_bars_are_measured(studio, above, beside):
    picture = boxed(studio.room(), above, beside)
    height, width = picture.shape[:2]
    found = bars_of(picture.astype(np.float32) / 255)
    assert found == pytest.approx((2 * above / height, 2 * beside / width), abs=0.01)


def test_a_dark_floor_is_no_bar(studio):
    picture = studio.room()
    picture[-60:] = 2
    assert bars_of(picture.astype(np.float32) / 255) == (0, 0)
    assert bars_of(np.zeros((90, 160, 3), np.float32)) == (0, 0)


def test_a_plate_of_another_shape_is_explained(studio):
    picture = studio.room()
    assert "on its side" in why_shaped(np.ascontiguousarray(np.rot90(picture)), 1920, 1080)
    assert "black bars" in why_shaped(boxed(picture, above=45), 1920, 1080)
    assert "black bars" in why_shaped(boxed(picture, beside=60), 1920, 1080)
    assert "--backdrop" in why_shaped(cv2.resize(picture, (400, 300)), 1920, 1080)
