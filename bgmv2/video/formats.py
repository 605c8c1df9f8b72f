"""What can be written, in two tables; help texts, errors, the README and the tests are made from them or held to them.

`CODECS` says how a codec is encoded, `CONTAINERS` which of them a suffix holds, `PICTURES` what numbered pictures hold.
Help texts need the tables at once, and PyAV and OpenCV take their time: they are imported where something is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.video.hardware import STEPS, find_encoder
from bgmv2.video.threads import codec_threads

if TYPE_CHECKING:
    from bgmv2.types import VideoInfo

_AVX_512F = 13  # CV_CPU_AVX_512F of OpenCV, which Python is not told


@dataclass(frozen=True)
class Codec:
    """How a codec is encoded.

    Args:
        title: what people call it.
        encoders: FFmpeg's names; the first that this build of FFmpeg has is taken.
        options: what the encoder is told, from its name, the user's choices and the frames to come.
        opaque: pixel format by bits.
        transparent: pixel format with alpha by bits; empty if it holds none.
        odd: pixel format by bits for odd sizes, where the usual one cannot hold them.
        full_range: it can store 0..255; otherwise everything is stored as 16..235.
        tag: its name in .mp4 and .mov, where FFmpeg's choice is not the one that plays everywhere.
        store: FFmpeg's name of a container that gives its packets back bit for bit, with their transparency.
    """

    title: str
    encoders: tuple[str, ...]
    options: Callable[[str, EncodeConfig, VideoInfo], dict[str, str]]
    opaque: Mapping[int, str]
    transparent: Mapping[int, str] = field(default_factory=dict)
    odd: Mapping[int, str] = field(default_factory=dict)
    full_range: bool = True
    tag: str | None = None
    store: str = "nut"


def _x264(encoder: str, encode: EncodeConfig, info: VideoInfo) -> dict[str, str]:
    # Its AVX-512 code for macroblock trees reads memory that nobody wrote, and so makes of the same frames one film
    # today and another tomorrow. Whatever has AVX-512 has AVX2.
    import cv2

    safe = {"x264-params": "asm=avx2"} if cv2.checkHardwareSupport(_AVX_512F) else {}
    return {"crf": str(encode.crf), "preset": encode.preset, **safe}


def _x265(encoder: str, encode: EncodeConfig, info: VideoInfo) -> dict[str, str]:
    quality = {"crf": str(encode.crf)} if encode.crf else {}
    # It has threads besides those that FFmpeg gives it.
    parameters = f"log-level=none:pools={codec_threads()}" + ("" if quality else ":lossless=1")
    return {**quality, "preset": encode.preset, "x265-params": parameters}


def _av1(encoder: str, encode: EncodeConfig, info: VideoInfo) -> dict[str, str]:
    speed = 11 - STEPS[encode.preset]
    if encoder == "libaom-av1":
        # It is a tenth as fast as SVT-AV1; below 4 nobody waits for it.
        quality = {"aom-params": "lossless=1"} if encode.crf == 0 else {"crf": _of_63(encode)}
        return {**quality, "cpu-used": str(min(8, max(4, speed))), "row-mt": "1"}
    options = {"preset": str(speed)}
    parameters = []
    if encode.crf == 0:
        parameters.append("lossless=1")
    else:
        options["crf"] = _of_63(encode)
    if min(info.width, info.height) < 64:
        # On pictures as narrow as a block, its threads wait for each other for ever.
        parameters.append("lp=1")
    return {**options, "svtav1-params": ":".join(parameters)} if parameters else options


def _vp9(encoder: str, encode: EncodeConfig, info: VideoInfo) -> dict[str, str]:
    speed = 8 - STEPS[encode.preset]
    return {
        **({"lossless": "1"} if encode.crf == 0 else {"crf": _of_63(encode)}),
        # Above 5, cpu-used counts only with the deadline *realtime*.
        "deadline": "realtime" if speed > 5 else "good",
        "cpu-used": str(speed),
        "row-mt": "1",
    }


def _of_63(encode: EncodeConfig) -> str:
    """VP9 and AV1 count quality to 63 where H.264 counts to 51."""
    return str(round(encode.crf * 63 / 51))


def _nothing(encoder: str, encode: EncodeConfig, info: VideoInfo) -> dict[str, str]:
    return {}


# 4:2:0 halves the picture and cannot hold an odd size in H.264 and HEVC. Colour at full size can, at the price that few
# but VLC, mpv and editors play it; a clip that silently lost a column would no longer fit its source.
CODECS: dict[str, Codec] = {
    # H.264 has a profile for 10 bits, but hardly any hardware and browser plays it: HEVC is what holds them.
    "h264": Codec("H.264", ("libx264",), _x264, {8: "yuv420p"}, odd={8: "yuv444p"}),
    "hevc": Codec(
        *("HEVC", ("libx265",), _x265, {8: "yuv420p", 10: "yuv420p10le"}),
        odd={8: "yuv444p", 10: "yuv444p10le"},
        tag="hvc1",  # Apple plays no other
    ),
    "av1": Codec("AV1", ("libsvtav1", "libaom-av1"), _av1, {8: "yuv420p", 10: "yuv420p10le"}),
    "vp9": Codec("VP9", ("libvpx-vp9",), _vp9, {8: "yuv420p"}, {8: "yuva420p"}, store="matroska"),
    "prores": Codec(
        *("ProRes", ("prores_ks",), _nothing, {10: "yuv422p10le"}, {10: "yuva444p10le"}),
        full_range=False,
        store="matroska",
    ),
    "qtrle": Codec("QuickTime Animation", ("qtrle",), _nothing, {8: "rgb24"}, {8: "argb"}, store="mov"),
    "ffv1": Codec(
        *("FFV1", ("ffv1",), lambda encoder, encode, info: {"level": "3", "slicecrc": "1"}),
        {8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"},
        {8: "bgra", 10: "gbrap10le", 12: "gbrap12le", 16: "gbrap16le"},
    ),
}


@dataclass(frozen=True)
class Container:
    """Which codecs a suffix holds, as names of `CODECS`; `auto` takes the first that keeps the clip's bits."""

    opaque: tuple[str, ...]
    transparent: tuple[str, ...] = ()


