import numpy as np
import pytest
import torch

from bgmv2.plate.align import Aligner, Alignment, AlignReport, place_plate, place_plate_and_cover, warp_plate
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
    np.testing.assert_allclose(found.gain * 0.4 + found.bias, gain * 0.4, rtol=0.02)


def test_a_16_bit_clip_and_a_plate_of_floats_are_the_same(studio):
    plate = studio.room()
    frame = studio.shot(plate, studio.camera(shift=(7, 3)))
    tensor = torch.from_numpy(plate.astype(np.float32) / 255).permute(2, 0, 1)
    a, b = Aligner(plate).align(frame), Aligner(Plate(tensor)).align(frame.astype(np.uint16) * 257)
    np.testing.assert_allclose(a.homography, b.homography, atol=0.05)
    np.testing.assert_allclose(a.gain, b.gain, atol=0.01)


def test_light_is_followed_without_flicker(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    gains = []
    for i in range(12):
        wobble = 1 + 0.01 * (-1) ** i
        gains.append(aligner.align(studio.shot(plate, subject=0.3, gain=wobble)).gain)
    assert np.ptp(gains[4:], axis=0).max() < 0.01
    assert abs(aligner.align(studio.shot(plate, gain=1.3)).gain - 1.3).max() < 0.03


def test_first_keeps_what_the_first_frame_told(studio):
    plate, aligner = studio.room(), Aligner(studio.room(), mode="first")
    blank = aligner.align(np.zeros_like(plate))
    first = aligner.align(studio.shot(plate, studio.camera(shift=(10, 4)), gain=0.9))
    later = aligner.align(studio.shot(plate, studio.camera(shift=(-10, 4)), gain=1.1))
    assert [blank.status, first.status, later.status] == ["held", "found", "kept"]
    assert np.array_equal(first.homography, later.homography) and np.array_equal(first.gain, later.gain)


def test_off_changes_nothing(studio):
    plate = studio.room()
    found = Aligner(plate, mode="off").align(studio.shot(plate, studio.camera(shift=(20, 0)), gain=0.8))
    assert found.status == "fixed" and np.array_equal(found.homography, np.eye(3))
    assert found.gain.tolist() == [1, 1, 1] and found.bias.tolist() == [0, 0, 0]


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
        assert np.isfinite(found.gain).all() and np.isfinite(found.bias).all()


def test_a_lost_frame_uses_the_last_good_alignment(studio):
    plate, aligner = studio.room(), Aligner(studio.room())
    good = aligner.align(studio.shot(plate, studio.camera(degrees=1, shift=(8, 2)), gain=0.9))
    lost = aligner.align(np.zeros_like(plate))
    assert lost.status == "held" and lost.inliers == 0
    assert np.array_equal(lost.homography, good.homography) and np.array_equal(lost.gain, good.gain)


def test_a_jump_is_believed_only_when_it_persists(studio, corners_apart):
    plate, aligner = studio.room(), Aligner(studio.room())
    here, there = studio.camera(shift=(5, 0)), studio.camera(shift=(60, 10))
    assert aligner.align(studio.shot(plate, here)).status == "found"
    assert aligner.align(studio.shot(plate, there)).status == "held"
    assert aligner.align(studio.shot(plate, here)).status == "found"
    found = [aligner.align(studio.shot(plate, there)) for _ in range(4)]
    assert [f.status for f in found] == ["held", "held", "found", "found"]
    assert corners_apart(found[-1].homography, there) < 0.6


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


def smooth_scene(x, y):
    return torch.stack(
        [0.5 + 0.4 * torch.sin(x / 17), 0.5 + 0.4 * torch.cos(y / 13), 0.5 + 0.3 * torch.sin((x + y) / 23)]
    )


def test_warping_agrees_with_the_truth_and_the_aligner(studio, corners_apart):
    h, w = 120, 200
    y, x = torch.meshgrid(torch.arange(h, dtype=torch.float64), torch.arange(w, dtype=torch.float64), indexing="ij")
    matrix = studio.camera(degrees=1.5, shift=(9.3, -4.6), perspective=(1e-4, -5e-5), width=w, height=h)
    back = torch.from_numpy(np.linalg.inv(matrix))
    px, py, pz = (back @ torch.stack([x, y, torch.ones_like(x)]).reshape(3, -1)).reshape(3, h, w)
    px, py = px / pz, py / pz
    warped, covered = warp_plate(smooth_scene(x, y)[None].float(), torch.from_numpy(matrix)[None])
    # The edge, extended: what lies beyond it has the colour of its nearest pixel.
    truth = smooth_scene(px.clamp(0, w - 1), py.clamp(0, h - 1))
    assert (warped[0] - truth).abs().max() < 2e-3
    inside = (px > -0.49) & (px < w - 0.51) & (py > -0.49) & (py < h - 0.51)
    outside = (px < -0.51) | (px > w - 0.49) | (py < -0.51) | (py > h - 0.49)
    assert outside.any() and covered.shape == (1, 1, h, w)
    assert covered[0, 0][inside].eq(1).all() and covered[0, 0][outside].eq(0).all()


def test_a_found_homography_warps_the_plate_onto_the_frame(studio):
    plate = studio.room()
    frame = studio.shot(plate, studio.camera(degrees=1.2, shift=(14, -6)), noise=0)
    found = Aligner(plate).align(frame)
    tensors = [torch.from_numpy(a).permute(2, 0, 1)[None].float() / 255 for a in (plate, frame)]
    warped, covered = warp_plate(tensors[0], torch.from_numpy(found.homography)[None])
    assert ((warped - tensors[1]).abs() * covered).mean() < 0.01
    assert (tensors[0] - tensors[1]).abs().mean() > 0.05


def test_the_identity_is_not_resampled(studio):
    bgr = torch.rand(2, 3, 40, 60)
    homography = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    warped, covered = warp_plate(bgr, homography)
    assert warped is bgr and covered.eq(1).all()
    homography[1] = torch.from_numpy(studio.camera(shift=(5, 0)))
    warped, covered = warp_plate(bgr, homography)
    assert torch.equal(warped[0], bgr[0]) and covered[0].eq(1).all()
    torch.testing.assert_close(warped[1, :, :, 5:], bgr[1, :, :, :-5], atol=1e-4, rtol=0)
    assert covered[1, 0, :, :5].eq(0).all() and covered[1, 0, :, 5:].eq(1).all()
    torch.testing.assert_close(warped[1, :, :, :5], bgr[1, :, :, :1].expand(3, 40, 5), atol=1e-4, rtol=0)


def test_half_precision_warps_to_the_right_place():
    bgr = torch.linspace(0, 1, 2000).expand(1, 3, 4, 2000)
    homography = torch.tensor([[[1.0, 0, 3], [0, 1, 0], [0, 0, 1]]])
    warped, covered = warp_plate(bgr.half(), homography)
    assert warped.dtype == covered.dtype == torch.float16
    torch.testing.assert_close(warped[..., 3:].float(), bgr[..., :-3], atol=1e-3, rtol=0)


def test_placing_moves_and_lights_the_plate(studio):
    bgr = torch.rand(1, 3, 40, 60)
    gain, bias = np.array([0.5, 1.0, 2.0]), np.array([0.1, 0.0, 0.0])
    placed = place_plate(bgr, Alignment(studio.camera(shift=(5, 0)), gain, bias, "found"))
    expected = bgr[..., :-5] * torch.tensor([0.5, 1, 2]).view(3, 1, 1) + torch.tensor([0.1, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(placed[..., 5:], expected.clamp(0, 1), atol=2e-4, rtol=0)
    still = Alignment(np.eye(3), np.ones(3), np.zeros(3), "fixed")
    assert torch.equal(place_plate(bgr, still), bgr)
    again, covered = place_plate_and_cover(bgr, Alignment(studio.camera(shift=(5, 0)), gain, bias, "found"))
    assert torch.equal(again, placed)
    assert (covered[..., 5:] == 1).all() and (covered[..., :4] == 0).all()


def test_warping_refuses_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match="homography.shape"):
        warp_plate(torch.rand(2, 3, 8, 8), torch.eye(3)[None])
    with pytest.raises(ValueError, match="bgr.shape"):
        warp_plate(torch.rand(1, 1, 8, 8), torch.eye(3)[None])
