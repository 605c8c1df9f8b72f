"""A sweep over a room that is larger than any of its frames becomes one picture of it."""

import cv2
import numpy as np
import pytest

from bgmv2.errors import PlateError
from bgmv2.plate.mosaic import make_mosaic
from bgmv2.plate.sources import load_plate, save_plate
from bgmv2.video import write_image

SIZE = WIDTH, HEIGHT = 320, 180
FOCAL = 300.0
CAMERA = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])


def turned(pan, tilt=0.0, roll=0.0):
    """The homography from a frame of a camera that is turned by some degrees to that of one that is not."""
    vectors = np.radians([[tilt, 0, 0], [0, pan, 0], [0, 0, roll]])
    x, y, z = (cv2.Rodrigues(vector)[0] for vector in vectors)
    matrix = CAMERA @ y @ x @ z @ np.linalg.inv(CAMERA)
    return matrix / matrix[2, 2]


@pytest.fixture
def sweep(studio, tmp_path):
    """Films a wide room, and returns the folder of frames and the room as the mosaic should show it."""
    room = studio.room(5, 1400, 500)
    middle = np.array([[1, 0, 540.0], [0, 1, 160], [0, 0, 1]])  # from the middle frame to the room

    def film(cameras, *, gains=None, name="sweep"):
        folder = tmp_path / name
        folder.mkdir()
        for index, camera in enumerate(cameras):
            seen = cv2.warpPerspective(room, np.linalg.inv(middle @ camera), SIZE, flags=cv2.INTER_CUBIC)
            noisy = seen * (1.0 if gains is None else gains[index]) + studio.rng.normal(0, 2, seen.shape)
            write_image(folder / f"{index:03d}.png", np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
        return folder, room

    return film


def shifts(mosaic, seen, room):
    """How far squares of the mosaic are from where the room has them, in pixels; the middle frame tells the offset."""
    grey, truth = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).astype(np.float32) for x in (mosaic, room))
    part = truth[160 : 160 + HEIGHT, 540 : 540 + WIDTH]
    _, _, _, at = cv2.minMaxLoc(cv2.matchTemplate(grey, part, cv2.TM_CCOEFF_NORMED))
    left, top = 540 - at[0], 160 - at[1]
    found = []
    for y in range(0, grey.shape[0] - 64, 32):
        for x in range(0, grey.shape[1] - 64, 32):
            here = np.s_[y : y + 64, x : x + 64]
            if seen[here].all():
                there = truth[top + y : top + y + 64, left + x : left + x + 64]
                (dx, dy), _ = cv2.phaseCorrelate(grey[here], there, cv2.createHanningWindow((64, 64), cv2.CV_32F))
                found.append(np.hypot(dx, dy))
    return np.array(found)


def test_a_sweep_becomes_one_picture(sweep):
    pans = np.linspace(-28, 28, 17)
    folder, room = sweep([turned(pan, 3 * np.sin(pan / 9), np.cos(pan / 7) - 1) for pan in pans])
    made = make_mosaic(folder)
    assert (made.frames, made.left_out, made.frame_size) == (17, 0, SIZE)
    assert made.pixels.shape[1] > 2 * WIDTH and made.seen.shape == made.pixels.shape[:2]
    apart = shifts(made.pixels, made.seen, room)
    assert len(apart) > 60
    assert np.median(apart) < 0.3 and apart.max() < 1


def test_exposure_that_drifts_leaves_no_steps(sweep):
    pans = np.linspace(-20, 20, 13)
    folder, room = sweep([turned(pan) for pan in pans], gains=np.linspace(0.8, 1.2, 13))
    made = make_mosaic(folder)
    grey = made.pixels.mean(axis=2)
    left, top = 540, 160
    _, _, _, at = cv2.minMaxLoc(
        cv2.matchTemplate(made.pixels, room[top : top + HEIGHT, left : left + WIDTH], cv2.TM_CCOEFF_NORMED)
    )
    truth = room[top - at[1] :, left - at[0] :][: grey.shape[0], : grey.shape[1]].mean(axis=2)
    ratio = grey[made.seen] / truth[made.seen]
    assert np.abs(ratio / np.median(ratio) - 1).mean() < 0.03


def test_a_mosaic_is_saved_with_its_coverage_and_the_size_of_its_frames(sweep, tmp_path):
    folder, _ = sweep([turned(pan) for pan in np.linspace(-10, 10, 7)])
    made = make_mosaic(folder)
    path = tmp_path / "plate.png"
    save_plate(path, made)
    plate = load_plate(path, WIDTH, HEIGHT)
    assert plate.bgr.shape[1:] == made.pixels.shape[:2]
    assert np.array_equal(plate.seen[0].numpy(), made.seen) and not made.seen.all()
    assert np.array_equal((plate.bgr.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), made.pixels)
    half = load_plate(path, WIDTH // 2, HEIGHT // 2)
    assert half.bgr.shape[2] == pytest.approx(made.pixels.shape[1] / 2, abs=1)
    with pytest.raises(PlateError, match="made of frames of 320x180 pixels, the clip 320x240"):
        load_plate(path, 320, 240)


def test_frames_that_do_not_overlap_are_refused(studio, tmp_path):
    for index in range(6):
        write_image(tmp_path / f"{index}.png", studio.room(index, *SIZE))
    with pytest.raises(PlateError, match="only 1 of 6 frames.*sweep slowly"):
        make_mosaic(tmp_path)


def test_a_sweep_that_is_too_wide_is_refused(sweep, monkeypatch):
    monkeypatch.setattr("bgmv2.plate.mosaic._WIDEST", 1.2)
    folder, _ = sweep([turned(pan) for pan in np.linspace(-10, 10, 7)])
    with pytest.raises(PlateError, match="about 120 degrees at most"):
        make_mosaic(folder)
