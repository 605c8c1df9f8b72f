"""The tables of what can be written agree with themselves, with the encoders, and with what people are told."""

import itertools
import re
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import pytest

from bgmv2.config import CodecName, EncodeConfig, Preset
from bgmv2.errors import OutputError
from bgmv2.types import VideoInfo
from bgmv2.video import formats
from bgmv2.video.color import bits_of
from bgmv2.video.formats import CODECS, CONTAINERS, choose
from bgmv2.video.open import SINKS, open_sink
from bgmv2.video.threads import codec_threads

INFO = VideoInfo(64, 48)
PAIRS = [(suffix, name, alpha) for suffix in CONTAINERS for name in CODECS for alpha in (False, True)]


def possible(suffix, name, alpha):
    return name in (CONTAINERS[suffix].transparent if alpha else CONTAINERS[suffix].opaque)


def test_every_codec_can_be_asked_for_and_is_held_by_something():
    assert {"auto", *CODECS} == set(get_args(CodecName))
    assert {name for c in CONTAINERS.values() for name in (*c.opaque, *c.transparent)} == set(CODECS)
    assert set(SINKS) == {*CONTAINERS, *formats.PICTURES, formats.RAW, ""}


@pytest.mark.parametrize("name", CODECS)
def test_pixel_formats_have_the_bits_they_stand_for(name):
    codec = CODECS[name]
    encoder = next(av.Codec(encoder, "w") for encoder in codec.encoders)
    offered = {video_format.name for video_format in encoder.video_formats}
    for table in (codec.opaque, codec.transparent, codec.odd):
        assert {bits: bits_of(pixel_format) for bits, pixel_format in table.items()} == {bits: bits for bits in table}
        assert set(table.values()) <= offered


@pytest.mark.parametrize(("suffix", "name", "alpha"), PAIRS)
def test_a_pair_is_possible_or_refused_with_one_that_is(tmp_path, suffix, name, alpha):
    encode = EncodeConfig(codec=name)
    if possible(suffix, name, alpha):
        assert choose(Path(f"a{suffix}"), INFO, alpha=alpha, encode=encode).codec is CODECS[name]
        return
    with pytest.raises(OutputError) as caught:
        open_sink(tmp_path / f"a{suffix}", INFO, alpha=alpha, encode=encode)
    message = str(caught.value)
    assert "\n" not in message and list(tmp_path.iterdir()) == []
    # What is said instead is true: another codec for this suffix, another suffix for this codec, or other suffixes.
    for other in re.findall(r"--codec (.*)", message):
        assert {word for word in other.split(" or ") if word != "auto"} <= {
            n for n in CODECS if possible(suffix, n, alpha)
        }
    elsewhere = re.findall(r"\.(?:mp4|mov|mkv|webm)", message.split(" use ")[1].split("--codec")[0])
    if "does not hold" in message:
        assert elsewhere and all(possible(other, name, alpha) for other in elsewhere)
    if "holds no transparency; use " in message:
        assert elsewhere and all(CONTAINERS[other].transparent for other in elsewhere)


@pytest.mark.parametrize(
    ("name", "codec", "alpha", "said"),
    [
        ("a.mp4", "auto", True, r"\.mp4 holds no transparency; use \.mov \(ProRes 4444, .*\.webm \(VP9\).*PNG.*\.exr"),
        (
            "a.mp4",
            "prores",
            False,
            r"\.mp4 does not hold ProRes; use \.mov for it, or --codec auto or h264 or hevc or av1",
        ),
        ("a.mov", "hevc", True, r"HEVC holds no transparency; for a\.mov use --codec auto or prores or qtrle"),
        (
            "a.webm",
            "ffv1",
            True,
            r"\.webm does not hold FFV1 with transparency; use \.mkv for it, or --codec auto or vp9",
        ),
        ("a.avi", "auto", False, r"\.mp4, \.mov, \.mkv, \.webm"),
    ],
)
def test_refusals_are_clear(name, codec, alpha, said):
    with pytest.raises(OutputError, match=said):
        choose(Path(name), INFO, alpha=alpha, encode=EncodeConfig(codec=codec))


