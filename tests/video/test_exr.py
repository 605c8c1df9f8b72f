import sys
from fractions import Fraction

import numpy as np
import pytest

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video import read_image
from bgmv2.video.exr import decode_srgb, encode_srgb, exr_tags, from_linear, read_exr, to_linear


def test_the_curve_is_that_of_the_standard_and_piecewise():
    # IEC 61966-2-1: the two pieces meet; mid grey; a power of 2.2 would give 0.218 for 0.5.
    assert encode_srgb(np.array([0, 0.0031308, 0.214041, 1])) == pytest.approx([0, 0.040450, 0.5, 1], abs=1e-5)
    assert decode_srgb(np.array([0, 0.04045, 0.5, 1])) == pytest.approx([0, 0.0031308, 0.214041, 1], abs=1e-6)
    light = np.linspace(0, 1, 1001)
    assert decode_srgb(encode_srgb(light)) == pytest.approx(light, abs=1e-7)


def test_what_is_no_light_is_black_or_white():
    odd = np.array([-1, -np.inf, np.nan, 1.5, np.inf])
    assert encode_srgb(odd) == pytest.approx([0, 0, 0, 1, 1])
    for dtype in (np.float16, np.float32):
        assert from_linear(odd.astype(dtype)).tolist() == [0, 0, 0, 65535, 65535]


def test_integers_come_back():
    codes = np.arange(65536, dtype=np.uint16)
    assert (from_linear(to_linear(codes)) == codes).all()
    assert (from_linear(to_linear(codes[:256].astype(np.uint8))) == codes[:256] * 257).all()
    # Half floats have 11 bits: enough for each code of 10 bits.
    ten = np.rint(np.arange(1024) * 65535 / 1023).astype(np.uint16)
    halves = from_linear(to_linear(ten).astype(np.float16))
    assert np.abs(halves.astype(int) - ten).max() < 32


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(b"v/1\x01")
    with pytest.raises(VideoError, match=r"a\.exr needs the package OpenEXR: pip install 'bgmv2\[exr\]'"):
        read_exr(tmp_path / "a.exr")


@pytest.fixture
def write():
    """Write an EXR file as other programs do."""
    openexr = pytest.importorskip("OpenEXR")

    def write(path, channels, **header):
        compression = getattr(openexr, f"{header.pop('compression', 'ZIP')}_COMPRESSION")
        openexr.File({"type": openexr.scanlineimage, "compression": compression, **header}, channels).write(str(path))
        return path

    return write


@pytest.fixture
def light():
    return np.random.default_rng(0).random((30, 40, 3)).astype(np.float16)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", ["NO", "ZIP", "ZIPS", "PIZ", "RLE"])
def test_a_picture(tmp_path, write, light, dtype, compression):
    path = write(tmp_path / "a.exr", {"RGB": light.astype(dtype)}, compression=compression)
    pixels = read_exr(path)
    assert pixels.dtype == np.uint16
    assert (pixels == np.rint(encode_srgb(light) * 65535)).all()
    assert (read_image(path) == pixels).all()


def test_only_the_picture_counts(tmp_path, write, light):
    """Not alpha, nor layers, nor depth."""
    other = light[..., 0].copy()
    channels = {"RGB": light, "A": other, "alpha.A": other, "error.Y": other, "Z": other.astype(np.float32) * 100}
    path = write(tmp_path / "a.exr", channels)
    assert (read_exr(path) == from_linear(light)).all()


def test_grey_and_mixed_precision(tmp_path, write, light):
    path = write(tmp_path / "a.exr", {"Y": light[..., 0].copy()})
    assert (read_exr(path) == from_linear(light[..., :1])).all()
    red, green, blue = (light[..., channel].copy() for channel in range(3))
    path = write(tmp_path / "b.exr", {"R": red.astype(np.float32), "G": green, "B": blue})
    assert (read_exr(path) == from_linear(light)).all()


@pytest.mark.parametrize(
    ("data", "display"),
    [
        (((5, 3), (44, 32)), ((0, 0), (59, 49))),
        (((-5, -3), (34, 26)), ((0, 0), (19, 9))),
        (((-5, -3), (34, 26)), ((-10, 0), (19, 39))),
        (((100, 100), (139, 129)), ((0, 0), (19, 9))),
    ],
)
def test_the_display_window_is_the_picture(tmp_path, write, light, data, display):
    path = write(tmp_path / "a.exr", {"RGB": light}, dataWindow=data, displayWindow=display)
    (left, top), (right, bottom) = display
    expected = np.zeros((bottom - top + 1, right - left + 1, 3), np.uint16)
    for y in range(top, bottom + 1):
        for x in range(left, right + 1):
            row, column = y - data[0][1], x - data[0][0]
            if 0 <= row < 30 and 0 <= column < 40:
                expected[y - top, x - left] = from_linear(light[row, column])
    assert (read_exr(path) == expected).all()


def test_what_an_exr_says_of_its_pixels(tmp_path, write, light):
    assert exr_tags(write(tmp_path / "a.exr", {"RGB": light})) == (1, 1)
    bt2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    path = write(tmp_path / "b.exr", {"RGB": light}, pixelAspectRatio=2.0, chromaticities=bt2020)
    assert exr_tags(path) == (Fraction(2), 9)
    assert exr_tags(write(tmp_path / "c.exr", {"RGB": light}, chromaticities=aces)) == (1, 2)


def test_light_above_white(tmp_path, write, light):
    path = write(tmp_path / "a.exr", {"RGB": light * 2})
    with pytest.warns(Bgmv2Warning, match=r"a\.exr holds light above 1, which becomes plain white"):
        pixels = read_exr(path)
    assert (pixels == from_linear(light * 2)).all() and pixels.max() == 65535


def test_files_that_hold_no_picture(tmp_path, write, light, capfd):
    def error_of(path):
        with pytest.raises(VideoError) as caught:
            read_exr(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        return str(caught.value)

    assert "there is no picture" in error_of(tmp_path / "nothing.exr")
    (tmp_path / "empty.exr").touch()
    assert "empty" in error_of(tmp_path / "empty.exr")
    numbers = (light[..., 0] * 9).astype(np.uint32)
    assert "only B, G, R" in error_of(write(tmp_path / "ids.exr", {"R": numbers, "G": numbers, "B": numbers}))
    assert "only left.B, left.G, left.R" in error_of(
        write(tmp_path / "left.exr", {f"left.{name}": light[..., 0].copy() for name in "RGB"})
    )
    whole = write(tmp_path / "whole.exr", {"RGB": light}).read_bytes()
    for size in (3, 8, 100, 300, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.exr").write_bytes(whole[:size])
        assert "the EXR file is damaged" in error_of(tmp_path / "cut.exr")
    for at in range(0, len(whole), 97):
        (tmp_path / "flipped.exr").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            read_exr(tmp_path / "flipped.exr")
        except VideoError as error:
            assert "\n" not in str(error)
    # The libraries have nothing to say to users.
    assert capfd.readouterr() == ("", "")


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path, write, light):
    path = write(tmp_path / "a.exr", {"RGB": light}, displayWindow=((0, 0), (99_999, 99_999)))
    with pytest.raises(VideoError, match="claims 100000x100000 pixels: it is damaged, or too large"):
        read_exr(path)
