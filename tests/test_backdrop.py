from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch

from bgmv2.backdrop import open_backdrop
from bgmv2.compose import blurred
from bgmv2.config import CompositeConfig
from bgmv2.errors import BackdropError

PLATE = torch.full((3, 24, 32), 0.5)


def opened(spec, width=32, height=24, rate=None, **composite):
    return open_backdrop(str(spec), width=width, height=height, rate=rate, composite=CompositeConfig(**composite))


def write_video(path, levels, rate=10, size=(32, 24)):
    """Write one even grey frame for each level."""
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1" if path.suffix == ".mkv" else "libx264", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "bgr0" if path.suffix == ".mkv" else "yuv420p"
        for level in levels:
            pixels = np.full((size[1], size[0], 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def level(picture):
    assert picture.shape == PLATE.shape
    assert picture.min() == picture.max()
    return round(picture.mean().item() * 255)


def test_a_color_fills_the_frame():
    behind = opened("#0b4")
    for plate in (PLATE, PLATE.expand(2, 3, 24, 32)):
        picture = behind.at(0.0, plate)
        assert picture.shape == (3, 24, 32)
        torch.testing.assert_close(picture, torch.tensor([0, 187, 68]).div(255).view(3, 1, 1).expand(3, 24, 32))
    behind.close()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_plate_says_type_and_device(dtype, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((24, 32, 3), np.uint8))
    for spec in ("blur", "black", tmp_path / "a.png"):
        behind = opened(spec)
        assert behind.at(0.0, PLATE.to(dtype)).dtype == dtype
        assert behind.at(0.1, PLATE.to("meta", dtype)).device.type == "meta"


def test_blur_blurs_the_plate_as_it_stands_in_each_frame():
    behind = opened("blur")
    for seed in range(2):
        plate = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(behind.at(seed / 30, plate), blurred(plate))
    behind.close()


@pytest.mark.parametrize(
    ("spec", "strength"),
    [("blur:20", 20 / 24), ("blur:1.5px", 1.5 / 24), ("blur:.5", 0.5 / 24), ("blur:3%", 0.03), ("blur:0", 0.0)],
)
def test_a_blur_is_as_wide_as_was_asked_for(spec, strength):
    plate = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(opened(spec).at(0.0, plate), blurred(plate, strength=strength))


@pytest.mark.parametrize("spec", ["blur:25", "Blur:101%", "blur:99999"])
def test_a_blur_wider_than_the_picture_is_refused(spec):
    with pytest.raises(BackdropError, match="is wider than the picture is high, 24 pixels"):
        opened(spec)


@pytest.mark.parametrize("spec", ["blur:", "blur:wide", "blur:-1", "blur:3em", "blur:1e3", "blur:3%%"])
def test_a_blur_of_no_width_is_refused(spec):
    with pytest.raises(BackdropError, match="is no blur; write blur, blur:20 for 20 pixels, or blur:3%"):
        opened(spec)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)])
def test_a_picture_of_the_right_size_is_shown_as_it_is(tmp_path, dtype, top):
    pixels = np.random.default_rng(0).integers(0, top + 1, (24, 32, 3)).astype(dtype)
    cv2.imwrite(str(tmp_path / "beach.png"), pixels[..., ::-1])
    behind = opened(tmp_path / "beach.png")
    expected = torch.from_numpy(pixels.astype(np.float32) / top).permute(2, 0, 1)
    torch.testing.assert_close(behind.at(0.0, PLATE), expected)
    assert behind.at(0.0, PLATE).data_ptr() == behind.at(9.0, PLATE).data_ptr()  # not uploaded for every frame


@pytest.mark.parametrize("size", [(240, 100), (100, 240), (12, 5), (5, 12), (300, 7), (1, 1)])
def test_a_picture_fills_the_frame_and_is_cut_evenly(tmp_path, size):
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    # Distances from the centre: after scaling by one factor and cutting evenly, both keep their slope and their zero.
    pixels = np.stack([x - (width - 1) / 2, y - (height - 1) / 2, np.zeros_like(x)], axis=-1) / max(size)
    cv2.imwrite(str(tmp_path / "a.png"), np.round((0.5 + pixels[..., ::-1]) * 65535).astype(np.uint16))
    picture = opened(tmp_path / "a.png").at(0.0, PLATE)
    assert picture.shape == (3, 24, 32)
    scale = max(32 / width, 24 / height)
    off_center = (torch.arange(32) - 15.5) / scale / max(size)
    if min(size) > 5:
        torch.testing.assert_close(picture[0, 12], 0.5 + off_center, atol=0.02, rtol=0)
        torch.testing.assert_close(picture[1, :, 16], 0.5 + off_center[4:-4], atol=0.02, rtol=0)


