import numpy as np
import pytest
import torch

from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.exposure import SAME_LIGHT, Exposure
from bgmv2.plate.place import place_plate, place_plate_and_cover, warp_plate


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
    placed = place_plate(bgr, Alignment(studio.camera(shift=(5, 0)), Exposure(gain, bias), "found"))
    expected = bgr[..., :-5] * torch.tensor([0.5, 1, 2]).view(3, 1, 1) + torch.tensor([0.1, 0, 0]).view(3, 1, 1)
    torch.testing.assert_close(placed[..., 5:], expected.clamp(0, 1), atol=2e-4, rtol=0)
    still = Alignment(np.eye(3), SAME_LIGHT, "fixed")
    assert torch.equal(place_plate(bgr, still), bgr)
    again, covered = place_plate_and_cover(bgr, Alignment(studio.camera(shift=(5, 0)), Exposure(gain, bias), "found"))
    assert torch.equal(again, placed)
    assert (covered[..., 5:] == 1).all() and (covered[..., :4] == 0).all()


def test_warping_refuses_shapes_that_do_not_belong_together():
    with pytest.raises(ValueError, match="homography.shape"):
        warp_plate(torch.rand(2, 3, 8, 8), torch.eye(3)[None])
    with pytest.raises(ValueError, match="bgr.shape"):
        warp_plate(torch.rand(1, 1, 8, 8), torch.eye(3)[None])


def test_homography_and_mesh_are_one_resampling(studio):
    h, w = 60, 90
    y, x = torch.meshgrid(torch.arange(h, dtype=torch.float32), torch.arange(w, dtype=torch.float32), indexing="ij")
    mesh = torch.zeros(1, 3, 4, 2)
    mesh[:, :, :, 0] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    mesh[:, :, :, 1] = -1.5
    homography = torch.eye(3, dtype=torch.float64)[None]
    for shift in (0, 4):
        homography[0, 0, 2] = shift
        warped, covered = warp_plate(smooth_scene(x, y)[None], homography, mesh=mesh)
        # The nodes at the borders stand on the outermost pixels, and the frame shows the plate from where it was moved.
        truth = smooth_scene(x - 3 * x / (w - 1) - shift, y + 1.5)
        torch.testing.assert_close(warped[0, :, :-4, 6:], truth[:, :-4, 6:], atol=4e-3, rtol=0)
        assert covered[0, 0, -1].eq(0).all() and covered[0, 0, :-3, 6:].eq(1).all()
    alignment = Alignment(homography[0].numpy(), SAME_LIGHT, "found", mesh=mesh[0].numpy())
    torch.testing.assert_close(place_plate(smooth_scene(x, y)[None], alignment), warped)


def test_what_the_plate_never_saw_is_not_covered(studio):
    bgr, seen = torch.rand(1, 3, 40, 60), torch.ones(1, 40, 60, dtype=torch.bool)
    seen[:, 10:20, 30:40] = False
    still = Alignment(np.eye(3), SAME_LIGHT, "fixed")
    placed, covered = place_plate_and_cover(bgr, still, seen=seen)
    assert torch.equal(placed, bgr) and torch.equal(covered[0] > 0, seen)
    moved = Alignment(studio.camera(shift=(5.5, 3)), SAME_LIGHT, "found")
    _, covered = place_plate_and_cover(bgr, moved, seen=seen)
    assert covered[0, 0, 13:23, 35:46].eq(0).all() and covered[0, 0, 14:22, 47:].eq(1).all()
    assert covered[0, 0, 3:12, 6:].eq(1).all() and covered[0, 0, :3].eq(0).all()


def test_what_lies_beside_a_plate_of_one_row_is_not_covered():
    bgr = torch.rand(1, 3, 1, 4)
    moved, covered = warp_plate(bgr, torch.eye(3)[None], size=(3, 4))
    assert covered[0, 0].tolist() == [[1.0] * 4, [0.0] * 4, [0.0] * 4]
    assert (moved - bgr).abs().max() < 1e-6


def test_a_frame_sees_a_part_of_a_mosaic():
    bgr, seen = torch.rand(1, 3, 50, 90), torch.ones(1, 50, 90, dtype=torch.bool)
    seen[:, :, 60:] = False
    part = Alignment(np.array([[1.0, 0, -20], [0, 1, -10], [0, 0, 1]]), SAME_LIGHT, "found")
    placed, covered = place_plate_and_cover(bgr, part, seen=seen, size=(30, 50))
    torch.testing.assert_close(placed, bgr[..., 10:40, 20:70], atol=1e-4, rtol=0)
    assert covered[..., :39].eq(1).all() and covered[..., 41:].eq(0).all()


def test_shapes_that_do_not_belong_together_are_refused():
    bgr, homography = torch.rand(1, 3, 20, 30), torch.eye(3)[None]
    with pytest.raises(ValueError, match="homographies"):
        warp_plate(bgr, homography[0])
    with pytest.raises(ValueError, match="meshes"):
        warp_plate(bgr, homography, mesh=torch.zeros(2, 3, 2))
    with pytest.raises(ValueError, match="seen"):
        warp_plate(bgr, homography, seen=torch.ones(1, 20, 31, dtype=torch.bool))
