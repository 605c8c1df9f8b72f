import shutil
import struct
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from bgmv2.config import ReadConfig
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


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.ts"])
def test_b_frames_come_in_the_order_of_time(make_clip, picture, name):
    times = [40 * index + index % 3 for index in range(20)]
    _, frames = read(make_clip(name, times=times, options={"bf": "3", "b-pyramid": "strict", "crf": "4"}))
    start = frames[0].pts * frames[0].time_base
    assert [(frame.pts * frame.time_base - start) * 1000 for frame in frames] == times
    for index, frame in enumerate(frames):
        assert np.abs(frame.pixels.astype(int) - picture(index, 64, 48)).mean() < 4


def test_frames_before_zero(make_clip):
    """An edit list of the mp4 says that players skip them; Matroska knows no time before zero and moves everything."""
    times = [-80, -40, 0, 40, 90]
    _, frames = read(make_clip("a.mp4", times=times))
    assert [frame.pts * frame.time_base * 1000 for frame in frames] == [0, 40, 90]
    _, frames = read(make_clip("a.mkv", times=times))
    assert [frame.pts * frame.time_base * 1000 for frame in frames] == [0, 40, 80, 120, 170]


def test_an_edit_list_that_skips_the_beginning(make_clip):
    path = make_clip("a.mp4", count=10, options={"bf": "0", "g": "1"})
    data = bytearray(path.read_bytes())
    # elst: version and flags, number of entries, then duration, media time and rate of the only one.
    at = data.index(b"elst") + 4
    entries, _, media_time = struct.unpack(">IIi", data[at + 4 : at + 16])
    assert entries == 1 and media_time == 0
    # The 4 frames that are skipped last 512 ticks each.
    data[at + 12 : at + 16] = struct.pack(">i", 4 * 512)
    path.write_bytes(data)
    _, frames = read(path)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(6)]


@pytest.mark.parametrize("claimed", [0, 3, 2**31 - 1])
def test_a_wrong_frame_count_is_not_believed(make_clip, claimed):
    path = make_clip("a.avi", codec="mpeg4", count=8)
    data = bytearray(path.read_bytes())
    for box, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(box) + offset
        data[at : at + 4] = struct.pack("<I", claimed)
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Bgmv2Warning)  # the clip announces years
        assert len(read(path)[1]) == 8


def retimed(path, before, after):
    """Change the time of a block in the first cluster of a Matroska file, in milliseconds; all are key frames."""
    data = path.read_bytes()
    old, new = (b"\x81" + struct.pack(">h", time) + b"\x80" for time in (before, after))
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return path


@pytest.mark.parametrize(("before", "after"), [(80, 40), (80, 30), (80, 2000)])
def test_timestamps_that_do_not_increase_are_mended(make_clip, before, after):
    path = retimed(make_clip("a.mkv", codec="ffv1", count=6, options={"g": "1"}), before, after)
    with pytest.warns(Bgmv2Warning, match="a.mkv holds frames whose times do not increase; they are shown") as caught:
        _, frames = read(path)
    assert len(caught) == 1
    times = [int(frame.pts * frame.time_base * 1000) for frame in frames]
    assert times == sorted(set(times)) and len(times) == 6
    # All others are as they were.
    assert times[3:] == [120, 160, 200] and times[0] == 0


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
    with pytest.warns(Bgmv2Warning, match="frames without a time; they are shown when its rate of 25 a second"):
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


def test_an_orientation_that_makes_no_sense_is_passed_over(make_clip):
    path = make_clip("a.mp4", count=2)
    data = path.read_bytes()
    at = data.index(b"tkhd") + 44
    path.write_bytes(data[:at] + struct.pack(">9i", 0, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30) + data[at + 36 :])
    info, frames = read(path)
    assert (info.width, info.height, info.rotation) == (64, 48, 0) and frames[0].pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_an_orientation_that_the_codec_tells_once(make_clip, name):
    """H.264 can say it itself, with the first picture only; a part of the clip stands upright, too."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = 250
    plain = make_clip("plain.mp4", pictures=[pixels] * 12, options={"crf": "1", "g": "4"})
    path = plain.with_name(name)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        words = "h264_metadata=display_orientation=insert:rotate=90"
        turning = BitStreamFilterContext(words, source.streams.video[0], stream)
        for packet in source.demux(video=0):
            for turned in turning.filter(None if packet.dts is None else packet):
                turned.stream = stream
                target.mux(turned)
    for choices in (ReadConfig(), ReadConfig(start=0.24)):
        with VideoReader(path, choices) as reader:
            frames = list(reader)
        assert (reader.info.width, reader.info.height, reader.info.rotation) == (48, 64, 90)
        for frame in frames:
            assert np.abs(frame.pixels.astype(int) - np.rot90(pixels)).mean() < 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_pixels_that_are_no_squares(make_clip, name):
    plain = make_clip("plain.mp4", count=3)
    path = plain.with_name(name)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        anamorphic = BitStreamFilterContext("h264_metadata=sample_aspect_ratio=16/11", source.streams.video[0], stream)
        for packet in source.demux(video=0):
            for changed in anamorphic.filter(None if packet.dts is None else packet):
                changed.stream = stream
                target.mux(changed)
    assert read(plain)[0].aspect == 1
    info, frames = read(path)
    assert info.aspect == Fraction(16, 11)
    assert frames[0].pixels.shape == (48, 64, 3)
    if name == "a.mp4":
        data = path.read_bytes()
        at = data.index(b"tkhd") + 44
        quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        path.write_bytes(data[:at] + quarter + data[at + 36 :])
        assert read(path)[0].aspect == Fraction(11, 16)


def test_what_the_codec_crops_stays_cropped(make_clip):
    """50 x 38 pixels are stored as 64 x 48; the rest is not shown."""
    info, frames = read(make_clip("a.mp4", count=2, size=(50, 38)))
    assert (info.width, info.height) == (50, 38) and frames[0].pixels.shape == (38, 50, 3)


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


def test_what_the_decoder_had_to_guess_is_warned_of(make_clip):
    path = make_clip("a.mpg", codec="mpeg2video", count=20, options={"b": "4M"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60] = bytes(60)
    path.write_bytes(data)
    with pytest.warns(Bgmv2Warning, match=r"a\.mpg is damaged at 0\.\d s: the decoder had to guess") as caught:
        assert len(read(path)[1]) == 20
    assert len(caught) == 1


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
