import ctypes
import os
import platform
import warnings
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, OutputError, OutputExistsError, VideoError
from bgmv2.types import ColorInfo, Frame, LightInfo, VideoInfo
from bgmv2.video import VideoReader, VideoWriter, open_sink
from bgmv2.video.carry import Origin
from bgmv2.video.formats import CODECS, CONTAINERS

FAST = EncodeConfig(crf=4, preset="ultrafast")
INFO = VideoInfo(64, 48, rate=Fraction(25), time_base=Fraction(1, 25))


def write(path, pictures, *, info=INFO, times=None, **options):
    options.setdefault("encode", FAST)
    with VideoWriter(path, info, **options) as writer:
        for index, pixels in enumerate(pictures):
            writer.write(Frame(pixels, index if times is None else times[index], info.time_base))


def read(path):
    with VideoReader(path) as reader:
        return reader.info, list(reader)


def packets(path, kind="audio", index=0):
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[index]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.dts is not None]


def left_in(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".MP4"])
def test_a_clip_comes_back(tmp_path, picture, suffix):
    pictures = [picture(index, 64, 48) for index in range(12)]
    path = tmp_path / f"out{suffix}"
    write(path, pictures)
    info, frames = read(path)
    assert (info.width, info.height, info.rate, info.frames) == (64, 48, 25, 12)
    assert (info.color.matrix, info.color.primaries, info.color.transfer, info.color.full_range) == (1, 1, 1, False)
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(12)]
    for frame, pixels in zip(frames, pictures, strict=True):
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < 3
    assert left_in(tmp_path) == [path.name]


@pytest.mark.skipif(platform.libc_ver() < ("glibc", "2.33"), reason="glibc tells what is in use, from 2.33 on")
def test_the_frames_that_an_encoder_looks_ahead_are_held_once(tmp_path, picture):
    """The encoder of a segment goes with it."""

    class Told(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("heap", "a", "b", "c", "mapped", "d", "e", "used", "f", "g")]

    tell = ctypes.CDLL(None).mallinfo2
    tell.restype = Told

    def encoded(first):
        for index in range(first, first + 50):
            writer.write(Frame(pictures[index % 4], index, info.time_base))
        told = tell()
        return told.used + told.mapped

    info = VideoInfo(640, 360, rate=Fraction(25), time_base=Fraction(1, 25))
    pictures = [picture(index, 640, 360) for index in range(4)]
    with VideoWriter(tmp_path / "out.mp4", info, encode=EncodeConfig(segment=50)) as writer:
        before = tell()
        once = encoded(0) - (before.used + before.mapped)
        writer.checkpoint()
        twice = encoded(50) - (before.used + before.mapped)
    assert 10 << 20 < once and twice < 1.2 * once


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_variable_rate_and_start_offset_survive(tmp_path, picture, suffix):
    # Preset medium uses B-frames, whose decoding times come before the first picture's.
    times = [1500 + t for t in (0, 40, 47, 200, 201, 240, 300, 900, 901, 1000)]
    info = VideoInfo(64, 48, rate=Fraction(10), time_base=Fraction(1, 1000))
    path = tmp_path / f"out{suffix}"
    write(path, [picture(t, 64, 48) for t in times], info=info, times=times, encode=EncodeConfig())
    assert [frame.pts * frame.time_base * 1000 for frame in read(path)[1]] == times


@pytest.mark.parametrize("base", [Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 12800), Fraction(1, 1)])
def test_time_bases_are_represented_exactly(tmp_path, picture, base):
    step = max(1, round(1 / (30 * base)))
    times = [7 + step * index for index in range(6)]
    info = VideoInfo(64, 48, rate=1 / (step * base), time_base=base)
    write(tmp_path / "out.mp4", [picture(t, 64, 48) for t in range(6)], info=info, times=times)
    assert [frame.pts * frame.time_base for frame in read(tmp_path / "out.mp4")[1]] == [t * base for t in times]


