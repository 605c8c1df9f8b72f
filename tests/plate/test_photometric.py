import numpy as np
import pytest

from bgmv2.plate.photometric import SAME_LIGHT, Exposure, estimate


def light_pictures(studio, **shot):
    plate = studio.room(0, 96, 54)
    return plate.astype(np.float32) / 255, studio.shot(plate, **shot).astype(np.float32) / 255


@pytest.mark.parametrize("gain", [(0.7, 0.7, 0.7), (1.2, 1.1, 0.95), (0.9, 1.0, 1.1)])
@pytest.mark.parametrize("subject", [0.0, 0.3, 0.6])
def test_gain_is_found_behind_a_subject(studio, gain, subject):
    found = estimate(*light_pictures(studio, gain=gain, subject=subject))
    level = np.array([0.3, 0.5, 0.7])[:, None]
    np.testing.assert_allclose(found.gain * level + found.bias, np.array(gain) * level, atol=0.012)


def test_bias_is_found_where_the_picture_tells_it(studio):
    found = estimate(*light_pictures(studio, gain=0.9, bias=0.02, noise=1.0))
    np.testing.assert_allclose(found.bias, 0.02, atol=0.006)
    np.testing.assert_allclose(found.gain, 0.9, atol=0.015)


def test_on_a_plain_wall_it_is_all_gain():
    wall = np.full((54, 96, 3), 0.5, np.float32)
    found = estimate(wall, wall * np.float32(0.9))
    np.testing.assert_allclose(found.gain, 0.9, atol=0.01)
    np.testing.assert_allclose(found.bias, 0, atol=0.005)


def test_clipped_pixels_do_not_count(studio):
    plate, _ = light_pictures(studio)
    frame = np.clip(plate * 1.6, 0, 1)
    assert (frame == 1).mean() > 0.05
    found = estimate(plate, frame)
    np.testing.assert_allclose(found.gain, 1.6, atol=0.03)


def test_what_the_plate_does_not_cover_does_not_count(studio):
    plate, frame = light_pictures(studio, gain=0.8)
    covered = np.zeros(plate.shape[:2], bool)
    covered[:, :30] = True
    frame[:, 30:] = plate[:, 30:] * np.float32(1.2)
    assert abs(estimate(plate, frame, covered).gain - 0.8).max() < 0.02
    assert abs(estimate(plate, frame).gain - 1.2).max() < 0.02
    assert estimate(plate, frame, np.zeros_like(covered)) is None


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_evidence_gives_none(studio, level):
    plate, _ = light_pictures(studio)
    assert estimate(plate, np.full_like(plate, level)) is None
    assert estimate(np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 3), np.float32)) is None


def test_gains_stay_sane(studio):
    plate, _ = light_pictures(studio)
    found = estimate(plate, plate * np.float32(0.49))
    assert found is not None and ((0.5 <= found.gain) & (found.gain < 0.51)).all()


def test_an_exposure_lights_a_picture_and_moves_towards_another():
    dark = Exposure(np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, 0.0]))
    np.testing.assert_allclose(dark(np.full((1, 1, 3), 0.6, np.float32))[0, 0], [0.4, 0.6, 1.0], atol=1e-6)
    half = SAME_LIGHT.towards(dark, 0.5)
    np.testing.assert_allclose(half.gain, [0.75, 1.0, 1.5])
    np.testing.assert_allclose(half.bias, [0.05, 0, 0])


def test_shapes_are_checked():
    picture = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match="plate.shape"):
        estimate(picture, picture[:-1])
    with pytest.raises(ValueError, match="covered.shape"):
        estimate(picture, picture, np.ones((5, 4), bool))
