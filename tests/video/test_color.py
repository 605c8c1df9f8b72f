"""How colours are read, against the formulas of ITU-T H.273 in float64; FFV1 keeps the code values of the clips."""

from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.errors import VideoError
from bgmv2.video import VideoReader

# Matrix coefficients of H.273 -> the shares of red and blue in luma (KR, KB), table 4.
WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
DEPTHS = {8: "yuv444p", 9: "yuv444p9le", 10: "yuv444p10le", 12: "yuv444p12le", 14: "yuv444p14le", 16: "yuv444p16le"}
LIMITED, FULL = 1, 2


def coded_clip(path, pixel_format, planes, *, codec="ffv1", **tags):
    """A clip of one frame, given by the code values of its planes."""
    height, width = planes[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(width, height, pixel_format)
        for plane, values in zip(frame.planes, planes, strict=True):
            size = 1 + (frame.format.components[0].bits > 8)
            rows = np.zeros((values.shape[0], plane.line_size // size), f"<u{size}")
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        for name, value in tags.items():
            setattr(frame, name, value)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path):
    with VideoReader(path) as reader:
        (frame,) = list(reader)
    return reader.info, frame.pixels


def scales(bits, full_range):
    """Black, white and the span of chroma in code values; equations 20 to 30."""
    unit = 2 ** (bits - 8)
    return (0, 2**bits - 1, 2**bits - 1) if full_range else (16 * unit, 235 * unit, 224 * unit)


def to_codes(rgb, matrix, bits, full_range):
    """Code values Y, Cb, Cr of colours in 0..1, rounded."""
    kr, kb = WEIGHTS[matrix]
    black, white, span = scales(bits, full_range)
    y = kr * rgb[..., 0] + (1 - kr - kb) * rgb[..., 1] + kb * rgb[..., 2]
    cb, cr = (rgb[..., 2] - y) / (2 * (1 - kb)), (rgb[..., 0] - y) / (2 * (1 - kr))
    codes = [black + y * (white - black), 2 ** (bits - 1) + span * cb, 2 ** (bits - 1) + span * cr]
    return [np.clip(np.rint(plane), 0, 2**bits - 1) for plane in codes]


def to_colours(codes, matrix, bits, full_range):
    """Colours in 0..1 of code values, in float64."""
    kr, kb = WEIGHTS[matrix]
    black, white, span = scales(bits, full_range)
    y = (codes[0] - black) / (white - black)
    cb, cr = ((plane - 2 ** (bits - 1)) / span for plane in codes[1:])
    red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    return np.clip(np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], axis=-1), 0, 1)


def difference(pixels, colours, bits):
    """The worst difference, in code values of the source."""
    return np.abs(pixels / np.iinfo(pixels.dtype).max - colours).max() * (2**bits - 1)


@pytest.mark.parametrize("matrix", WEIGHTS)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("bits", DEPTHS)
def test_a_grey_ramp_and_colours_are_those_of_the_standard(tmp_path, bits, full_range, matrix):
    ramp = np.linspace(0, 2**bits - 1, 256).round()[None].repeat(2, axis=0)
    middle = np.full_like(ramp, 2 ** (bits - 1))
    colours = to_codes(np.random.default_rng(matrix).random((16, 256, 3)), matrix, bits, full_range)
    codes = [np.vstack(pair) for pair in zip((ramp, middle, middle), colours, strict=True)]
    tags = {"colorspace": matrix, "color_range": FULL if full_range else LIMITED}
    info, pixels = read(coded_clip(tmp_path / "a.mkv", DEPTHS[bits], codes, **tags))
    assert (info.bits, info.color.full_range) == (bits, full_range)
    assert info.color.matrix in ({5, 6} if matrix in (5, 6) else {matrix})
    assert pixels.dtype == (np.uint8 if bits == 8 else np.uint16)
    # libswscale computes with 14 bits or so: nobody sees the difference in a 16-bit clip.
    tolerance = 1 if bits < 16 else 4
    assert difference(pixels, to_colours(codes, matrix, bits, full_range), bits) <= tolerance


