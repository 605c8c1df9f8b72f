import numpy as np
import pytest

from bgmv2.plate.exposure import SAME_LIGHT
from bgmv2.plate.photometric import UNKNOWN, estimate, likeness, measure


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


@pytest.mark.parametrize("seed", range(4))
def test_a_sky_whose_haze_was_lifted_is_followed(seed):
    """Few colours tell gain, bias and roll-off hardly apart, and the roll-off would be less than none."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:1:54j, 0:1:96j][..., None]
    sky = np.array([0.2, 0.42, 0.55]) + np.array([0.5, 0.4, 0.28]) * y**2 + 0.04 * x
    plate = np.clip(sky + rng.normal(0, 0.004, sky.shape), 0, 1).astype(np.float32)
    bent = 0.8 * plate + 0.07 - 0.12 * (plate - 0.5) ** 2
    frame = np.clip(bent + rng.normal(0, 0.004, sky.shape), 0, 1).astype(np.float32)
    frame[14:, 66:] = 0.1 + 0.05 * rng.random((40, 30, 1), np.float32)
    found = estimate(plate, frame)
    assert found is not None
    assert np.abs(found(plate) - bent)[:, :60].mean() < 0.015 < np.abs(plate - bent)[:, :60].mean()


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
    found = estimate(plate, plate * np.float32(0.28))
    assert found is None or (found.gain >= 0.33).all()


@pytest.mark.parametrize("stops", [-0.7, 0.7])
def test_a_camera_that_rolls_off_highlights_is_learnt(studio, stops):
    plate, _ = light_pictures(studio, noise=0)

    def film(light):  # leaves white where it is
        return light / (0.2 + 0.8 * light)

    def exposed(stops, balance=(1.08, 1.0, 0.9)):
        light = 0.2 * plate / (1 - 0.8 * plate)
        return film(light * 2**stops * np.float32(balance)).astype(np.float32)

    near, camera = SAME_LIGHT, UNKNOWN
    for share in (0.3, 0.6, 1.0):
        frame = exposed(share * stops)
        light, camera, *_ = measure(plate, frame, near=near, camera=camera)
        near = light
    assert light.rolloff == pytest.approx(0.8, abs=0.05) and camera.certainty > UNKNOWN.certainty
    assert np.abs(light(plate) - frame).mean() < 0.004
    np.testing.assert_allclose(light.gain, 2**stops * np.array([1.08, 1.0, 0.9]), rtol=0.05)


def test_a_shadow_beside_the_subject_is_no_field(studio):
    plate, frame = light_pictures(studio, subject=0.2, at=0.3)
    frame[30:, 48:70] *= np.float32(0.6)
    assert estimate(plate, frame).unevenness < 0.01


def test_structure_tells_what_may_be_background(studio):
    plate, frame = light_pictures(studio, subject=0.3, gain=0.6)
    likely = likeness(plate, frame)
    background = np.ones(likely.shape, bool)
    background[:, 30:66] = False
    assert likely[background].mean() > 0.6 and likely[:, 38:58].mean() < 0.3
    wall = np.full_like(plate, 0.5)
    assert 0.2 < likeness(wall, wall * np.float32(0.8)).mean() < 0.3


def test_shapes_are_checked():
    picture = np.zeros((4, 5, 3), np.float32)
    with pytest.raises(ValueError, match="plate.shape"):
        estimate(picture, picture[:-1])
    with pytest.raises(ValueError, match="covered.shape"):
        estimate(picture, picture, np.ones((5, 4), bool))