CONTAINERS: dict[str, Container] = {
    ".mp4": Container(("h264", "hevc", "av1")),
    ".mov": Container(("h264", "hevc", "prores", "qtrle"), ("prores", "qtrle")),
    ".mkv": Container(("h264", "hevc", "av1", "vp9", "ffv1"), ("ffv1", "vp9")),
    ".webm": Container(("vp9", "av1"), ("vp9",)),
}

# Numbered pictures: what people call the format. All of them hold 16 bits and transparency.
PICTURES: dict[str, str] = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".exr": "EXR"}

RAW = "-"


@dataclass(frozen=True)
class Choice:
    """How one video will be written.

    Args:
        codec: the row of `CODECS`.
        encoder: FFmpeg's name.
        pixel_format: FFmpeg's name.
        options: for the encoder.
        bits: that are kept of each value.
    """

    codec: Codec
    encoder: str
    pixel_format: str
    options: dict[str, str]
    bits: int


def choose(path: Path, info: VideoInfo, *, alpha: bool, encode: EncodeConfig) -> Choice:
    """Choose how a video is encoded.

    Args:
        path: of the result; its suffix is the container.
        info: of the frames to come.
        alpha: they are RGBA.
        encode: the user's choices.

    Returns:
        What to tell FFmpeg.

    Raises:
        OutputError: the pair is impossible; the message says what is possible instead.
    """
    from bgmv2.video.hdr import with_light

    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise OutputError(f"{path} has no suffix of a video; use one of {', '.join(CONTAINERS)}")
    container = CONTAINERS[suffix]
    names = container.transparent if alpha else container.opaque
    if not names:
        raise OutputError(f"{suffix} holds no transparency; use {transparent_summary()}")
    if encode.codec == "auto":
        # Of codecs that keep equally much the first.
        name = max(names, key=lambda name: min(info.bits, max(_formats(CODECS[name], info, alpha=alpha))))
    elif encode.codec in names:
        name = encode.codec
    else:
        raise OutputError(_why_not(path, encode.codec, names, alpha=alpha))
    codec = CODECS[name]
    formats = _formats(codec, info, alpha=alpha)
    bits = min((bits for bits in formats if bits >= info.bits), default=max(formats))
    on_device = None if alpha else find_encoder(name, bits, info, encode)
    if on_device is not None:
        return Choice(codec, *on_device, bits)
    encoder = _available(codec, path)
    options = codec.options(encoder, encode, info)
    if formats[bits] == "yuva420p":
        # Alternate reference frames are never shown, and the alpha layer cannot follow them.
        options["auto-alt-ref"] = "0"
    if name == "prores":
        options["profile"] = "4" if alpha else "3"  # 4444, 422 HQ
    return Choice(codec, encoder, formats[bits], with_light(options, encoder, info.color.light), bits)


