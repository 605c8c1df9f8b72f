import shutil
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.errors import Bgmv2Warning, VideoError
from bgmv2.video import VideoReader, kind_of, open_source, write_image

FASTSTART = {"movflags": "+faststart"}


def read(path):
    with VideoReader(path) as reader:
        return reader.info, list(reader)


def error_of(path):
    with pytest.raises(VideoError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.webm", "libvpx-vp9")]
)
def test_frames_and_info(make_clip, picture, name, codec):
    info, frames = read(make_clip(name, codec=codec, count=8, options={"crf": "4"}))
    assert (info.width, info.height, info.rotation) == (64, 48, 0)
    assert len(frames) == 8
    assert info.rate == 25
    start = frames[0].pts
    for index, frame in enumerate(frames):
        assert frame.pixels.shape == (48, 64, 3) and frame.pixels.dtype == np.uint8
        assert (frame.pts - start) * frame.time_base == Fraction(index, 25)
        assert np.abs(frame.pixels.astype(int) - picture(index, 64, 48)).mean() < 4


def test_the_frame_count_is_a_hint(make_clip):
    assert read(make_clip("a.mp4", count=8))[0].frames == 8
    assert read(make_clip("a.mkv", count=8))[0].frames == 8


def test_variable_rate_and_start_offset(make_clip):
    times = [1500, 1540, 1547, 1700, 1701, 2400]
    for name in ("a.mp4", "a.mkv"):
        _, frames = read(make_clip(name, times=times))
        assert [frame.pts * frame.time_base * 1000 for frame in frames] == times


def test_missing_timestamps_follow_the_rate(make_clip):
    path = make_clip("a.mp4", count=6, options={"bf": "0"})
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
        extradata = container.streams.video[0].codec_context.extradata
    # avcC: one SPS, one PPS, each with a length of two bytes.
    sps_length = struct.unpack(">H", extradata[6:8])[0]
    sps, rest = extradata[8 : 8 + sps_length], extradata[8 + sps_length :]
    pps = rest[3 : 3 + struct.unpack(">H", rest[1:3])[0]]
    raw = b"".join(b"\0\0\0\1" + unit for unit in (sps, pps))
    for packet in packets:
        while packet:
            length = struct.unpack(">I", packet[:4])[0]
            raw += b"\0\0\0\1" + packet[4 : 4 + length]
            packet = packet[4 + length :]
    bare = path.with_suffix(".h264")
    bare.write_bytes(raw)
    info, frames = read(bare)
    assert len(frames) == 6
    steps = {(b.pts - a.pts) * info.time_base for a, b in zip(frames, frames[1:], strict=False)}
    assert steps == {1 / info.rate}


