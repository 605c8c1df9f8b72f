import shutil
from fractions import Fraction

import cv2
import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video import open_source, write_image
from bgmv2.video.exr import from_linear


def fill(folder, picture, names, *, size=(24, 16), deep=False):
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        pixels = picture(index, *size)
        write_image(folder / name, pixels.astype(np.uint16) * 257 if deep else pixels)
    return folder


def read(path, **choices):
    source = open_source(path, ReadConfig(**choices))
    frames = list(source)
    source.close()
    return source.info, frames


def error_of(path, **choices):
    with pytest.raises(VideoError) as caught:
        read(path, **choices)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".PNG"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_folder(tmp_path, picture, suffix, deep):
    folder = fill(tmp_path / "shot", picture, [f"shot.{n:04d}{suffix}" for n in range(1001, 1006)], deep=deep)
    (folder / "notes.txt").touch()
    (folder / ".hidden.png").touch()
    info, frames = read(folder)
    is_deep = deep and suffix != ".jpg"
    assert (info.width, info.height, info.frames, info.bits) == (24, 16, 5, 16 if is_deep else 8)
    assert (info.rate, info.time_base, info.aspect) == (25, Fraction(1, 25), 1)
    # Pictures mean sRGB.
    assert (info.color.primaries, info.color.transfer) == (1, 13)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(5)]
    for index, frame in enumerate(frames):
        assert frame.pixels.dtype == (np.uint16 if is_deep else np.uint8)
        difference = frame.pixels / (257 if is_deep else 1) - picture(index, 24, 16)
        assert np.abs(difference).max() <= (0 if suffix != ".jpg" else 60)


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(1, 2)])
def test_the_rate(tmp_path, picture, rate):
    folder = fill(tmp_path / "shot", picture, ["1.png", "2.png", "3.png"])
    info, frames = read(folder, rate=rate)
    assert info.rate == rate
    assert [frame.pts * frame.time_base for frame in frames] == [0, 1 / rate, 2 / rate]


def test_numbers_count_as_people_count(tmp_path, picture):
    names = [f"a{n}.png" for n in (8, 9, 10, 11)]
    _, frames = read(fill(tmp_path / "shot", picture, names))
    assert all((frame.pixels == picture(index, 24, 16)).all() for index, frame in enumerate(frames))


@pytest.mark.parametrize("pattern", ["a.####.png", "a.%04d.png"])
def test_a_pattern(tmp_path, picture, pattern):
    names = ["a.0009.png", "a.0010.png", "a.0011.png"]
    folder = fill(tmp_path, picture, names)
    fill(tmp_path, picture, ["plate.png", "b.0009.png", "a.09.png", "a.00009.png", "a.x.png", "a.0012.png.tmp.png"])
    info, frames = read(folder / pattern)
    assert info.frames == 3 and len(frames) == 3


def test_numbers_may_outgrow_their_place(tmp_path, picture):
    folder = fill(tmp_path, picture, ["a98.png", "a99.png", "a100.png", "a101.png"])
    assert len(read(folder / "a##.png")[1]) == len(read(folder / "a%d.png")[1]) == 4
    assert "there is no picture" in error_of(folder / "a#####.png")


def test_a_file_that_is_called_like_a_pattern_is_a_file(tmp_path, make_clip):
    shutil.copy(make_clip("a.mp4", count=3), tmp_path / "take#1.mp4")
    assert len(read(tmp_path / "take#1.mp4")[1]) == 3


def test_a_part(tmp_path, picture):
    folder = fill(tmp_path / "shot", picture, [f"{n}.png" for n in range(10)])
    assert [frame.pts for frame in read(folder, start=0.12, end=0.24)[1]] == [3, 4, 5]
    info, frames = read(folder, start=0.2, frames=2)
    assert ([frame.pts for frame in frames], info.frames, info.start) == ([5, 6], 2, Fraction(1, 5))
    assert (frames[0].pixels == picture(5, 24, 16)).all()
    assert "shot ends before the start that was asked for, 1 s: its last frame is shown at 0.360 s" in error_of(
        folder, start=1
    )
    assert "nothing of" in error_of(folder, start=0.01, end=0.03)


