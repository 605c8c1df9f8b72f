from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bgmv2.errors import VideoError
from bgmv2.masks import mask_for, open_mask
from bgmv2.video import write_image

SRC = torch.zeros(1, 3, 24, 32)


def opened(path, **options):
    return open_mask(path, width=32, height=24, **options)


def a_matte(dtype=np.uint8):
    """Black, white and grey side by side."""
    matte = np.zeros((24, 32), dtype)
    matte[:, 10:20], matte[:, 20:] = np.iinfo(dtype).max, np.iinfo(dtype).max // 3
    return matte


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_is_one_and_grey_between(tmp_path, dtype, channels):
    write_image(tmp_path / "m.png", a_matte(dtype) if channels == 1 else np.repeat(a_matte(dtype)[..., None], 3, 2))
    mask = opened(tmp_path / "m.png")
    for seconds in (0.0, 7.0):
        shown = mask.at(seconds, SRC)
        assert shown.shape == (1, 1, 24, 32) and shown.dtype == torch.float32
        top = np.iinfo(dtype).max
        torch.testing.assert_close(shown[0, 0], torch.from_numpy(a_matte(dtype).astype(np.float32) / top))
    mask.close()


def test_the_frame_says_type_device_and_number(tmp_path):
    write_image(tmp_path / "m.png", a_matte())
    shown = opened(tmp_path / "m.png").at(0.0, torch.zeros(2, 3, 24, 32, dtype=torch.float16, device="meta"))
    assert (shown.shape, shown.dtype, shown.device.type) == ((2, 1, 24, 32), torch.float16, "meta")


def test_paint_on_an_empty_layer_is_a_matte(tmp_path):
    """White, or any colour that an editor left where nothing was painted."""
    pixels = np.full((24, 32, 4), 255, np.uint8)
    pixels[..., 3] = a_matte()
    pixels[:, :10, :3] = (200, 0, 0)
    write_image(tmp_path / "m.png", pixels)
    expected = torch.from_numpy(a_matte().astype(np.float32) / 255)
    torch.testing.assert_close(opened(tmp_path / "m.png").at(0.0, SRC)[0, 0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_transparency_is_turned_with_its_picture(tmp_path, orientation):
    """Paint and transparency of one and the same picture: turned apart, they would not meet."""
    stored = np.full((24, 32, 4), 0, np.uint8)
    stored[3:9, 5:24] = 255
    stored = np.rot90(stored) if orientation > 4 else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "m.png", exif=exif)
    shown = opened(tmp_path / "m.png").at(0.0, SRC)
    assert shown.sum() == 6 * 19


@pytest.mark.parametrize("size", [(64, 48), (16, 12), (320, 241)])
def test_another_size_of_the_same_shape_is_scaled(tmp_path, size):
    matte = np.zeros(size[::-1], np.uint8)
    matte[:, size[0] // 2 :] = 255
    write_image(tmp_path / "m.png", matte)
    shown = opened(tmp_path / "m.png").at(0.0, SRC)[0, 0]
    assert shown.min() >= 0 and shown.max() <= 1
    assert (shown[:, :14] == 0).all() and (shown[:, 18:] == 1).all()


def test_a_video_is_asked_by_time_and_keeps_its_last_frame(make_clip):
    shots = [np.full((24, 32, 3), grey, np.uint8) for grey in (0, 100, 255)]
    path = make_clip("m.mkv", pictures=shots, size=(32, 24), rate=Fraction(10), codec="ffv1", pixel_format="bgr0")
    mask = opened(path)
    shown = [round(float(mask.at(t, SRC).mean()) * 255) for t in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 60.0)]
    assert shown == [0, 0, 100, 100, 255, 255, 255]
    assert torch.equal(mask.at(60.0, SRC), mask.at(61.0, SRC))
    mask.close()
    mask.close()


def test_a_lossy_codec_does_not_make_a_matte_coloured(make_clip):
    shots = [cv2.GaussianBlur(np.repeat(a_matte()[..., None], 3, axis=2), (0, 0), 1)] * 3
    mask = opened(make_clip("m.mp4", pictures=shots, size=(32, 24), options={"crf": "30"}))
    assert (mask.at(0.0, SRC)[0, 0].numpy() - shots[0][..., 0] / 255).mean() < 0.03
    mask.close()


def test_numbered_pictures_play_at_the_clip_s_rate(tmp_path):
    for index in range(3):
        write_image(tmp_path / f"m.{index:04d}.png", np.full((24, 32), 100 * index, np.uint8))
    for path in (tmp_path, tmp_path / "m.####.png"):
        mask = opened(path, rate=Fraction(24))
        assert [round(float(mask.at(t / 24, SRC).mean()) * 255) for t in range(4)] == [0, 100, 200, 200]
        mask.close()


def refuse(path, said, **options):
    with pytest.raises(VideoError, match=said) as caught:
        opened(path, **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_matte_is_refused(tmp_path, make_clip):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no matte\n" * 20)
    write_image(tmp_path / "wide.png", np.zeros((24, 40), np.uint8))
    write_image(tmp_path / "red.png", np.full((24, 32, 3), (250, 0, 0), np.uint8))
    refuse(tmp_path / "nothing.png", "there is no")
    refuse(tmp_path / "empty", "there is no picture")
    refuse(tmp_path / "notes.txt", "cannot be read")
    refuse(tmp_path / "wide.png", "40x24 pixels, the clip 32x24, which is another shape")
    refuse(tmp_path / "red.png", "has colours, but it should be white, black")
    wide = make_clip("wide.mkv", count=2, size=(64, 24))
    refuse(wide, "64x24 pixels, the clip 32x24")
    wide.unlink()  # nothing holds it open


def test_each_picture_has_the_matte_of_its_name(tmp_path):
    folder = tmp_path / "mattes"
    folder.mkdir()
    for name in ("1.png", "2.tif", "10.png"):
        write_image(folder / name, a_matte())
    assert mask_for(tmp_path / "photos" / "2.jpg", folder) == folder / "2.tif"
    assert mask_for(tmp_path / "photos" / "10.jpg", folder) == folder / "10.png"
    assert mask_for(tmp_path / "photos" / "2.jpg", folder / "1.png") == folder / "1.png"
    with pytest.raises(VideoError, match=r"holds no matte for 3\.jpg: call it 3\.png; black changes nothing"):
        mask_for(tmp_path / "photos" / "3.jpg", folder)
