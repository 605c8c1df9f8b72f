import cv2
import numpy as np
import pytest

from bgmv2.plate.align import Aligner
from bgmv2.plate.check import agreement, check_plate


def checked(plate, frame, mode="every"):
    alignment = Aligner(plate, mode=mode).align(frame)
    return check_plate(plate, frame, alignment), agreement(plate, frame, alignment)


@pytest.mark.parametrize("mode", ["off", "first", "every"])
def test_another_scene_is_reported_with_its_figure(studio, mode):
    warning, share = checked(studio.room(0), studio.shot(studio.room(5), subject=0.3), mode)
    assert share < 0.3
    assert "another scene" in warning and f"only {100 * share:.0f} %" in warning and "--backdrop" in warning
    assert "\n" not in warning


@pytest.mark.parametrize("subject", [0.0, 0.5])
def test_a_hand_held_clip_in_other_light_is_the_same_scene(studio, subject):
    plate = studio.room()
    frame = studio.shot(plate, studio.camera(degrees=1, shift=(12, 4)), subject=subject, gain=(0.85, 0.9, 1.0))
    warning, share = checked(plate, frame)
    assert warning is None
    assert abs(share - (1 - subject)) < 0.1


def test_other_light_is_the_same_scene_even_with_alignment_off(studio):
    plate = studio.room()
    assert checked(plate, studio.shot(plate, subject=0.5, gain=0.75), "off")[0] is None


def test_a_plain_wall_is_the_same_scene(studio):
    wall = np.full_like(studio.room(), (170, 160, 140))
    assert checked(wall, studio.shot(wall, subject=0.5))[0] is None
    assert "another scene" in checked(wall, studio.room())[0]


def test_a_plate_out_of_focus_is_the_same_scene(studio):
    plate = studio.room()
    assert checked(cv2.GaussianBlur(plate, (0, 0), 8), studio.shot(plate, subject=0.4))[0] is None


def test_a_fade_from_black_says_nothing(studio):
    assert checked(studio.room(), np.zeros_like(studio.room()))[0] is None


def test_sizes_must_agree(studio):
    plate = studio.room()
    alignment = Aligner(plate).align(plate)
    with pytest.raises(ValueError, match="alike in size"):
        agreement(plate, plate[:-1], alignment)
