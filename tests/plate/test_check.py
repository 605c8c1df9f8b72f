import cv2
import numpy as np
import pytest

from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.check import agreement, check_plate, how_turned
from bgmv2.plate.exposure import SAME_LIGHT


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
    assert "of one colour and shows nothing" in checked(wall, studio.room())[0]


def test_a_plate_out_of_focus_is_the_same_scene(studio):
    plate = studio.room()
    assert checked(cv2.GaussianBlur(plate, (0, 0), 8), studio.shot(plate, subject=0.4))[0] is None


def test_a_fade_from_black_says_nothing(studio):
    assert checked(studio.room(), np.zeros_like(studio.room()))[0] is None


def test_sizes_must_agree(studio):
    plate = studio.room()
    alignment = Aligner(plate).align(plate)
    with pytest.raises(ValueError, match="alike in size"):
        agreement(plate[:-1], plate, alignment)


def test_a_mosaic_agrees_where_the_frame_lies_in_it(studio):
    mosaic = studio.room(width=720, height=400)
    x, y = 130, 70
    frame = mosaic[y : y + 270, x : x + 480]
    there = Alignment(np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]), SAME_LIGHT, "found")
    elsewhere = Alignment(np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]), SAME_LIGHT, "found")
    assert agreement(mosaic, frame, there) > 0.95 > 0.8 > agreement(mosaic, frame, elsewhere)


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        (lambda plate: plate[:, ::-1], "the plate is mirrored: mirror it back"),
        (lambda plate: plate[::-1, ::-1], "the plate is upside down"),
        (lambda plate: plate[::-1], "the plate is mirrored top to bottom"),
    ],
)
def test_a_plate_that_was_turned_is_named(studio, turn, said):
    plate = studio.room()
    warning, _ = checked(np.ascontiguousarray(turn(plate)), studio.shot(plate, subject=0.3))
    assert said in warning and "\n" not in warning


def test_a_square_plate_may_lie_on_its_side(studio):
    plate = studio.room(width=270)
    frame = studio.shot(plate, subject=0.2)
    assert how_turned(np.ascontiguousarray(np.rot90(plate)), frame).startswith("is turned by 90 degrees")
    assert how_turned(studio.room(5, width=270), frame) is None


@pytest.mark.parametrize(("value", "said"), [(0, "black"), (255, "of one colour")])
def test_a_plate_that_shows_nothing_is_named(studio, value, said):
    plate = studio.room()
    warning, _ = checked(np.full_like(plate, value), studio.shot(plate, subject=0.3))
    assert f"the plate is {said} and shows nothing" in warning and "--backdrop" in warning