# Turning counter-clockwise by k quarters, then mirroring; the matrices are those of a track header in an mp4.
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_telephone_clips_stand_upright(make_clip, quarters, mirrored):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 255, 40, 40
    pixels[24:, :32] = 40, 255, 40
    pixels[:24, 32:] = 40, 40, 255
    path = make_clip("a.mp4", pictures=[pixels] * 3, options={"crf": "1"})
    a, b, c, d = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}[quarters]
    if mirrored:
        a, c = -a, -c
    data = path.read_bytes()
    # Version 0 of tkhd: 4 bytes of type, then 40 bytes of other fields before the matrix.
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + 36 :])
    expected = np.rot90(pixels, quarters)
    expected = expected[:, ::-1] if mirrored else expected
    info, frames = read(path)
    assert (info.height, info.width) == expected.shape[:2]
    if not mirrored:
        assert info.rotation == 90 * quarters
    for frame in frames:
        assert frame.pixels.shape == expected.shape and frame.pixels.flags.c_contiguous
        # The middle of each quadrant, where the codec's chroma does not bleed.
        h, w = expected.shape[:2]
        for y in (h // 4, 3 * h // 4):
            for x in (w // 4, 3 * w // 4):
                assert np.abs(frame.pixels[y, x].astype(int) - expected[y, x]).max() <= 4


def yuv_clip(path, pixel_format, y, u, v, *, size=(64, 48), color_range=None, colorspace=None):
    """A clip of one flat colour, given by its code values."""
    deep = "10" in pixel_format
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixel_format
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        frame = av.VideoFrame(*size, pixel_format)
        for plane, value in zip(frame.planes, (y, u, v), strict=True):
            dtype = np.dtype(np.uint16 if deep else np.uint8)
            plane.update(np.full(plane.buffer_size // dtype.itemsize, value, dtype).tobytes())
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def yuv_to_rgb(y, u, v, kr, kb):
    y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return np.array([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue]) * 255


BT709, BT601, BT2020 = (0.2126, 0.0722), (0.299, 0.114), (0.2627, 0.0593)


@pytest.mark.parametrize(
    ("size", "colorspace", "weights"),
    [
        ((64, 48), None, BT601),
        ((32, 720), None, BT709),
        ((64, 48), 1, BT709),
        ((32, 720), 5, BT601),
        ((32, 720), 6, BT601),
        ((64, 48), 9, BT2020),
    ],
)
def test_matrix_is_obeyed_or_guessed_by_height(tmp_path, size, colorspace, weights):
    path = yuv_clip(tmp_path / "a.mkv", "yuv420p", 120, 90, 160, size=size, colorspace=colorspace)
    info, (frame,) = read(path)
    assert np.abs(frame.pixels[10, 10] - yuv_to_rgb(120, 90, 160, *weights)).max() <= 1
    expected = {BT601: (5, 6), BT709: (1,), BT2020: (9,)}[weights]
    assert info.color.matrix in expected


def test_full_range_is_obeyed(tmp_path):
    limited = read(yuv_clip(tmp_path / "a.mkv", "yuv420p", 235, 128, 128, color_range=1))
    full = read(yuv_clip(tmp_path / "b.mkv", "yuv420p", 235, 128, 128, color_range=2))
    assert not limited[0].color.full_range and (limited[1][0].pixels == 255).all()
    assert full[0].color.full_range and (full[1][0].pixels == 235).all()


def test_motion_jpeg_is_full_range(make_clip):
    white = np.full((48, 64, 3), 250, np.uint8)
    path = make_clip("a.avi", codec="mjpeg", pixel_format="yuvj420p", pictures=[white] * 2)
    info, frames = read(path)
    assert info.color.full_range
    assert np.abs(frames[0].pixels.astype(int) - 250).max() <= 2


def test_ten_bits_give_uint16_and_white_is_white(tmp_path):
    for code, value in ((64, 0), (502, 32768), (940, 65535), (1000, 65535)):
        _, (frame,) = read(yuv_clip(tmp_path / "a.mkv", "yuv420p10le", code, 512, 512))
        assert frame.pixels.dtype == np.uint16
        assert np.abs(frame.pixels.astype(int) - value).max() <= 16


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_a_clip_cut_short_is_told_with_its_second(make_clip, name, codec):
    path = make_clip(name, codec=codec, count=50, container_options=FASTSTART if name == "a.mp4" else None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    frames = []
    with VideoReader(path) as reader, pytest.raises(VideoError, match=r"after [01]\.\d s.*missing") as caught:
        frames.extend(reader)
    assert 15 < len(frames) < 40
    assert "\n" not in str(caught.value)


def test_a_hole_in_the_middle_is_told_with_its_second(make_clip):
    path = make_clip("a.mp4", count=50, container_options=FASTSTART)
    data = bytearray(path.read_bytes())
    middle, length = len(data) // 2, len(data) // 8
    data[middle : middle + length] = bytes(length)
    path.write_bytes(data)
    assert "breaks off after" in error_of(path)


def test_a_clip_that_ends_before_its_header_says_warns(make_clip):
    path = make_clip("a.mkv", count=50)
    data = path.read_bytes()
    # The duration in Matroska is a float64 of milliseconds with ID 0x4489.
    at = data.index(b"\x44\x89\x88") + 3
    path.write_bytes(data[:at] + struct.pack(">d", 9000.0) + data[at + 8 :])
    with pytest.warns(Bgmv2Warning, match=r"ends after 2\.0 s but announces 9\.0 s"):
        assert len(read(path)[1]) == 50


def test_an_mp4_without_index(make_clip):
    path = make_clip("a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert "cut short" in error_of(path) and "index" in error_of(path)


def test_not_a_clip(tmp_path, make_clip):
    assert "there is no clip" in error_of(tmp_path / "nothing.mp4")
    assert "folder" in error_of(tmp_path)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert "empty" in error_of(empty)
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "damaged or no video" in error_of(noise)
    text = tmp_path / "notes.txt"
    text.write_text("a person in front of a wall\n" * 50)
    assert "is a text" in error_of(text)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_picture_is_not_a_clip(tmp_path, picture, suffix):
    path = tmp_path / f"plate{suffix}"
    write_image(path, picture(0, 64, 48))
    assert "is a picture" in error_of(path)
    disguised = tmp_path / "plate.mp4"
    shutil.copy(path, disguised)
    assert "is a picture" in error_of(disguised)
    assert kind_of(path) == kind_of(disguised) == "picture"


def test_sound_is_not_a_clip(tmp_path):
    path = tmp_path / "song.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    assert "no moving picture" in error_of(path)
    assert kind_of(path) == "sound"


def test_kind_of(make_clip, tmp_path):
    assert kind_of(make_clip("a.mp4")) == "video"
    assert kind_of(tmp_path) == "folder"
    with pytest.raises(VideoError, match="there is no"):
        kind_of(tmp_path / "nothing")


def test_names_that_look_like_something_else(make_clip, tmp_path):
    clip = make_clip("a.mp4", count=3)
    for name in ("http: no.mp4", "%03d.mp4", "клип ü.mp4"):
        shutil.copy(clip, tmp_path / name)
        assert len(read(tmp_path / name)[1]) == 3


def test_open_source_and_closing_twice(make_clip):
    source = open_source(make_clip("a.mp4"))
    next(iter(source))
    source.close()
    source.close()