def summary() -> str:
    """Say in a phrase what a result may be."""
    videos = ", ".join(CONTAINERS)
    pictures = ", ".join(f"out.####{suffix}" for suffix in PICTURES if suffix != ".tiff")
    return f"a video ({videos}), numbered pictures ({pictures}), a folder of numbered PNG, or {RAW} for raw pixels"


def transparent_summary(*, streams: bool = True) -> str:
    """Say in a phrase what holds transparency; with `streams`, standard output too."""
    videos = [f"{suffix} ({_titles(c.transparent)})" for suffix, c in CONTAINERS.items() if c.transparent]
    pictures = "numbered pictures (a folder of PNG, or out.####.png, .tif or .exr)"
    return ", ".join([*videos, pictures, f"or {RAW}"] if streams else [*videos, f"or {pictures}"])


def codec_summary() -> str:
    """Say in a phrase which codecs each suffix takes."""
    names = {suffix: dict.fromkeys((*c.opaque, *c.transparent)) for suffix, c in CONTAINERS.items()}
    return "; ".join(f"{suffix}: {', '.join(known)}" for suffix, known in names.items())


def markdown() -> str:
    """Write the tables down for the README."""
    rows = [("result", "what is in it, `--codec`, bits", "with transparency (`--rgba`)"), ("---", "---", "---")]
    for suffix, container in CONTAINERS.items():
        opaque = ", ".join(f"{CODECS[name].title} `{name}` {_bits(CODECS[name].opaque)}" for name in container.opaque)
        transparent = ", ".join(f"`{name}` {_bits(CODECS[name].transparent)}" for name in container.transparent)
        rows.append((f"`{suffix}`", opaque, transparent or "no"))
    for suffix, title in PICTURES.items():
        what = "linear light, half floats, layers" if suffix == ".exr" else "8/16"
        rows.append((f"`out.####{suffix}`", f"{title}, {what}", "yes"))
    rows.append(("`out/`", "a folder of PNG, 8/16", "yes"))
    rows.append((f"`{RAW}`", "raw pixels on standard output, 8/16", "yes"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _formats(codec: Codec, info: VideoInfo, *, alpha: bool) -> Mapping[int, str]:
    if alpha:
        return codec.transparent
    return codec.odd if codec.odd and (info.width % 2 or info.height % 2) else codec.opaque


def _available(codec: Codec, path: Path) -> str:
    import av
    import av.codec.codec

    for name in codec.encoders:
        try:
            av.Codec(name, "w")
        except av.codec.codec.UnknownCodecError:
            continue
        return name
    raise OutputError(
        f"{path} cannot be written: this FFmpeg has no encoder for {codec.title} ({', '.join(codec.encoders)}); "
        f"choose another --codec, or install PyAV from PyPI"
    )


def _why_not(path: Path, wanted: str, names: tuple[str, ...], *, alpha: bool) -> str:
    suffix, title = path.suffix.lower(), CODECS[wanted].title
    possible = " or ".join(["auto", *names])
    elsewhere = [s for s, c in CONTAINERS.items() if wanted in (c.transparent if alpha else c.opaque)]
    if alpha and not CODECS[wanted].transparent:
        return f"{title} holds no transparency; for {path.name} use --codec {possible}"
    with_alpha = " with transparency" if alpha else ""
    return f"{suffix} does not hold {title}{with_alpha}; use {' or '.join(elsewhere)} for it, or --codec {possible}"


def _titles(names: tuple[str, ...]) -> str:
    return ", ".join(f"{CODECS[name].title} 4444" if name == "prores" else CODECS[name].title for name in names)


def _bits(formats: Mapping[int, str]) -> str:
    return "/".join(map(str, formats))