def test_the_last_frame_lasts_as_long_as_the_others(tmp_path, picture):
    write(tmp_path / "out.mp4", [picture(index, 64, 48) for index in range(10)])
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(10, 25)
        assert stream.average_rate == 25


def test_ntsc_rate_survives(tmp_path, picture):
    info = VideoInfo(64, 48, rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000))
    write(tmp_path / "out.mp4", [picture(index, 64, 48) for index in range(10)], info=info)
    assert read(tmp_path / "out.mp4")[0].rate == Fraction(30000, 1001)


# Every video that can be written: suffix, codec, bits, alpha.
VIDEOS = [
    pytest.param(suffix, name, bits, alpha, id=f"{suffix[1:]}-{name}-{bits}{'-alpha' * alpha}")
    for suffix, container in CONTAINERS.items()
    for alpha, names in ((False, container.opaque), (True, container.transparent))
    for name in names
    for bits in (CODECS[name].transparent if alpha else CODECS[name].opaque)
]
LOSSLESS = dict(crf=0, preset="ultrafast")


def ramp(bits):
    """Every grey value once, ``(H, W)`` of code values, and the same as a picture stores it."""
    codes = np.arange(2**bits).reshape(-1, 256)
    codes = codes.repeat(-(-16 // codes.shape[0]), axis=0)
    return codes, np.rint(codes * (65535 / (2**bits - 1))).astype(np.uint16) if bits > 8 else codes.astype(np.uint8)


def in_codes(pixels, bits):
    return np.rint(pixels * ((2**bits - 1) / np.iinfo(pixels.dtype).max)).astype(int)


@pytest.mark.parametrize(("suffix", "codec", "bits", "alpha"), VIDEOS)
def test_every_video_keeps_greys_tags_and_alpha(tmp_path, suffix, codec, bits, alpha):
    """A grey ramp in every matrix and range differs by one code value at most, and tag and conversion agree."""
    codes, stored = ramp(bits)
    pixels = np.repeat(stored[..., None], 4 if alpha else 3, axis=2)
    for matrix, full_range in [(1, False), (6, True), (9, False), (9, True)]:
        color = ColorInfo(matrix=matrix, primaries=9, transfer=18, full_range=full_range)
        info = VideoInfo(256, codes.shape[0], bits=bits, color=color, aspect=Fraction(3, 2))
        path = tmp_path / f"out{suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            encode = EncodeConfig(**LOSSLESS, codec=codec, overwrite=True)
            write(path, [pixels] * 2, info=info, alpha=alpha, encode=encode)
        found, frames = read(path)
        assert len(frames) == 2 and found.aspect == Fraction(3, 2)
        # FFmpeg decodes ProRes 4444 to 12 bits.
        assert found.bits == (12 if codec == "prores" and alpha else bits)
        assert np.abs(in_codes(frames[0].pixels, bits) - codes[..., None]).max() <= (2 if codec == "prores" else 1)
        assert (found.color.primaries, found.color.transfer) == (9, 18)
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        is_yuv = not frame.format.is_rgb
        assert frame.colorspace == (matrix if is_yuv else 0)
        assert found.color.full_range == (full_range and is_yuv and codec != "prores")
        if alpha:
            planes = alphas(path)
            assert np.abs(in_codes(planes[0], bits) - codes).max() <= 1
            top = planes[0].max()
            assert top == np.iinfo(planes[0].dtype).max if codec != "prores" else top >= 65472
            assert planes[0].min() == 0


def alphas(path):
    """The alpha of each frame, ``(H, W)``, at the full range of its type."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        is_vp9 = stream.codec_context.name == "vp9"
        # FFmpeg's own decoder leaves alpha out, that of libvpx does not.
        decoder = av.CodecContext.create("libvpx-vp9", "r") if is_vp9 else stream.codec_context
        frames = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
        frames += [] if is_vp9 else decoder.decode(None)
    found = []
    for frame in frames:
        if frame.format.is_rgb:
            found.append(frame.to_ndarray(format="rgba64le" if "16" in frame.format.name else frame.format.name))
            found[-1] = frame.reformat(format="rgba" if frame.format.components[3].bits == 8 else "rgba64le")
            found[-1] = found[-1].to_ndarray()[..., 3]
            continue
        plane, bits = frame.planes[3], frame.format.components[3].bits
        values = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8).reshape(plane.height, -1)[:, : plane.width]
        found.append(values if bits == 8 else (values.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16))
    return found


PRIMARIES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (180, 90, 40)]


@pytest.mark.parametrize(("codec", "bits"), [("h264", 8), ("hevc", 8), ("hevc", 10)])
@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 9, 2])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_survive(tmp_path, codec, matrix, bits, full_range):
    """The primaries, in every matrix; unspecified is written as what readers would guess."""
    colours = np.repeat(np.array(PRIMARIES, np.uint8), 32, axis=0)[None].repeat(32, axis=0)
    stored = colours if bits == 8 else colours.astype(np.uint16) * 257
    color = ColorInfo(matrix=matrix, full_range=full_range)
    info = VideoInfo(stored.shape[1], 32, bits=bits, color=color)
    write(tmp_path / "out.mp4", [stored] * 3, info=info, encode=EncodeConfig(**LOSSLESS, codec=codec))
    found, frames = read(tmp_path / "out.mp4")
    assert found.color.matrix == {2: 6}.get(matrix, matrix)
    result = frames[0].pixels[16, 16::32] * (255 / np.iinfo(frames[0].pixels.dtype).max)
    assert np.abs(result - np.array(PRIMARIES)).max() <= (2 if bits == 8 else 0.5)


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (1, 1), (2, 2), (3, 17)])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.mkv", "alpha.mov", "alpha.webm", "alpha.mkv"])
def test_every_size_survives(tmp_path, size, name):
    width, height = size
    alpha = name.startswith("alpha")
    pixels = np.full((height, width, 4 if alpha else 3), 200, np.uint8)
    write(tmp_path / name, [pixels] * 3, info=VideoInfo(width, height), alpha=alpha)
    info, frames = read(tmp_path / name)
    assert (info.width, info.height, len(frames)) == (width, height, 3)
    assert np.abs(frames[0].pixels * (255 / np.iinfo(frames[0].pixels.dtype).max) - 200).max() <= 3


@pytest.mark.parametrize("bits", [8, 10])
def test_odd_sizes_in_hevc_and_av1(tmp_path, bits):
    pixels = np.full((47, 63, 3), 200 if bits == 8 else 200 * 257, np.uint8 if bits == 8 else np.uint16)
    for codec in ("hevc", "av1"):
        encode = EncodeConfig(crf=4, preset="ultrafast", codec=codec, overwrite=True)
        write(tmp_path / "out.mp4", [pixels] * 3, info=VideoInfo(63, 47, bits=bits), encode=encode)
        info, frames = read(tmp_path / "out.mp4")
        assert (info.width, info.height, info.bits, len(frames)) == (63, 47, bits, 3)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_clips(tmp_path, picture, codec, count):
    """x265 gives no decoding times before the third frame."""
    for preset in ("ultrafast", "medium"):
        encode = EncodeConfig(codec=codec, preset=preset, overwrite=True)
        write(tmp_path / "out.mp4", [picture(index, 64, 48) for index in range(count)], encode=encode)
        frames = read(tmp_path / "out.mp4")[1]
        assert [frame.pts * frame.time_base for frame in frames] == [Fraction(index, 25) for index in range(count)]


def rgba():
    pixels = np.empty((48, 256, 4), np.uint8)
    pixels[..., :3] = 255, 128, 0
    pixels[..., 3] = np.arange(256)
    return pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("codec", ["prores", "qtrle"])
def test_quicktime_keeps_alpha(tmp_path, dtype, codec):
    pixels = rgba() if dtype == np.uint8 else rgba().astype(np.uint16) * 257
    info = VideoInfo(256, 48, bits=8 * pixels.itemsize)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Bgmv2Warning)
        write(tmp_path / "out.mov", [pixels] * 2, info=info, alpha=True, encode=EncodeConfig(codec=codec))
    with av.open(str(tmp_path / "out.mov")) as container:
        assert container.streams.video[0].codec_context.codec_tag == {"prores": "ap4h", "qtrle": "rle "}[codec]
    stored = alphas(tmp_path / "out.mov")[0]
    assert np.abs(stored * (255 / np.iinfo(stored.dtype).max) - np.arange(256)).max() <= 0.5
    # What is opaque stays so, exactly.
    assert (stored[:, 255] == np.iinfo(stored.dtype).max).all() and (stored[:, 0] == 0).all()
    read_info, frames = read(tmp_path / "out.mov")
    assert (read_info.color.primaries, read_info.color.transfer) == (1, 1)
    assert np.abs(frames[0].pixels * (255 / np.iinfo(frames[0].pixels.dtype).max) - (255, 128, 0)).max() <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_vp9_keeps_alpha(tmp_path, dtype):
    pixels = rgba() if dtype == np.uint8 else rgba().astype(np.uint16) * 257
    write(tmp_path / "out.webm", [pixels] * 3, info=VideoInfo(256, 48), alpha=True)
    planes = alphas(tmp_path / "out.webm")
    assert len(planes) == 3
    assert np.abs(planes[0].astype(int) - np.arange(256)).max() <= 4


@pytest.mark.parametrize(("suffix", "codec"), [(".mov", "qtrle"), (".mkv", "ffv1"), (".webm", "auto")])
@pytest.mark.parametrize("mode", ["auto", "straight", "premultiplied"])
def test_colours_are_straight_unless_told_otherwise(tmp_path, suffix, codec, mode):
    path = tmp_path / f"out{suffix}"
    encode = EncodeConfig(**LOSSLESS, codec=codec, alpha_mode=mode)
    write(path, [rgba()] * 2, info=VideoInfo(256, 48), alpha=True, encode=encode)
    expected = rgba()[..., :3].astype(float)
    if mode == "premultiplied":
        expected *= rgba()[..., 3:] / 255
    # VP9 has half the colour resolution and 219 steps.
    assert np.abs(read(path)[1][0].pixels - expected).max() <= (0.5 if codec != "auto" else 3)


def test_apple_plays_hevc(tmp_path, picture):
    for suffix, tag in ((".mp4", "hvc1"), (".mov", "hvc1")):
        write(tmp_path / f"a{suffix}", [picture(0, 64, 48)], encode=EncodeConfig(codec="hevc", preset="ultrafast"))
        with av.open(str(tmp_path / f"a{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec_tag == tag


@pytest.mark.parametrize(
    ("suffix", "format_name"),
    [(".mp4", "yuv420p10le"), (".mov", "yuv420p10le"), (".mkv", "yuv420p10le"), (".webm", "yuv420p10le")],
)
def test_ten_bits_are_kept_unasked(tmp_path, suffix, format_name):
    pixels = np.full((48, 64, 3), 500 * 64, np.uint16)
    info = VideoInfo(64, 48, bits=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / f"out{suffix}", [pixels] * 2, info=info)
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("libdav1d" if suffix == ".webm" else "hevc", format_name)


@pytest.mark.parametrize(
    ("name", "bits", "alpha", "options", "said"),
    [
        ("out.mp4", 10, False, dict(codec="h264"), "keeps 8 of the clip's 10 bits: H.264 holds no more in .mp4"),
        ("out.mp4", 12, False, {}, "keeps 10 of the clip's 12 bits: HEVC holds no more in .mp4"),
        ("out.mov", 12, True, {}, "keeps 10 of the clip's 12 bits: ProRes holds no more in .mov"),
        ("out.webm", 10, True, {}, "keeps 8 of the clip's 10 bits: VP9 holds no more in .webm"),
    ],
)
def test_bits_that_are_lost_are_told_once(tmp_path, name, bits, alpha, options, said):
    pixels = np.zeros((48, 64, 4 if alpha else 3), np.uint16)
    encode = EncodeConfig(preset="ultrafast", **options)
    with pytest.warns(Bgmv2Warning) as caught:
        write(tmp_path / name, [pixels] * 2, info=VideoInfo(64, 48, bits=bits), alpha=alpha, encode=encode)
    (warning,) = caught
    assert f"{name} {said}" in str(warning.message)


LIGHT = LightInfo(
    primaries=((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.3127, 0.329)), luminance=(0.005, 1000), content=(900, 350)
)


@pytest.mark.parametrize(
    ("name", "codec"), [("out.mp4", "hevc"), ("out.mkv", "hevc"), ("out.mp4", "av1"), ("out.webm", "av1")]
)
@pytest.mark.parametrize("crf", [0, 16])
def test_hdr_keeps_its_light_levels(tmp_path, name, codec, crf):
    color = ColorInfo(matrix=9, primaries=9, transfer=16, light=LIGHT)
    info = VideoInfo(64, 48, bits=10, color=color)
    encode = EncodeConfig(codec=codec, crf=crf, preset="ultrafast")
    write(tmp_path / name, [np.zeros((48, 64, 3), np.uint16)] * 3, info=info, encode=encode)
    found = read(tmp_path / name)[0].color
    assert (found.transfer, found.light.content) == (16, (900, 350))
    assert np.abs(np.array(found.light.primaries) - LIGHT.primaries).max() < 1e-4
    assert found.light.luminance == pytest.approx(LIGHT.luminance, rel=1e-2)


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("aspect", [Fraction(16, 15), Fraction(4, 3), Fraction(8, 9)])
def test_the_shape_of_pixels_is_tagged(tmp_path, suffix, aspect):
    width, height = 180, 96
    path = tmp_path / f"out{suffix}"
    write(path, [np.zeros((height, width, 3), np.uint8)] * 2, info=VideoInfo(width, height, aspect=aspect))
    info, frames = read(path)
    assert (info.width, info.height, info.aspect, len(frames)) == (width, height, aspect, 2)
    with av.open(str(path)) as container:
        assert "stereo_mode" not in container.streams.video[0].metadata


def test_the_shape_of_pixels_with_alpha_in_matroska(tmp_path):
    for suffix in (".webm", ".mkv"):
        encode = EncodeConfig(**LOSSLESS, codec="vp9")
        path = tmp_path / f"out{suffix}"
        write(path, [rgba()] * 2, info=VideoInfo(256, 48, aspect=Fraction(4, 3)), alpha=True, encode=encode)
        assert read(path)[0].aspect == Fraction(341, 256)  # shown widths are whole pixels
        assert (alphas(path)[0] == rgba()[..., 3]).all()


@pytest.mark.parametrize(
    ("source", "codec", "results"),
    [
        ("in.mp4", "aac", (".mp4", ".mov")),
        ("in.mov", "pcm_s16le", (".mp4", ".mov", ".mkv")),
        ("in.mkv", "libopus", (".mp4", ".mkv", ".webm")),
    ],
)
def test_sound_is_copied_as_it_is(make_clip, tmp_path, source, codec, results):
    path = make_clip(source, count=50, audio=codec)
    info, frames = read(path)
    for suffix in results:
        result = tmp_path / f"out{suffix}"
        with VideoWriter(result, info, encode=FAST, origin=Origin(path)) as writer:
            for frame in frames:
                writer.write(frame)
        before, after = packets(path), packets(result)
        assert [data for data, _ in before] == [data for data, _ in after]
        # Matroska counts in milliseconds, everybody else in samples.
        tolerance = Fraction(1, 1000) if ".mkv" in (suffix, source[-4:]) or suffix == ".webm" else Fraction(1, 48000)
        assert max(abs(a - b) for (_, a), (_, b) in zip(before, after, strict=True)) <= tolerance
        moved = {b.pts * b.time_base - a.pts * a.time_base for a, b in zip(frames, read(result)[1], strict=True)}
        assert moved == {0}


def test_sound_keeps_its_distance_to_a_picture_that_starts_later(make_clip, tmp_path):
    path = make_clip("in.mp4", times=[600 + 40 * index for index in range(20)], audio="aac")
    info, frames = read(path)
    assert frames[0].seconds == 0.6
    with VideoWriter(tmp_path / "out.mp4", info, encode=EncodeConfig(), origin=Origin(path)) as writer:
        for frame in frames:
            writer.write(frame)
    assert read(tmp_path / "out.mp4")[1][0].seconds == 0.6
    assert packets(path) == packets(tmp_path / "out.mp4")


def test_all_tracks_of_sound_are_copied_and_interleaved(make_clip, tmp_path):
    single = make_clip("in.mp4", count=75, audio="aac")
    path = tmp_path / "two.mkv"
    with av.open(str(single)) as source, av.open(str(path), "w") as target:
        streams = [source.streams.video[0], source.streams.audio[0], source.streams.audio[0]]
        copies = [target.add_stream_from_template(stream, opaque=True) for stream in streams]
        for packet in source.demux():
            if packet.dts is None:
                continue
            for stream, copy in zip(streams, copies, strict=True):
                if packet.stream_index == stream.index:
                    twin = av.Packet(bytes(packet))
                    twin.pts, twin.dts, twin.time_base = packet.pts, packet.dts, packet.time_base
                    twin.is_keyframe, twin.stream = packet.is_keyframe, copy
                    target.mux(twin)
    info, frames = read(path)
    with VideoWriter(tmp_path / "out.mkv", info, encode=FAST, origin=Origin(path)) as writer:
        for frame in frames:
            writer.write(frame)
    for index in (0, 1):
        before, after = packets(path, index=index), packets(tmp_path / "out.mkv", index=index)
        assert [data for data, _ in before] == [data for data, _ in after]
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [float(p.dts * p.time_base) for p in container.demux() if p.dts is not None]
    assert max(earlier - later for earlier, later in zip(times, times[1:], strict=False)) < 0.5


def test_sound_longer_than_the_picture_is_kept(make_clip, tmp_path):
    path = make_clip("in.mp4", count=50, audio="aac")
    info, frames = read(path)
    with VideoWriter(tmp_path / "out.mp4", info, encode=FAST, origin=Origin(path)) as writer:
        for frame in frames[:5]:
            writer.write(frame)
    assert packets(path) == packets(tmp_path / "out.mp4")


def test_sound_that_does_not_fit_warns_once(make_clip, tmp_path):
    path = make_clip("in.mp4", count=10, audio="aac")
    info, frames = read(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with VideoWriter(tmp_path / "out.webm", info, encode=FAST, origin=Origin(path)) as writer:
            for frame in frames:
                writer.write(frame)
    (warning,) = caught
    assert warning.category is Bgmv2Warning
    assert "without the sound (AAC) of in.mp4: .webm cannot hold that" in str(warning.message)
    assert len(read(tmp_path / "out.webm")[1]) == 10


def test_a_silent_source_is_no_problem(make_clip, tmp_path):
    path = make_clip("in.mp4", count=3)
    info, frames = read(path)
    with VideoWriter(tmp_path / "out.mp4", info, encode=FAST, origin=Origin(path)) as writer:
        for frame in frames:
            writer.write(frame)
    assert len(read(tmp_path / "out.mp4")[1]) == 3


def test_a_missing_source_of_sound_leaves_nothing(tmp_path):
    with pytest.raises(VideoError, match="there is no"):
        VideoWriter(tmp_path / "out.mp4", INFO, origin=Origin(tmp_path / "nothing.mp4"))
    assert left_in(tmp_path) == []


def test_the_index_is_at_the_front(tmp_path, picture):
    for name in ("out.mp4", "out.mov"):
        write(tmp_path / name, [picture(0, 64, 48)] * 3)
        data = (tmp_path / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")


def test_nothing_stands_under_the_name_before_close(tmp_path, picture):
    writer = VideoWriter(tmp_path / "out.mp4", INFO, encode=FAST)
    writer.write(Frame(picture(0, 64, 48), 0, INFO.time_base))
    (temporary,) = left_in(tmp_path)
    assert temporary == ".out.mp4.parts"
    writer.close()
    writer.close()
    writer.discard()
    assert left_in(tmp_path) == ["out.mp4"]
    with pytest.raises(ValueError, match="closed"):
        writer.write(Frame(picture(1, 64, 48), 1, INFO.time_base))


def test_an_exception_discards(tmp_path, picture):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", INFO, encode=FAST) as writer:
        writer.write(Frame(picture(0, 64, 48), 0, INFO.time_base))
        raise KeyboardInterrupt
    assert left_in(tmp_path) == []
    writer.discard()


def test_an_empty_clip_is_refused(tmp_path):
    writer = VideoWriter(tmp_path / "out.mp4", INFO)
    with pytest.raises(OutputError, match="no frame"):
        writer.close()
    assert left_in(tmp_path) == []


def test_existing_results_are_safe(tmp_path, picture):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        VideoWriter(path, INFO)
    assert path.read_bytes() == b"precious"
    overwriting = EncodeConfig(overwrite=True)
    VideoWriter(path, INFO, encode=overwriting).discard()
    assert path.read_bytes() == b"precious"
    write(path, [picture(0, 64, 48)], encode=overwriting)
    assert len(read(path)[1]) == 1
    assert left_in(tmp_path) == ["out.mp4"]


def test_a_result_that_appears_meanwhile_is_safe(tmp_path, picture):
    writer = VideoWriter(tmp_path / "out.mp4", INFO, encode=FAST)
    writer.write(Frame(picture(0, 64, 48), 0, INFO.time_base))
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        writer.close()
    assert left_in(tmp_path) == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        VideoWriter(tmp_path / "nowhere" / "out.mp4", INFO)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        VideoWriter(tmp_path / "file" / "out.mp4", INFO)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        VideoWriter(tmp_path / "folder.mp4", INFO, encode=EncodeConfig(overwrite=True))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_protected_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="may not write"):
        VideoWriter(tmp_path / "out.mp4", INFO)
    tmp_path.chmod(0o700)


def test_a_size_that_the_encoder_refuses_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="libx264 refuses 65536x16 with crf 16"):
        VideoWriter(tmp_path / "out.mp4", VideoInfo(65536, 16))
    assert left_in(tmp_path) == []


def test_frames_that_do_not_belong(tmp_path, picture):
    with VideoWriter(tmp_path / "out.mp4", INFO, encode=FAST) as writer:
        writer.write(Frame(picture(0, 64, 48), 5, INFO.time_base))
        with pytest.raises(ValueError, match="order"):
            writer.write(Frame(picture(0, 64, 48), 5, INFO.time_base))
        with pytest.raises(ValueError, match="64x48"):
            writer.write(Frame(picture(0, 32, 48), 6, INFO.time_base))
        with pytest.raises(ValueError, match="alpha = False"):
            writer.write(Frame(np.zeros((48, 64, 4), np.uint8), 6, INFO.time_base))


@contextmanager
def full_disk():
    """A disk that takes no more than 20 kB of a file.

    The limit holds for every file of the process, so it must end before the test does: the suite's own report
    may be written to a file.
    """
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "frames", "s.####.png", "s.####.tif", "s.####.exr"])
@pytest.mark.parametrize("count", [2, 40])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path, name, count):
    """Few frames reach the disk only when the encoder is flushed, many while they are written."""
    if name.endswith(".exr"):
        pytest.importorskip("OpenEXR")
    noise = np.random.default_rng(0)
    info = VideoInfo(128, 96)
    with pytest.raises(OutputError) as caught, full_disk(), open_sink(tmp_path / name, info, encode=FAST) as sink:
        for index in range(count):
            sink.write(Frame(noise.integers(0, 256, (96, 128, 3), dtype=np.uint8), index, info.time_base))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name} cannot be written")
    assert message.endswith("make room or choose another place") and "\n" not in message
    assert left_in(tmp_path) == []