@pytest.mark.parametrize("size", [(64, 24), (16, 24), (32, 48), (32, 12), (96, 100), (5, 3), (500, 2)])
def test_a_picture_may_be_seen_whole(tmp_path, size):
    """It is as large as fits, in the middle, with black beside it."""
    width, height = size
    cv2.imwrite(str(tmp_path / "a.png"), np.full((height, width, 3), 200, np.uint8))
    picture = opened(tmp_path / "a.png", backdrop_fit="fit").at(0.0, PLATE)
    scale = min(32 / width, 24 / height)
    inner_w, inner_h = max(1, round(scale * width)), max(1, round(scale * height))
    seen = picture[0] > 0
    assert seen.sum() == inner_w * inner_h
    rows, columns = seen.any(dim=1).nonzero().flatten(), seen.any(dim=0).nonzero().flatten()
    assert (rows[0], columns[0]) == ((24 - inner_h) // 2, (32 - inner_w) // 2)
    assert seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    torch.testing.assert_close(picture[:, seen], torch.full((3, int(seen.sum())), 200 / 255))


@pytest.mark.parametrize("size", [(64, 24), (16, 24), (32, 48), (96, 300)])
def test_a_picture_may_be_stretched(tmp_path, size):
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([(x + 0.5) / width, (y + 0.5) / height, np.zeros(x.shape)], axis=-1)
    cv2.imwrite(str(tmp_path / "a.png"), np.round(pixels[..., ::-1] * 65535).astype(np.uint16))
    picture = opened(tmp_path / "a.png", backdrop_fit="stretch").at(0.0, PLATE)
    across, down = (torch.arange(32) + 0.5) / 32, (torch.arange(24) + 0.5) / 24
    torch.testing.assert_close(picture[0], across.expand(24, 32), atol=0.02, rtol=0)
    torch.testing.assert_close(picture[1], down[:, None].expand(24, 32), atol=0.02, rtol=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_plate_is_seen_through_what_is_transparent(tmp_path, dtype):
    top = np.iinfo(dtype).max
    pixels = np.zeros((24, 32, 4), dtype)
    pixels[..., 0], pixels[..., 3] = top, top  # blue; OpenCV's order
    pixels[:, 16:, 3] = 0
    pixels[:8, :, 3] = top // 2
    cv2.imwrite(str(tmp_path / "logo.png"), pixels)
    plate = torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    picture = opened(tmp_path / "logo.png").at(0.0, plate)
    blue = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
    assert picture.shape == plate.shape
    assert torch.equal(picture[..., 8:, 16:], plate[..., 8:, 16:])
    torch.testing.assert_close(picture[..., 8:, :16], blue.expand(2, 3, 16, 16))
    torch.testing.assert_close(picture[..., :8, :], (blue + plate[..., :8, :]) / 2, atol=0.003, rtol=0)


@pytest.mark.parametrize("fit", ["fit", "fill", "stretch"])
def test_no_colour_bleeds_out_of_what_is_transparent(tmp_path, fit):
    """White paint on a layer that is black where nothing was painted, as editors store it, gets no dark rim."""
    pixels = np.zeros((240, 640, 4), np.uint8)
    cv2.circle(pixels, (320, 120), 90, (255, 255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "logo.png"), pixels)
    picture = opened(tmp_path / "logo.png", backdrop_fit=fit).at(0.0, torch.ones(3, 24, 32))
    torch.testing.assert_close(picture, torch.ones(3, 24, 32))  # of bars, too, nothing is seen


def test_an_opaque_picture_is_the_same_with_and_without_a_fourth_channel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    cv2.imwrite(str(tmp_path / "a.png"), pixels[..., :3])
    cv2.imwrite(str(tmp_path / "b.png"), pixels)
    assert torch.equal(opened(tmp_path / "a.png").at(0.0, PLATE), opened(tmp_path / "b.png").at(0.0, PLATE))


def test_a_plate_of_another_size_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="another size"):
        opened(tmp_path / "a.png").at(0.0, torch.zeros(3, 24, 33))


@pytest.mark.parametrize("name", ["sea.mp4", "sea.mkv"])
def test_a_video_shows_what_is_on_at_each_instant_and_begins_again(tmp_path, name):
    levels = [40, 80, 120, 160]
    behind = opened(write_video(tmp_path / name, levels, rate=10))
    for index in range(30):  # at 25 fps, three turns of 0.4 s
        shown = behind.at(index / 25, PLATE)
        assert shown.shape == (3, 24, 32)
        assert shown.mean().item() * 255 == pytest.approx(levels[int(index / 25 / 0.1 + 1e-6) % 4], abs=2)
    behind.close()
    behind.close()


def test_a_video_of_another_shape_fills_the_frame(tmp_path):
    behind = opened(write_video(tmp_path / "sea.mkv", [90], size=(64, 16)), width=30, height=50)
    torch.testing.assert_close(behind.at(0.0, torch.zeros(3, 50, 30)), torch.full((3, 50, 30), 90 / 255))
    behind.close()


def test_a_video_may_be_held_and_begun_in_its_midst(tmp_path):
    path = write_video(tmp_path / "sea.mkv", [40, 80, 120], rate=10)
    behind = opened(path, backdrop_end="hold", backdrop_offset=0.1)
    assert [level(behind.at(t / 10, PLATE)) for t in range(4)] == [80, 120, 120, 120]
    behind.close()
    with pytest.raises(BackdropError, match="ends before the start that was asked for, 9 s.* picture or video"):
        opened(path, backdrop_offset=9.0)


def test_a_video_has_its_shape_fitted_too(tmp_path):
    behind = opened(write_video(tmp_path / "sea.mkv", [90], size=(64, 24)), backdrop_fit="fit")
    picture = behind.at(0.0, PLATE)
    assert (picture[:, 6:18] == 90 / 255).all() and (picture[:, :6] == 0).all() and (picture[:, 18:] == 0).all()
    behind.close()


def test_numbered_pictures_are_a_video(tmp_path):
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"sea.{index:04d}.png"), np.full((24, 32, 3), 10 * (index + 1), np.uint8))
    for spec in (tmp_path, tmp_path / "sea.####.png"):
        behind = opened(spec, rate=Fraction(50))
        assert [level(behind.at(t / 50, PLATE)) for t in range(4)] == [10, 20, 30, 10]
        behind.close()


