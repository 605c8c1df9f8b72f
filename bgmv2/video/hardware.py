"""Encoders that work on a device, such as a graphics card: which there are, and how each is told what the user wants.

That this build of FFmpeg has an encoder says nothing of a device for it, so that each is tried before it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

from bgmv2.config import EncodeConfig, Preset
from bgmv2.errors import OutputError

if TYPE_CHECKING:
    from bgmv2.types import VideoInfo

# What they code, as rows of `bgmv2.video.formats.CODECS`, and in which pixel format by bits; all of them take these.
CODED = ("h264", "hevc", "av1")
_FORMATS = {8: "nv12", 10: "p010le"}
# Presets by how slow they are.
STEPS: dict[str, int] = {name: index for index, name in enumerate(get_args(Preset))}
# FFmpeg's steps of quality for encoders that have none of their own: FF_QP2LAMBDA.
_LAMBDA = 118


def _quantizer(encode: EncodeConfig, codec: str) -> str:
    """What encoders call QP: AV1's goes to 255, that of the others to 51 as a rate factor does."""
    return str(round(encode.crf * 255 / 51) if codec == "av1" else encode.crf)


def _nvenc(encode: EncodeConfig, codec: str) -> dict[str, str]:
    speed = {"preset": f"p{1 + 6 * STEPS[encode.preset] // (len(STEPS) - 1)}"}
    if encode.crf == 0:
        return {**speed, "tune": "lossless"}
    return {**speed, "rc": "constqp", "qp": _quantizer(encode, codec)}


def _qsv(encode: EncodeConfig, codec: str) -> dict[str, str]:
    # It knows x264's names but for the two quickest.
    preset = get_args(Preset)[max(2, STEPS[encode.preset])]
    return {"preset": preset, "global_quality": str(max(1, encode.crf))}


def _amf(encode: EncodeConfig, codec: str) -> dict[str, str]:
    quality = ("speed", "balanced", "quality")[3 * STEPS[encode.preset] // len(STEPS)]
    return {"quality": quality, "rc": "cqp", "qp_i": _quantizer(encode, codec), "qp_p": _quantizer(encode, codec)}


def _videotoolbox(encode: EncodeConfig, codec: str) -> dict[str, str]:
    # Its quality goes from 1 to 100.
    return {"flags": "+qscale", "global_quality": str(_LAMBDA * max(1, round(100 * (1 - encode.crf / 51))))}


KINDS: dict[str, Callable[[EncodeConfig, str], dict[str, str]]] = {
    "nvenc": _nvenc,
    "videotoolbox": _videotoolbox,
    "qsv": _qsv,
    "amf": _amf,
}


def find_encoder(
    codec: str, bits: int, info: VideoInfo, encode: EncodeConfig
) -> tuple[str, str, dict[str, str]] | None:
    """Find a device's encoder.

    Args:
        codec: a row of `bgmv2.video.formats.CODECS`.
        bits: to keep of each value.
        info: of the frames to come.
        encode: the user's choices.

    Returns:
        FFmpeg's name of it, its pixel format, and what it is told; None if it is to be done, or must be, on the CPU.

    Raises:
        OutputError: the user named a kind of device that cannot do it.
    """
    kind = encode.hwencode
    if kind == "off":
        return None
    is_fit = codec in CODED and bits in _FORMATS and not info.width % 2 and not info.height % 2
    for name in KINDS if kind == "auto" else [kind] if kind in KINDS else []:
        options = KINDS[name](encode, codec)
        if is_fit and _opens(f"{codec}_{name}", _FORMATS[bits], options, info):
            return f"{codec}_{name}", _FORMATS[bits], options
    if kind == "auto":
        return None
    if kind not in KINDS:
        raise OutputError(f"no kind of device is called {kind}: take --hwencode auto, off or one of {', '.join(KINDS)}")
    if not is_fit:
        raise OutputError(f"{kind} codes {', '.join(CODED)} of even sizes and no transparency: take --hwencode auto")
    raise OutputError(f"there is no device that encodes {codec} by {kind}, or no driver: take --hwencode auto or off")


def _opens(encoder: str, pixel_format: str, options: dict[str, str], info: VideoInfo) -> bool:
    """Tell whether there is a device for it that takes pictures of this size."""
    import av
    import av.codec.codec

    from bgmv2.video.quiet import quiet

    try:
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = info.width, info.height, pixel_format
        context.time_base, context.framerate = info.time_base, info.rate
        context.options = dict(options)
        with quiet():
            context.open()
    except (av.codec.codec.UnknownCodecError, av.error.FFmpegError, OSError):
        return False
    return True
