import os
import warnings
from contextlib import contextmanager
from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.errors import Bgmv2Warning, OutputError, OutputExistsError, VideoError
from bgmv2.types import ColorInfo, Frame, VideoInfo
from bgmv2.video import VideoReader, VideoWriter, open_sink

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


PRIMARIES = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (180, 90, 40)]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9, 2])
@pytest.mark.parametrize("deep", [False, True])
def test_colours_survive(tmp_path, suffix, matrix, deep):
    """A grey ramp and the primaries, in every matrix, with tag and conversion agreeing."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)
    colours = np.repeat(np.array(PRIMARIES, np.uint8), 32, axis=0)[None].repeat(32, axis=0)
    pixels = np.concatenate([ramp, np.pad(colours, ((0, 0), (0, 32), (0, 0)))])
    info = VideoInfo(256, 64, color=ColorInfo(matrix=matrix))
    encode = EncodeConfig(crf=0, preset="ultrafast")
    stored = pixels.astype(np.uint16) * 257 if deep else pixels
    write(tmp_path / f"out{suffix}", [stored] * 2, info=info, encode=encode)
    read_info, frames = read(tmp_path / f"out{suffix}")
    # Matroska and H.264 tell 5 and 6 apart, VP9 does not; unspecified is written as what readers would guess.
    assert read_info.color.matrix in {1: (1,), 5: (5, 6), 6: (5, 6), 9: (9,), 2: (5, 6)}[matrix]
    result = frames[0].pixels.astype(int)
    assert np.abs(result[4:28] - ramp[4:28]).max() <= 2
    centres = 16 + 32 * np.arange(len(PRIMARIES))
    assert np.abs(result[40:56, centres] - np.array(PRIMARIES)).max() <= 3


@pytest.mark.parametrize("name", ["pha.mp4", "pha.mov", "pha.webm"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_keeps_black_and_white(tmp_path, name, dtype):
    grey = np.arange(256, dtype=np.uint8)[None].repeat(48, axis=0)
    stored = grey if dtype == np.uint8 else grey.astype(np.uint16) * 257
    write(tmp_path / name, [stored] * 2, info=VideoInfo(256, 48), encode=EncodeConfig(crf=0, preset="ultrafast"))
    result = read(tmp_path / name)[1][0].pixels
    # VP9's best quality is not lossless, but flat black and white are.
    tolerance = 1 if name != "pha.webm" else 3
    assert np.abs(result.astype(int) - grey[..., None]).max() <= tolerance
    if name != "pha.webm":
        assert (result[:, 0] == 0).all() and (result[:, 255] == 255).all()


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (63, 47), (1, 1), (2, 2), (3, 17)])
@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "alpha.mov", "alpha.webm"])
def test_every_size_survives(tmp_path, picture, size, name):
    width, height = size
    alpha = name.startswith("alpha")
    pixels = np.full((height, width, 4 if alpha else 3), 200, np.uint8)
    write(tmp_path / name, [pixels] * 3, info=VideoInfo(width, height), alpha=alpha)
    info, frames = read(tmp_path / name)
    assert (info.width, info.height, len(frames)) == (width, height, 3)
    assert np.abs((frames[0].pixels >> (8 if frames[0].pixels.dtype == np.uint16 else 0)).astype(int) - 200).max() <= 3


def rgba():
    pixels = np.empty((48, 256, 4), np.uint8)
    pixels[..., :3] = 255, 128, 0
    pixels[..., 3] = np.arange(256)
    return pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_prores_keeps_alpha(tmp_path, dtype):
    pixels = rgba() if dtype == np.uint8 else rgba().astype(np.uint16) * 257
    write(tmp_path / "out.mov", [pixels] * 2, info=VideoInfo(256, 48), alpha=True)
    with av.open(str(tmp_path / "out.mov")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.codec_tag == "ap4h"
        frame = next(container.decode(stream))
        assert frame.format.name.startswith("yuva444p1")
        bits = frame.format.components[3].bits
        plane = frame.planes[3]
        stored = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, :256]
    levels = stored / (2**bits - 1) * 255
    assert np.abs(levels - np.arange(256)).max() <= 0.5
    # What is opaque stays so, exactly.
    assert (stored[:, 255] == 2**bits - 1).all() and (stored[:, 0] == 0).all()
    read_info, frames = read(tmp_path / "out.mov")
    assert (read_info.color.matrix, read_info.color.primaries, read_info.color.transfer) == (1, 1, 1)
    colours = frames[0].pixels / 257
    assert np.abs(colours - (255, 128, 0)).max() <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_vp9_keeps_alpha(tmp_path, dtype):
    pixels = rgba() if dtype == np.uint8 else rgba().astype(np.uint16) * 257
    write(tmp_path / "out.webm", [pixels] * 3, info=VideoInfo(256, 48), alpha=True)
    with av.open(str(tmp_path / "out.webm")) as container:
        stream = container.streams.video[0]
        # FFmpeg's own decoder leaves alpha out, that of libvpx does not.
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [f for packet in container.demux(stream) if packet.size for f in decoder.decode(packet)]
    assert len(frames) == 3
    assert frames[0].format.name == "yuva420p"
    plane = frames[0].planes[3]
    stored = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, :256]
    assert np.abs(stored.astype(int) - np.arange(256)).max() <= 4


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_alpha_is_refused_with_an_alternative(tmp_path, suffix):
    with pytest.raises(OutputError, match=r"no transparency; use \.mov .*\.webm.*PNG"):
        VideoWriter(tmp_path / f"out{suffix}", INFO, alpha=True)
    assert left_in(tmp_path) == []


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.mp4, \.mov, \.mkv, \.webm"):
        VideoWriter(tmp_path / "out.avi", INFO)


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
        with VideoWriter(result, info, encode=FAST, audio_from=path) as writer:
            for frame in frames:
                writer.write(frame)
        before, after = packets(path), packets(result)
        assert [data for data, _ in before] == [data for data, _ in after]
        # Matroska counts in milliseconds, everybody else in samples.
        tolerance = Fraction(1, 1000) if ".mkv" in (suffix, source[-4:]) or suffix == ".webm" else Fraction(1, 48000)
        assert max(abs(a - b) for (_, a), (_, b) in zip(before, after, strict=True)) <= tolerance
        moved = {b.pts * b.time_base - a.pts * a.time_base for a, b in zip(frames, read(result)[1], strict=True)}
        assert moved == {0}


def test_sound_in_mkv_stays_with_the_picture(make_clip, tmp_path):
    """AAC begins before zero, which Matroska cannot say: everything moves, but together."""
    path = make_clip("in.mp4", count=50, audio="aac")
    info, frames = read(path)
    with VideoWriter(tmp_path / "out.mkv", info, encode=FAST, audio_from=path) as writer:
        for frame in frames:
            writer.write(frame)
    sound = float(packets(tmp_path / "out.mkv")[0][1] - packets(path)[0][1])
    film = read(tmp_path / "out.mkv")[1][0].seconds - frames[0].seconds
    assert abs(sound - film) <= 0.001


def test_sound_keeps_its_distance_to_a_picture_that_starts_later(make_clip, tmp_path):
    path = make_clip("in.mp4", times=[600 + 40 * index for index in range(20)], audio="aac")
    info, frames = read(path)
    assert frames[0].seconds == 0.6
    with VideoWriter(tmp_path / "out.mp4", info, encode=EncodeConfig(), audio_from=path) as writer:
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
    with VideoWriter(tmp_path / "out.mkv", info, encode=FAST, audio_from=path) as writer:
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
    with VideoWriter(tmp_path / "out.mp4", info, encode=FAST, audio_from=path) as writer:
        for frame in frames[:5]:
            writer.write(frame)
    assert packets(path) == packets(tmp_path / "out.mp4")


def test_sound_that_does_not_fit_warns_once(make_clip, tmp_path):
    path = make_clip("in.mp4", count=10, audio="aac")
    info, frames = read(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with VideoWriter(tmp_path / "out.webm", info, encode=FAST, audio_from=path) as writer:
            for frame in frames:
                writer.write(frame)
    (warning,) = caught
    assert warning.category is Bgmv2Warning
    assert "without the sound of in.mp4: .webm cannot hold AAC" in str(warning.message)
    assert len(read(tmp_path / "out.webm")[1]) == 10


def test_a_silent_source_is_no_problem(make_clip, tmp_path):
    path = make_clip("in.mp4", count=3)
    info, frames = read(path)
    with VideoWriter(tmp_path / "out.mp4", info, encode=FAST, audio_from=path) as writer:
        for frame in frames:
            writer.write(frame)
    assert len(read(tmp_path / "out.mp4")[1]) == 3


def test_a_missing_source_of_sound_leaves_nothing(tmp_path):
    with pytest.raises(VideoError, match="there is no"):
        VideoWriter(tmp_path / "out.mp4", INFO, audio_from=tmp_path / "nothing.mp4")
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
    assert temporary.startswith(".") and temporary.endswith(".mp4")
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


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm", "frames"])
@pytest.mark.parametrize("count", [2, 40])
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path, name, count):
    """Few frames reach the disk only when the encoder is flushed, many while they are written."""
    noise = np.random.default_rng(0)
    info = VideoInfo(128, 96)
    with pytest.raises(OutputError) as caught, full_disk(), open_sink(tmp_path / name, info, encode=FAST) as sink:
        for index in range(count):
            sink.write(Frame(noise.integers(0, 256, (96, 128, 3), dtype=np.uint8), index, info.time_base))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name} cannot be written")
    assert message.endswith("make room or choose another place") and "\n" not in message
    assert left_in(tmp_path) == []
