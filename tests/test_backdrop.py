from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch

from bgmv2 import backdrop as backdrop_module
from bgmv2.backdrop import open_backdrop
from bgmv2.compose import blurred
from bgmv2.errors import BackdropError
from bgmv2.types import Frame, VideoInfo

PLATE = torch.full((3, 24, 32), 0.5)


def opened(spec, width=32, height=24):
    return open_backdrop(str(spec), width=width, height=height)


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


class FakeSource:
    """A clip whose frames are told apart by their grey level; counts what is open and how far it was read."""

    still_open = 0
    read = 0

    def __init__(self, times, rate):
        self.times = times
        self.info = VideoInfo(width=32, height=24, rate=Fraction(rate), time_base=Fraction(1, 1000))
        FakeSource.still_open += 1

    def __iter__(self):
        for index, milliseconds in enumerate(self.times):
            FakeSource.read += 1
            yield Frame(np.full((24, 32, 3), 10 * (index + 1), np.uint8), milliseconds, self.info.time_base)

    def close(self):
        FakeSource.still_open -= 1


@pytest.fixture
def fake_clip(monkeypatch, tmp_path):
    def build(times, rate):
        FakeSource.still_open = FakeSource.read = 0
        monkeypatch.setattr(backdrop_module, "kind_of", lambda path: "video")
        monkeypatch.setattr(backdrop_module, "open_source", lambda path: FakeSource(times, rate))
        path = tmp_path / "sea.mp4"
        path.touch()
        return opened(path)

    return build


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


def test_variable_frame_rates_are_obeyed(fake_clip):
    behind = fake_clip([0, 100, 900, 950], rate=4)  # the last frame stays for 1/4 s: the turn takes 1.2 s
    expected = {0.0: 10, 0.05: 10, 0.1: 20, 0.5: 20, 0.899: 30, 0.92: 30, 1.1: 40, 1.19: 40, 1.2: 10, 1.3: 20, 2.1: 30}
    assert {t: level(behind.at(t, PLATE)) for t in expected} == expected


def test_the_video_starts_with_the_clip_even_if_its_own_clock_does_not(fake_clip):
    behind = fake_clip([5000, 5500], rate=2)
    assert [level(behind.at(t, PLATE)) for t in (-0.04, 0.0, 0.4, 0.5, 1.0, 1.5)] == [10, 10, 10, 20, 10, 20]


def test_times_rounded_to_milliseconds_drop_no_frame(fake_clip):
    behind = fake_clip([0, 33, 67, 100, 133, 167, 200], rate=30)
    shown = [level(behind.at(float(Fraction(i, 30)), PLATE)) for i in range(14)]
    assert shown == [10, 20, 30, 40, 50, 60, 70] * 2


def test_a_slow_clip_skips_frames_of_a_fast_video_and_whole_turns(fake_clip):
    behind = fake_clip([0, 10, 20, 30], rate=100)
    assert [level(behind.at(t, PLATE)) for t in (0.0, 0.03, 0.05, 1.02)] == [10, 40, 20, 30]


def test_a_video_is_opened_when_needed_read_one_frame_ahead_and_closed(fake_clip):
    behind = fake_clip([0, 100, 200, 300], rate=10)
    assert (FakeSource.still_open, FakeSource.read) == (0, 0)
    behind.at(0.0, PLATE)
    assert (FakeSource.still_open, FakeSource.read) == (1, 2)
    behind.at(0.05, PLATE)
    assert (FakeSource.still_open, FakeSource.read) == (1, 2)
    behind.at(1.0, PLATE)
    assert FakeSource.still_open == 1  # not one for each turn
    behind.close()
    behind.close()
    assert FakeSource.still_open == 0


def test_a_video_never_shown_is_closed_all_the_same(fake_clip):
    fake_clip([0], rate=10).close()
    assert FakeSource.still_open == 0


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
