import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from bgmv2.errors import OutputError, OutputExistsError, VideoError
from bgmv2.video import list_images, read_image, write_image
from bgmv2.video.images import read_opacity, read_text


def error_of(path):
    with pytest.raises(VideoError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".PNG"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_and_alpha_come_back(tmp_path, picture, suffix, channels, stored):
    pixels = picture(0, 40, 30)
    if channels == 4:
        pixels = np.dstack([pixels, picture(1, 40, 30)[..., 0]])
    path = tmp_path / f"a{suffix}"
    write_image(path, pixels)
    written = stored(path)
    # WebP says nothing of colours that are fully transparent.
    visible = slice(None) if channels == 3 or suffix != ".webp" else pixels[..., 3] > 0
    assert (written[visible] == pixels[visible]).all()
    assert os.listdir(tmp_path) == [path.name]
    if channels == 3:
        assert (read_image(path) == pixels).all()


def test_alpha_is_dropped_without_blending(tmp_path, picture):
    pixels = np.dstack([picture(0, 40, 30), np.zeros((30, 40), np.uint8)])
    write_image(tmp_path / "a.png", pixels)
    assert (read_image(tmp_path / "a.png") == pixels[..., :3]).all()


def test_jpeg(tmp_path, picture):
    write_image(tmp_path / "a.jpg", picture(0, 40, 30))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - picture(0, 40, 30)).mean() < 3
    with pytest.raises(OutputError, match=r"no transparency; use \.png"):
        write_image(tmp_path / "b.jpg", np.zeros((4, 4, 4), np.uint8))


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3), (30, 40, 4)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits(tmp_path, suffix, shape, stored):
    pixels = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    write_image(tmp_path / f"a{suffix}", pixels)
    assert (stored(tmp_path / f"a{suffix}") == pixels).all()
    result = read_image(tmp_path / f"a{suffix}")
    assert result.dtype == np.uint16 and result.shape == (30, 40, 3)


def test_sixteen_bits_are_rounded_where_eight_fit(tmp_path):
    ramp = np.arange(256, dtype=np.uint16)[None].repeat(4, axis=0)
    write_image(tmp_path / "a.webp", ramp * 257 + np.uint16(100) * (ramp < 255))
    assert (read_image(tmp_path / "a.webp")[..., 0] == ramp).all()


def test_grey_becomes_rgb(tmp_path, stored):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    write_image(tmp_path / "a.png", grey)
    assert stored(tmp_path / "a.png").ndim == 2
    assert (read_image(tmp_path / "a.png") == grey[..., None]).all()


def test_orientation_of_telephones_is_obeyed(tmp_path, picture):
    pixels = np.full((32, 64, 3), 128, np.uint8)
    pixels[:, :32] = 250
    write_image(tmp_path / "a.jpg", pixels)
    data = (tmp_path / "a.jpg").read_bytes()
    # One EXIF entry: orientation (0x0112), a short, 6 = turn a quarter clockwise.
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    turned = read_image(tmp_path / "a.jpg")
    assert turned.shape == (64, 32, 3)
    assert turned[:24].mean() > 240 and turned[40:].mean() < 140


def test_not_a_picture(tmp_path, make_clip):
    assert "there is no picture" in error_of(tmp_path / "nothing.png")
    assert "folder" in error_of(tmp_path)
    (tmp_path / "empty.png").touch()
    assert "empty" in error_of(tmp_path / "empty.png")
    (tmp_path / "noise.png").write_bytes(b"not a picture" * 50)
    assert "cannot be read as a picture" in error_of(tmp_path / "noise.png")
    assert "is a video" in error_of(make_clip("clip.mp4"))


def test_floating_point_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.tif"), np.zeros((4, 4, 3), np.float32))
    assert "float32" in error_of(tmp_path / "a.tif")


def test_writing_is_careful(tmp_path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    path = tmp_path / "a.png"
    write_image(path, pixels)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        write_image(path, pixels + 1)
    write_image(path, pixels + 1, overwrite=True)
    assert (read_image(path) == 1).all()
    with pytest.raises(OutputError, match="suffix"):
        write_image(tmp_path / "a.gif", pixels)
    with pytest.raises(OutputError, match="there is no folder"):
        write_image(tmp_path / "nowhere" / "a.png", pixels)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        write_image(tmp_path / "b.png", pixels.astype(np.float32))
    assert os.listdir(tmp_path) == ["a.png"]


def test_names_beyond_ascii(tmp_path, picture):
    write_image(tmp_path / "стена ü.png", picture(0, 8, 8))
    assert (read_image(tmp_path / "стена ü.png") == picture(0, 8, 8)).all()


def test_pictures_are_listed_as_people_count(tmp_path):
    for name in ("10.png", "2.PNG", "1.jpg", "b2.png", "b10.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["1.jpg", "2.PNG", "10.png", "b2.png", "b10.png"]
    with pytest.raises(VideoError, match="no picture in"):
        list_images(tmp_path / "folder.png")
    with pytest.raises(VideoError, match="no folder"):
        list_images(tmp_path / "nowhere")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_read_apart(tmp_path, dtype):
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (6, 8, 4)).astype(dtype)
    write_image(tmp_path / "a.png", pixels)
    opacity = read_opacity(tmp_path / "a.png")
    assert opacity is not None and opacity.dtype == dtype and (opacity == pixels[..., 3]).all()
    assert (read_image(tmp_path / "a.png") == pixels[..., :3]).all()


def test_what_is_opaque_has_no_transparency(tmp_path):
    opaque = np.full((6, 8, 4), 255, np.uint8)
    for name, pixels in (("grey.png", opaque[..., 0]), ("rgb.jpg", opaque[..., :3]), ("rgba.png", opaque)):
        write_image(tmp_path / name, pixels)
        assert read_opacity(tmp_path / name) is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_transparency_stands_upright(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    pixels[..., 3] = pixels[..., 0]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert (read_opacity(tmp_path / "a.png") == read_image(tmp_path / "a.png")[..., 0]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_notes_are_kept_in_png(tmp_path, dtype):
    pixels = np.arange(48, dtype=dtype).reshape(4, 4, 3)
    write_image(tmp_path / "a.png", pixels, text={"frame size": "64x48", "b": "c d"})
    assert read_text(tmp_path / "a.png") == {"frame size": "64x48", "b": "c d"}
    assert (read_image(tmp_path / "a.png") == pixels).all()
    write_image(tmp_path / "b.png", pixels)
    write_image(tmp_path / "c.tif", pixels, text={"frame size": "64x48"})
    assert read_text(tmp_path / "b.png") == {} and "frame size" not in read_text(tmp_path / "c.tif")
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes()[:40])
    assert read_text(tmp_path / "d.png") == {} == read_text(tmp_path / "nothing.png")