def test_a_picture_that_is_missing_is_named(tmp_path, picture):
    fill(tmp_path, picture, ["a.0001.png", "a.0002.png", "a.0005.png"])
    for path in (tmp_path, tmp_path / "a.####.png"):
        message = error_of(path)
        assert f"after {tmp_path / 'a.0002.png'} number 3 is missing: the next picture is a.0005.png" in message


def test_a_picture_of_another_kind_is_named(tmp_path, picture):
    fill(tmp_path, picture, ["a1.png", "a2.png"])
    fill(tmp_path, picture, ["a3.png"], size=(12, 16))
    assert "a3.png has 12x16 pixels of 8 bits, the first picture 24x16 of 8; make them all alike" in error_of(tmp_path)
    fill_deep = tmp_path / "deep"
    fill(fill_deep, picture, ["a1.png"])
    fill(tmp_path / "other", picture, ["a2.png"], deep=True)
    shutil.move(tmp_path / "other" / "a2.png", fill_deep)
    assert "a2.png has 24x16 pixels of 16 bits, the first picture 24x16 of 8" in error_of(fill_deep)


def test_a_damaged_picture_is_named(tmp_path, picture):
    folder = fill(tmp_path / "shot", picture, ["a1.png", "a2.png", "a3.png"])
    (folder / "a2.png").write_bytes((folder / "a2.png").read_bytes()[:60])
    source = open_source(folder)
    frames = iter(source)
    next(frames)
    with pytest.raises(VideoError, match=r"a2\.png cannot be read as a picture"):
        next(frames)


def test_folders_that_are_no_sequence(tmp_path, picture):
    assert "there is no picture in" in error_of(tmp_path)
    fill(tmp_path, picture, ["a1.png", "plate.png"])
    assert "plate.png has no number" in error_of(tmp_path) and "a pattern such as" in error_of(tmp_path)
    (tmp_path / "plate.png").unlink()
    fill(tmp_path, picture, ["b1.png"])
    assert "holds several sequences, such as those of a1.png and b1.png" in error_of(tmp_path)
    (tmp_path / "b1.png").unlink()
    fill(tmp_path, picture, ["a01.png"])
    assert "bear the same number" in error_of(tmp_path)


def test_patterns_that_lead_nowhere(tmp_path):
    assert "there is no folder" in error_of(tmp_path / "nowhere" / "a.####.png")
    assert "there is no picture" in error_of(tmp_path / "a.####.png")
    assert "needs one place for the number, such as #### or %04d, and has 2" in error_of(tmp_path / "a%02d.##.png")
    assert "needs one place for the number, such as #### or %04d, and has 0" in error_of(tmp_path / "a#b#.png")
    assert "raw frames come in on standard input" in error_of(tmp_path / "a.####.png", raw="rgb24:4x4")


def test_a_single_picture_leads_to_the_pattern(tmp_path, picture):
    fill(tmp_path, picture, ["a.0001.png", "a.0002.png"])
    message = error_of(tmp_path / "a.0001.png")
    assert "is a picture" in message and "a pattern such as shot.####.png" in message


def test_exr(tmp_path):
    openexr = pytest.importorskip("OpenEXR")
    light = np.random.default_rng(0).random((3, 16, 24, 3)).astype(np.float16)
    light[1:, 0, 0] = 3
    for index, pixels in enumerate(light):
        header = {"type": openexr.scanlineimage, "compression": openexr.ZIP_COMPRESSION, "pixelAspectRatio": 2.0}
        openexr.File(header, {"RGB": pixels}).write(str(tmp_path / f"a.{index:04d}.exr"))
    with pytest.warns(Bgmv2Warning, match=r"a\.0001\.exr holds light above 1") as caught:
        info, frames = read(tmp_path, rate=Fraction(24))
    assert len(caught) == 1
    assert (info.bits, info.aspect, info.color.transfer) == (16, 2, 13)
    for frame, pixels in zip(frames, light, strict=True):
        assert (frame.pixels == from_linear(pixels)).all()


def test_other_programs_pictures(tmp_path):
    """Grey ones, and ones with alpha, become RGB."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "a1.png"), grey)
    cv2.imwrite(str(tmp_path / "a2.png"), np.dstack([grey] * 4))
    _, frames = read(tmp_path)
    assert all((frame.pixels == grey[..., None]).all() for frame in frames)
