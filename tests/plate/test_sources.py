import av
import cv2
import numpy as np
import pytest
import torch

from bgmv2.errors import PlateError, VideoError
from bgmv2.plate.sources import load_plate


def save(path, pixels):
    cv2.imwrite(str(path), pixels[..., ::-1])
    return path


def test_a_picture_of_the_clips_size_is_taken_exactly(studio, tmp_path):
    pixels = studio.room(0, 64, 36)
    plate = load_plate(save(tmp_path / "plate.png", pixels), 64, 36)
    assert plate.bgr.shape == (3, 36, 64) and plate.bgr.dtype == torch.float32 and plate.bgr.is_contiguous()
    assert torch.equal(plate.bgr.mul(255).round().byte(), torch.from_numpy(pixels).permute(2, 0, 1))


def test_16_bits_are_kept(studio, tmp_path):
    pixels = studio.room(0, 64, 36).astype(np.uint16) * 200 + 7
    plate = load_plate(save(tmp_path / "plate.png", pixels), 64, 36)
    assert np.array_equal(plate.bgr.double().mul(65535).round().permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize("size", [(32, 18), (128, 72), (129, 72)])
def test_a_picture_of_the_clips_shape_is_scaled(studio, tmp_path, size):
    smooth = cv2.GaussianBlur(studio.room(0, 64, 36), (0, 0), 4)
    plate = load_plate(save(tmp_path / "plate.png", smooth), *size)
    assert plate.bgr.shape == (3, size[1], size[0]) and plate.bgr.min() >= 0 and plate.bgr.max() <= 1
    expected = cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)
    assert np.abs(plate.bgr.permute(1, 2, 0).numpy() - expected / 255).max() < 0.02


def test_another_shape_is_refused_with_both_sizes(studio, tmp_path):
    path = save(tmp_path / "plate.png", studio.room(0, 64, 48))
    with pytest.raises(PlateError, match=r"64x48 pixels, the clip 64x36.*crop.*--backdrop") as caught:
        load_plate(path, 64, 36)
    assert "\n" not in str(caught.value)


def test_a_video_is_no_plate(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(PlateError, match="is a video, but --plate takes one picture.*without the subject.*--backdrop"):
        load_plate(path, 64, 48)


def test_a_folder_is_no_plate_and_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(PlateError, match="is a folder, but --plate takes one picture"):
        load_plate(tmp_path, 64, 48)
    with pytest.raises(VideoError, match="there is no"):
        load_plate(tmp_path / "none.png", 64, 48)


def test_a_clip_without_pixels_is_refused(tmp_path):
    with pytest.raises(ValueError, match="width = 0"):
        load_plate(tmp_path / "plate.png", 0, 48)