@pytest.mark.parametrize("spec", ["no/such/beach", "beach.jpg", "/no/such.mp4"])
def test_a_missing_file_is_said_to_be_missing(spec):
    with pytest.raises(BackdropError, match="there is no file .* a colour .* picture or video"):
        opened(spec)


@pytest.mark.parametrize("spec", ["gren", "#12345", "", "blurr"])
def test_a_mistyped_color_is_said_to_be_no_color(spec):
    with pytest.raises(BackdropError, match="is no colour.* blur, .* picture or video") as caught:
        opened(spec)
    assert "\n" not in str(caught.value)


def test_what_is_neither_picture_nor_video_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not a picture\n" * 20)
    (tmp_path / "empty.png").touch()
    with av.open(tmp_path / "song.wav", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.layout = "mono"
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    for path in (tmp_path, tmp_path / "notes.txt", tmp_path / "empty.png", tmp_path / "song.wav"):
        with pytest.raises(BackdropError, match="a backdrop is blur, a colour .* picture or video") as caught:
            opened(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_called_like_a_color_is_given_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("green.png", np.full((24, 32, 3), 7, np.uint8))
    (tmp_path / "green.png").rename("green")
    assert level(opened("./green").at(0.0, PLATE)) == 7
    assert not torch.equal(opened("./green").at(0.0, PLATE), opened("green").at(0.0, PLATE))


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        opened("black", width=0)
