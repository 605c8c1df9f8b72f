"""The sample clip is what its README says."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

SAMPLE = Path(__file__).parent / "sample"
SIZE = (720, 1280)


def decode(name, pixel_format):
    """Every 20th frame as an array, and the timestamps of all."""
    with av.open(str(SAMPLE / name)) as container:
        frames = list(container.decode(video=0))
    return [f.to_ndarray(format=pixel_format) for f in frames[::20]], [f.pts * f.time_base for f in frames]


@pytest.fixture(scope="module")
def clip():
    return decode("clip.mp4", "rgb24")


@pytest.fixture(scope="module")
def alpha():
    return decode("alpha.mp4", "gray")


@pytest.fixture(scope="module")
def plate():
    return cv2.cvtColor(cv2.imread(str(SAMPLE / "plate.jpg")), cv2.COLOR_BGR2RGB)


def test_is_small():
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) <= 3e6


def test_clip_alpha_and_plate_belong_together(clip, alpha, plate):
    assert clip[1] == alpha[1] and len(clip[1]) == 125
    assert {frame.shape for frame in clip[0]} == {(*SIZE, 3)} == {plate.shape}
    assert {frame.shape for frame in alpha[0]} == {SIZE}


def test_clip_has_sound_as_long_as_its_pictures():
    with av.open(str(SAMPLE / "clip.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
        assert sound.shape[1] / container.streams.audio[0].rate == pytest.approx(5, abs=0.05)
    assert 0.05 < np.abs(sound).max() < 0.5


def test_alpha_reaches_both_ends_and_lies_between_at_the_edges(alpha):
    for frame in alpha[0]:
        assert frame.min() == 0 and frame.max() == 255
        between = (frame > 20) & (frame < 235)
        assert 1e-3 < between.mean() < 2e-2
        assert np.isin(frame, (0, 1, 254, 255)).mean() > 0.97


def test_alpha_reads_the_same_as_grey_and_as_colours(alpha):
    for grey, rgb in zip(alpha[0], decode("alpha.mp4", "rgb24")[0], strict=True):
        assert np.abs(rgb.astype(int) - grey[..., None]).max() <= 2


def test_person_stands_on_the_lower_edge_and_touches_no_other(alpha):
    for frame in alpha[0]:
        assert frame[-1].max() == 255
        assert max(frame[0].max(), frame[:, 0].max(), frame[:, -1].max()) == 0


def test_person_moves(alpha):
    widths = np.arange(SIZE[1])
    centres = [float((frame.sum(0) * widths).sum() / frame.sum()) for frame in alpha[0]]
    assert max(centres) - min(centres) > 60


def test_room_is_the_plate_but_for_noise_and_exposure(clip, alpha, plate):
    for frame, pha in zip(clip[0], alpha[0], strict=True):
        far = cv2.dilate((pha > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
        seen, clean = frame[far].astype(float), plate[far].astype(float)
        gain = (seen * clean).sum(0) / (clean**2).sum(0)
        assert np.all((gain > 0.94) & (gain < 1.0))
        error = np.abs(seen - gain * clean)
        assert error.mean() < 2.5
        assert np.percentile(error, 99) < 8