@pytest.mark.parametrize(
    ("suffix", "bits", "alpha", "codec", "kept"),
    [
        (".mp4", 8, False, "h264", 8),
        (".mp4", 10, False, "hevc", 10),
        (".mp4", 12, False, "hevc", 10),
        (".mov", 10, False, "hevc", 10),
        (".mov", 8, True, "prores", 10),
        (".mkv", 8, False, "h264", 8),
        (".mkv", 10, False, "hevc", 10),
        (".mkv", 12, False, "ffv1", 12),
        (".mkv", 9, True, "ffv1", 10),
        (".mkv", 16, True, "ffv1", 16),
        (".webm", 8, False, "vp9", 8),
        (".webm", 10, False, "av1", 10),
        (".webm", 10, True, "vp9", 8),
    ],
)
def test_auto_takes_the_first_that_keeps_the_bits(suffix, bits, alpha, codec, kept):
    choice = choose(Path(f"a{suffix}"), VideoInfo(64, 48, bits=bits), alpha=alpha, encode=EncodeConfig())
    assert (choice.codec, choice.bits) == (CODECS[codec], kept)


def test_capitals_are_the_same_suffix():
    assert choose(Path("a.MOV"), INFO, alpha=True, encode=EncodeConfig()).codec is CODECS["prores"]


@pytest.mark.parametrize("name", ["h264", "hevc", "av1", "vp9"])
@pytest.mark.parametrize("crf", [0, 16, 51])
def test_encoders_take_every_preset(name, crf):
    suffix = next(suffix for suffix in CONTAINERS if possible(suffix, name, False))
    for preset in get_args(Preset):
        encode = EncodeConfig(codec=name, crf=crf, preset=preset)
        choice = choose(Path(f"a{suffix}"), INFO, alpha=False, encode=encode)
        context = av.CodecContext.create(choice.encoder, "w")
        context.width, context.height, context.pix_fmt = 64, 48, choice.pixel_format
        context.time_base, context.options = 1 / INFO.rate, choice.options
        context.open()
        unknown = set(context.options) & set(choice.options)
        assert unknown == set()


def test_the_slow_fallback_of_av1_is_told_how():
    options = CODECS["av1"].options("libaom-av1", EncodeConfig(preset="veryslow", crf=51), INFO)
    assert options == {"crf": "63", "cpu-used": "4", "row-mt": "1"}
    assert "lossless=1" in CODECS["av1"].options("libaom-av1", EncodeConfig(crf=0), INFO)["aom-params"]


def test_an_encoder_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(CODECS, "hevc", formats.Codec("HEVC", ("libx266",), CODECS["hevc"].options, {8: "yuv420p"}))
    with pytest.raises(OutputError, match=r"no encoder for HEVC \(libx266\).*another --codec"):
        choose(Path("a.mp4"), INFO, alpha=False, encode=EncodeConfig(codec="hevc"))


def test_the_readme_shows_the_table():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert formats.markdown() in readme


def test_the_same_frames_give_the_same_h264(picture):
    """A run that is gone on with shall make what one run would have made."""
    options = CODECS["h264"].options("libx264", EncodeConfig(preset="fast"), VideoInfo(96, 64))
    shots = [[av.VideoFrame.from_ndarray(picture(3 * film + k, 96, 64)) for k in range(3)] for film in range(4)]
    found = set()
    for _, film in itertools.product(range(40), range(4)):
        context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = 96, 64, "yuv420p"
        context.time_base, context.options = Fraction(1, 25), dict(options)
        context.thread_type, context.thread_count = "AUTO", codec_threads()
        packets = []
        for pts, frame in enumerate(shots[film]):
            frame.pts, frame.time_base = pts, context.time_base
            packets += context.encode(frame)
        found.add((film, b"".join(map(bytes, packets + context.encode(None)))))
    assert len(found) == 4
