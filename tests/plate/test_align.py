import json

import numpy as np
import pytest
import torch

from bgmv2.plate import align
from bgmv2.plate.align import Aligner, AlignReport
from bgmv2.plate.place import place_plate_and_cover
from bgmv2.types import Plate


def test_a_turned_shifted_and_tilted_camera_is_found_to_a_fraction_of_a_pixel(studio, corners_apart):
    plate = studio.room()
    for degrees, shift, perspective in (
        (2, (30, -12), (2e-5, -1e-5)),
        (-1.5, (-20, 8), (0, 3e-5)),
        (0.4, (3.3, 1.7), (0, 0)),
    ):
        truth = studio.camera(degrees=degrees, shift=shift, perspective=perspective)
        found = Aligner(plate).align(studio.shot(plate, truth, subject=0.3))
        assert found.status == "found"
        assert found.homography.dtype == np.float64 and found.homography[2, 2] == 1
        assert corners_apart(found.homography, truth) < 0.6
        assert found.residual < 0.3 and 16 <= found.inliers <= found.matches


def test_a_large_subject_that_moves_is_not_followed(studio, corners_apart):
    plate, aligner = studio.room(), Aligner(studio.room())
    for i in range(5):
        truth = studio.camera(degrees=0.2 * i, shift=(4 + 2 * i, i))
        found = aligner.align(studio.shot(plate, truth, subject=0.55, at=0.3 + 0.1 * i))
        assert found.status == "found" and corners_apart(found.homography, truth) < 1.5


def test_a_tripod_gives_exactly_the_identity(studio):
    plate = studio.room()
    aligner = Aligner(plate)
    for i in range(4):
        found = aligner.align(studio.shot(plate, subject=0.4, at=0.2 + 0.2 * i, noise=4))
        assert found.status == "fixed" and found.inliers and np.array_equal(found.homography, np.eye(3))


def test_other_light_is_measured_and_does_not_hide_the_movement(studio, corners_apart):
    plate, gain = studio.room(), np.array([0.8, 0.9, 1.05])
    truth = studio.camera(degrees=1, shift=(9, 5))
    found = Aligner(plate).align(studio.shot(plate, truth, subject=0.4, gain=gain))
    assert corners_apart(found.homography, truth) < 0.6
    np.testing.assert_allclose(found.light.gain * 0.4 + found.light.bias, gain * 0.4, rtol=0.02)


def test_a_16_bit_clip_and_a_plate_of_floats_are_the_same(studio):
    plate = studio.room()
    frame = studio.shot(plate, studio.camera(shift=(7, 3)))
    tensor = torch.from_numpy(plate.astype(np.float32) / 255).permute(2, 0, 1)
    a, b = Aligner(plate).align(frame), Aligner(Plate(tensor)).align(frame.astype(np.uint16) * 257)
    np.testing.assert_allclose(a.homography, b.homography, atol=0.05)
    np.testing.assert_allclose(a.light.gain, b.light.gain, atol=0.01)