@pytest.mark.parametrize(("bits", "white"), [(8, 235), (10, 940), (12, 3760)])
def test_white_is_white_and_black_is_black(tmp_path, bits, white):
    for luma, value in ((white // 235 * 16, 0), (0, 0), (white, 1), (2**bits - 1, 1)):
        codes = [np.full((8, 32), luma), *[np.full((8, 32), 2 ** (bits - 1))] * 2]
        _, pixels = read(coded_clip(tmp_path / "a.mkv", DEPTHS[bits], codes))
        assert (pixels == value * np.iinfo(pixels.dtype).max).all()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv420p10le", "yuv422p10le", "yuv422p12le"])
def test_colours_of_subsampled_clips(tmp_path, pixel_format):
    bits = 8 if pixel_format.endswith("p") else int(pixel_format[-4:-2])
    blocks = np.random.default_rng(0).random((3, 8, 3))
    codes = [plane.repeat(16, axis=0).repeat(16, axis=1) for plane in to_codes(blocks, 9, bits, False)]
    rows = 2 if "420" in pixel_format else 1
    planes = [codes[0], codes[1][::rows, ::2], codes[2][::rows, ::2]]
    _, pixels = read(coded_clip(tmp_path / "a.mkv", pixel_format, planes, colorspace=9, color_range=LIMITED))
    # Amid the blocks, where no neighbour's chroma reaches.
    expected = to_colours(codes, 9, bits, False)
    assert difference(pixels[8::16, 8::16], expected[8::16, 8::16], bits) <= 1


@pytest.mark.parametrize("pixel_format", ["gray", "gray10le", "gray12le", "gray16le"])
@pytest.mark.parametrize("tag", [None, LIMITED, FULL])
def test_grey_clips(tmp_path, pixel_format, tag):
    bits = 8 if pixel_format == "gray" else int(pixel_format[4:6])
    ramp = np.linspace(0, 2**bits - 1, 256).round()[None].repeat(2, axis=0)
    tags = {} if tag is None else {"color_range": tag}
    info, pixels = read(coded_clip(tmp_path / "a.mkv", pixel_format, [ramp], **tags))
    assert info.bits == bits and info.color.full_range == (tag != LIMITED)
    black, white, _ = scales(bits, tag != LIMITED)
    expected = np.clip((ramp - black) / (white - black), 0, 1)[..., None]
    assert pixels.shape == (2, 256, 3)
    # The nearest integer there is, whatever the depth.
    assert np.abs(pixels - expected * np.iinfo(pixels.dtype).max).max() <= 0.5


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
def test_rgb_of_any_depth_is_taken_as_it_is(tmp_path, bits):
    codes = np.random.default_rng(0).integers(0, 2**bits, (16, 64, 3))
    codes[0, :2] = [[0], [2**bits - 1]]
    planes = [codes[..., channel] for channel in (1, 2, 0)]
    info, pixels = read(coded_clip(tmp_path / "a.mkv", f"gbrp{bits}le", planes, colorspace=0))
    assert info.bits == bits and info.color.matrix == 6
    top = np.iinfo(pixels.dtype).max
    assert np.abs(pixels - codes / (2**bits - 1) * top).max() <= (bits < 16)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.avi", "rawvideo", "bgr24"),
        ("a.mov", "qtrle", "rgb24"),
        ("a.mov", "png", "rgb24"),
        ("a.mov", "png", "rgba"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.mp4", "libx264rgb", "bgr24"),
    ],
)
def test_rgb_of_eight_bits(make_clip, picture, name, codec, pixel_format):
    options = {"qp": "0"} if codec == "libx264rgb" else {}
    path = make_clip(name, codec=codec, pixel_format=pixel_format, pictures=[picture(0, 64, 48)], options=options)
    info, pixels = read(path)
    assert (pixels == picture(0, 64, 48)).all()
    assert info.bits == 8


def test_rgb_of_sixteen_bits_in_png(tmp_path):
    codes = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb48be"
        frame = av.VideoFrame.from_ndarray(codes, format="rgb48le").reformat(format="rgb48be")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert (read(tmp_path / "a.mov")[1] == codes).all()


def test_a_palette(make_clip):
    """As GIF and old screen recordings use it; FFmpeg's palette holds colours like these."""
    colours = np.array([[0, 0, 0], [252, 252, 255], [252, 0, 85], [36, 72, 170]], np.uint8)
    pixels = colours[np.arange(64 * 48).reshape(48, 64) // 16 % 4]
    info, read_pixels = read(make_clip("a.gif", codec="gif", pixel_format="rgb8", pictures=[pixels]))
    assert (read_pixels == pixels).all() and info.bits == 8


@pytest.mark.parametrize("transfer", [16, 18])
def test_pq_and_hlg_are_only_tags(tmp_path, transfer):
    ramp = np.linspace(64, 940, 256).round()[None].repeat(2, axis=0)
    codes = [ramp, np.full_like(ramp, 512), np.full_like(ramp, 512)]
    tags = {"colorspace": 9, "color_primaries": 9, "color_trc": transfer, "color_range": LIMITED}
    info, pixels = read(coded_clip(tmp_path / "a.mkv", "yuv444p10le", codes, **tags))
    assert (info.color.matrix, info.color.primaries, info.color.transfer) == (9, 9, transfer)
    assert difference(pixels, to_colours(codes, 9, 10, False), 10) <= 1


@pytest.mark.parametrize(("height", "matrix"), [(48, 6), (576, 6), (720, 1)])
@pytest.mark.parametrize("tag", [None, 0, 2])
def test_an_unknown_matrix_is_told_by_the_height(tmp_path, height, matrix, tag):
    """0 means RGB, which YUV is not."""
    codes = [np.full((height, 32), code) for code in (120, 90, 160)]
    tags = {} if tag is None else {"colorspace": tag}
    info, pixels = read(coded_clip(tmp_path / "a.mkv", "yuv444p", codes, **tags))
    assert info.color.matrix == matrix
    assert difference(pixels, to_colours(codes, matrix, 8, False), 8) <= 1


def test_motion_jpeg_is_full_range(make_clip):
    white = np.full((48, 64, 3), 250, np.uint8)
    info, pixels = read(make_clip("a.avi", codec="mjpeg", pixel_format="yuvj420p", pictures=[white]))
    assert info.color.full_range
    assert np.abs(pixels.astype(int) - 250).max() <= 2


def test_a_clip_that_says_nothing(tmp_path):
    codes = [np.full((48, 64), 120)] * 3
    color = read(coded_clip(tmp_path / "a.mkv", "yuv444p", codes))[0].color
    assert (color.matrix, color.primaries, color.transfer, color.full_range) == (6, 2, 2, False)


def retagged(path, matrix):
    """Change what the container, not the codec, says of matrix coefficients."""
    data = bytearray(path.read_bytes())
    at = data.index(b"nclx") + 4
    data[at + 4 : at + 6] = matrix.to_bytes(2, "big")
    path.write_bytes(data)
    return path


def test_the_container_is_asked_where_the_codec_is_silent(tmp_path):
    # MPEG-4 Part 2 says nothing of colours, the box of the mp4 does.
    codes = [np.full((48, 64), 120), np.full((24, 32), 90), np.full((24, 32), 160)]
    tags = {"color_primaries": 9, "color_trc": 14, "colorspace": 9}
    path = coded_clip(tmp_path / "a.mp4", "yuv420p", codes, codec="mpeg4", **tags)
    color = read(retagged(path, 1))[0].color
    assert (color.matrix, color.primaries, color.transfer) == (1, 9, 14)


def test_the_frame_is_believed_before_the_container(tmp_path):
    codes = [np.full((48, 64), 120), np.full((24, 32), 90), np.full((24, 32), 160)]
    tags = {"color_primaries": 9, "color_trc": 14, "colorspace": 9}
    path = coded_clip(tmp_path / "a.mp4", "yuv420p", codes, codec="libx264", **tags)
    info, pixels = read(retagged(path, 1))
    assert info.color.matrix == 9
    expected = to_colours([np.array([[120.0]]), np.array([[90.0]]), np.array([[160.0]])], 9, 8, False)
    assert np.abs(pixels[10, 10] - expected[0, 0] * 255).max() <= 2


def test_every_frame_is_converted_by_its_own_tags(tmp_path):
    """Two recordings joined: the first in full range BT.709, the second limited BT.601."""
    luma, chroma = np.full((48, 64), 120, np.uint8), np.full((24, 32), 160, np.uint8)
    with av.open(str(tmp_path / "a.ts"), "w") as container:
        film = container.add_stream("libx264", rate=25)
        for part, (matrix, color_range) in enumerate(((1, FULL), (6, LIMITED))):
            encoder = film.codec_context if part == 0 else av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
            encoder.framerate, encoder.time_base = Fraction(25), Fraction(1, 25)
            encoder.colorspace, encoder.color_range, encoder.options = matrix, color_range, {"bf": "0", "crf": "1"}
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, values in zip(frame.planes, (luma, chroma, chroma), strict=True):
                rows = np.zeros((values.shape[0], plane.line_size), np.uint8)
                rows[:, : values.shape[1]] = values
                plane.update(rows.tobytes())
            frame.pts, frame.time_base = part, Fraction(1, 25)
            frame.colorspace, frame.color_range = matrix, color_range
            for packet in encoder.encode(frame) + encoder.encode(None):
                packet.stream = film
                container.mux(packet)
    with VideoReader(tmp_path / "a.ts") as reader:
        first, second = list(reader)
    assert reader.info.color.full_range and reader.info.color.matrix == 1
    codes = [np.array([[120.0]]), np.array([[160.0]]), np.array([[160.0]])]
    for frame, matrix, full_range in ((first, 1, True), (second, 6, False)):
        expected = to_colours(codes, matrix, 8, full_range)[0, 0] * 255
        assert np.abs(frame.pixels[10, 10] - expected).max() <= 2


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (10, "BT.2020 with constant luminance"), (14, "ICtCp")])
def test_what_cannot_be_converted_is_refused(tmp_path, matrix, name):
    codes = [np.full((48, 64), 120)] * 3
    path = coded_clip(tmp_path / "a.mkv", "yuv444p", codes, colorspace=matrix)
    with pytest.raises(VideoError, match=f"colours of .*a.mkv are coded as {name}, .*; export it with a BT.709"):
        read(path)