def test_light_is_followed_without_flicker(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    gains = [aligner.align(studio.shot(plate, subject=0.3, at=0.3 + 0.03 * i)).light.gain for i in range(12)]
    assert np.ptp(gains[4:], axis=0).max() < 0.01
    assert abs(aligner.align(studio.shot(plate, gain=1.3)).light.gain - 1.3).max() < 0.03


def test_first_keeps_what_the_first_frame_told(studio):
    plate, aligner = studio.room(), Aligner(studio.room(), mode="first")
    blank = aligner.align(np.zeros_like(plate))
    first = aligner.align(studio.shot(plate, studio.camera(shift=(10, 4)), gain=0.9))
    later = aligner.align(studio.shot(plate, studio.camera(shift=(-10, 4)), gain=1.1))
    assert [blank.status, first.status, later.status] == ["held", "found", "kept"]
    assert np.array_equal(first.homography, later.homography) and np.array_equal(first.light.gain, later.light.gain)


def test_off_changes_nothing(studio):
    plate = studio.room()
    found = Aligner(plate, mode="off").align(studio.shot(plate, studio.camera(shift=(20, 0)), gain=0.8))
    assert found.status == "fixed" and np.array_equal(found.homography, np.eye(3))
    assert found.light.gain.tolist() == [1, 1, 1] and found.light.bias.tolist() == [0, 0, 0]


@pytest.mark.parametrize(("size", "kind"), [
    ((270, 480), "black"), ((270, 480), "white"), ((270, 480), "noise"), ((270, 480), "subject"),
    ((1, 1), "noise"), ((1, 300), "noise"), ((300, 1), "noise"), ((9, 16), "noise"), ((33, 33), "noise"),
    ((32, 640), "noise"), ((270, 480), "stripes"),
])  # fmt: skip
def test_what_cannot_be_matched_is_held(studio, size, kind):
    height, width = size
    frame = {
        "black": np.zeros((height, width, 3), np.uint8),
        "white": np.full((height, width, 3), 255, np.uint8),
        "noise": studio.rng.integers(0, 256, (height, width, 3), np.uint8),
        "subject": studio.room(99, width, height),
        "stripes": np.repeat(np.repeat(np.arange(height) // 8 % 2 * 255, width)[:, None], 3, 1)
        .reshape(height, width, 3)
        .astype(np.uint8),
    }[kind]
    for plate in (studio.room(0, width, height), np.zeros_like(frame)):
        found = Aligner(plate).align(frame)
        assert found.status == "held" and np.array_equal(found.homography, np.eye(3))
        assert np.isfinite(found.light.gain).all() and np.isfinite(found.light.bias).all()


def test_a_lost_frame_uses_the_last_good_alignment(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    good = aligner.align(studio.shot(plate, studio.camera(degrees=1, shift=(8, 2)), gain=0.9))
    lost = aligner.align(np.zeros_like(plate))
    assert lost.status == "held" and lost.inliers == 0
    assert np.array_equal(lost.homography, good.homography) and np.array_equal(lost.light.gain, good.light.gain)


def test_a_camera_that_jumps_about_is_followed(studio, corners_apart):
    """As in a clip of few frames a second, from a hand that walks."""
    plate, aligner = studio.room(), Aligner(studio.room())
    for index in range(8):
        camera = studio.camera(degrees=2 * (-1) ** index, shift=(40 * (index % 3 - 1), 25 * (index % 2)))
        found = aligner.align(studio.shot(plate, camera, subject=0.3))
        assert found.status == "found" and corners_apart(found.homography, camera) < 0.6


def test_a_jump_of_which_few_pixels_tell_is_believed_only_when_it_persists(studio, corners_apart, monkeypatch):
    monkeypatch.setattr(align, "_SURE", 0.0)
    plate, aligner = studio.room(), Aligner(studio.room())
    here, there = studio.camera(shift=(5, 0)), studio.camera(shift=(60, 10))
    assert aligner.align(studio.shot(plate, here)).status == "found"
    assert aligner.align(studio.shot(plate, there)).status == "held"
    assert aligner.align(studio.shot(plate, here)).status == "found"
    found = [aligner.align(studio.shot(plate, there)) for _ in range(4)]
    assert [f.status for f in found] == ["held", "held", "found", "found"]
    assert corners_apart(found[-1].homography, there) < 0.6


def test_where_the_subject_hides_the_plate_is_remembered(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    first, *_, found = (
        aligner.align(studio.shot(plate, studio.camera(shift=(4 + 2 * i, i)), subject=0.3)) for i in range(3)
    )
    hidden = np.array(aligner.state()["hidden"], bool)
    columns = np.linspace(0, 1, hidden.shape[1])
    assert hidden[:, np.abs(columns - 0.5) < 0.1].mean() > 0.6 > 0.1 > hidden[:, np.abs(columns - 0.5) > 0.25].mean()
    # Corners there are not even sought.
    assert found.matches < 0.85 * first.matches and found.inliers > 0.95 * found.matches


def test_an_aligner_goes_on_through_json_as_if_it_had_seen_all(studio):
    plate = studio.room()
    cameras = [studio.camera(degrees=0.3 * i, shift=(5 * i, -2 * i)) for i in range(6)]
    frames = [studio.shot(plate, camera, subject=0.3, at=0.3 + 0.05 * i) for i, camera in enumerate(cameras)]
    whole, first, rest = (Aligner(plate) for _ in range(3))
    expected = [whole.align(frame) for frame in frames]
    for frame in frames[:3]:
        first.align(frame)
    rest.restore(json.loads(json.dumps(first.state())))
    for frame, right in zip(frames[3:], expected[3:], strict=True):
        found = rest.align(frame)
        assert np.array_equal(found.homography, right.homography) and found.inliers == right.inliers
    assert rest.state() == whole.state()


def test_a_mosaic_is_searched_for_what_each_frame_shows(studio, corners_apart):
    plate = studio.room(5, 1200, 500)
    seen = torch.ones(1, 500, 1200, dtype=torch.bool)
    seen[:, :, 1000:] = False
    mosaic = Plate(torch.from_numpy(plate.astype(np.float32) / 255).permute(2, 0, 1), seen)
    aligner = Aligner(mosaic, size=(270, 480))
    lost = aligner.align(np.zeros((270, 480, 3), np.uint8))
    assert lost.status == "held" and lost.reason
    # Before anything was found, the middle of the mosaic is shown.
    assert lost.homography.tolist() == [[1, 0, -360], [0, 1, -115], [0, 0, 1]]
    for i in range(6):
        pan = studio.camera(degrees=0.4 * i, shift=(-90 - 25 * i, -60 - 8 * i), perspective=(8e-5 * i, 0))
        frame = studio.shot(plate, pan)[:270, :480]
        frame[120:, 200:260] = studio.room(99)[120:, 200:260]
        found = aligner.align(frame)
        assert found.status == "found" and corners_apart(found.homography @ np.linalg.inv(pan), np.eye(3)) < 0.4
        assert abs(found.light.gain - 1).max() < 0.03
    away = aligner.align(np.zeros_like(frame))
    assert away.status == "held" and np.array_equal(away.homography, found.homography)
    placed, covered = place_plate_and_cover(mosaic.bgr[None], found, seen=seen, size=(270, 480))
    difference = (placed[0].permute(1, 2, 0) - torch.from_numpy(frame / 255.0)).abs().mean(dim=2)
    assert placed.shape == (1, 3, 270, 480) and difference.median() < 0.02
    assert covered.shape == (1, 1, 270, 480) and covered.mean() == 1


def test_a_mosaic_that_is_not_to_be_aligned_stays_in_the_middle(studio):
    aligner = Aligner(studio.room(5, 700, 400), mode="off", size=(270, 480))
    found = aligner.align(studio.room())
    assert found.status == "fixed" and found.homography.tolist() == [[1, 0, -110], [0, 1, -65], [0, 0, 1]]
    with pytest.raises(ValueError, match="frames have pixels"):
        Aligner(studio.room(), size=(0, 10))


def test_a_camera_that_gathers_speed_is_followed(studio, corners_apart):
    plate, aligner = studio.room(), Aligner(studio.room())
    at = 0.0
    for i in range(7):
        at += 5 * i
        truth = studio.camera(shift=(at - 60, 0.3 * at))
        found = aligner.align(studio.shot(plate, truth, subject=0.2))
        # By the end it moves by 31 px from frame to frame, which from a standstill would be no hand's movement.
        assert found.status == "found" and corners_apart(found.homography, truth) < 0.6


def test_the_report_counts_frames(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    assert aligner.report == AlignReport()
    for frame in (studio.shot(plate), studio.shot(plate, studio.camera(shift=(6, 0))), np.zeros_like(plate)):
        aligner.align(frame)
    report = aligner.report
    assert (report.fixed, report.found, report.kept, report.held) == (1, 1, 0, 1)
    assert report.inliers >= 16 and 0 < report.residual < 0.5
    assert str(report).startswith("plate in 3 frames: 1 followed the camera, 1 stood still, 1 could not be matched")
    assert "\n" not in str(report)


def test_wrong_input_is_refused(studio):
    plate = studio.room()
    with pytest.raises(ValueError, match="off, first and every"):
        Aligner(plate, mode="always")
    with pytest.raises(ValueError, match="uint8 or uint16"):
        Aligner(plate.astype(np.float32))
    for wrong in (plate[:-1], plate[..., 0], plate.astype(np.int32)):
        with pytest.raises(ValueError, match="shape"):
            Aligner(plate).align(wrong)
