"""Flags and configurations: every flag stands here once, and its default comes from the dataclass it fills."""

from __future__ import annotations

import argparse
import re
from dataclasses import MISSING, fields
from fractions import Fraction
from typing import Any, TypeVar, get_args

from bgmv2.config import (
    DEFAULT_BACKDROP,
    AlignMode,
    AlphaMode,
    BlendMode,
    Budget,
    CodecName,
    DeinterlaceMode,
    DeviceName,
    EndMode,
    Engine,
    FitMode,
    MismatchMode,
    Precision,
    Preset,
    RefineMode,
    RegionMode,
    UpdateMode,
)
from bgmv2.plate.words import PlateSource
from bgmv2.video import formats, hardware
from bgmv2.video.timing import DEFAULT_RATE

C = TypeVar("C")

# What people and cameras call rates whose frames last 1001 parts of the whole number's 1000.
_NTSC = {"23.976": 24, "23.98": 24, "29.97": 30, "47.952": 48, "47.95": 48, "59.94": 60, "119.88": 120}


def parse_time(text: str) -> float:
    """Read an instant: seconds, ``90.5`` or ``90.5s``, or hours, minutes and seconds, ``1:30.5``, ``00:01:30.500``."""
    match = re.fullmatch(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?|\.\d+)s?", text, re.ASCII)
    if match is None or (match[2] is not None and float(match[3]) >= 60):
        raise argparse.ArgumentTypeError(f"an instant is seconds or HH:MM:SS.mmm, such as 90.5 or 00:01:30.5: {text!r}")
    return 3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + float(match[3])


def parse_rate(text: str) -> Fraction:
    """Read a frame rate: ``25``, ``24000/1001``, or ``23.976``, which stands for that."""
    try:
        return Fraction(1000 * _NTSC[text], 1001) if text in _NTSC else Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"a frame rate is a number or a ratio, such as 24, 23.976 or 24000/1001: {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def parse_scale(text: str) -> float:
    """``0.25``, or ``1/3``, which no decimal number says."""
    try:
        return float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"'{text}' is no scale; write it like 0.25 or 1/3") from None


def parse_size(text: str) -> tuple[int, int]:
    """Read a size: ``1280x720``."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"a size is width and height, such as 1280x720: {text!r}")
    return int(match[1]), int(match[2])


def parse_plate(text: str) -> str:
    """Take a plate as it is said, and refuse what begins like a word for one and goes on otherwise."""
    try:
        PlateSource.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


PLATE_WORDS_OF_PICTURES = (
    "If none was shot and SRC is a folder of pictures that one camera took from one place, WORD makes one of them: "
    "auto, if the subject moves; median, if it moves a lot. A picture that is called so is ./auto"
)
PLATE_WORDS = (
    "If none was shot, WORD makes one of the clip: auto, if the subject moves; median, if it moves a lot; first:2s or "
    "last:2s, if it is away for the first or last 2 seconds of the whole clip, which must be that long; at:12.5, the "
    "frame at that second. A picture that is called so is ./auto"
)

ROLES = {
    "com": "the subject over the backdrop",
    "pha": "alpha alone, grey: white is subject",
    "fgr": "the subject's own colours, free of the old background's light; goes with --pha",
    "rgba": "subject with transparency",
    "err": "where the first, coarse network expects to be wrong",
    "ref": "the 4x4 patches that were refined at full resolution",
    "shadow": "the subject's shadow, grey: multiply a backdrop by it; white is no shadow",
}

READ: dict[str, dict[str, Any]] = {
    "start": dict(
        type=parse_time,
        metavar="TIME",
        help="take the frames from this instant on: seconds, or HH:MM:SS.mmm, counted from the clip's beginning",
    ),
    "end": dict(type=parse_time, metavar="TIME", help="take the frames before this instant"),
    "frames": dict(type=int, metavar="N", help="take so many frames at most"),
    "rate": dict(
        type=parse_rate,
        metavar="R",
        help="frames per second of numbered pictures and raw frames, such as 24, 24000/1001 or 23.976; default: "
        f"{DEFAULT_RATE}",
    ),
    "raw": dict(
        metavar="FORMAT:WxH",
        help="standard input holds bare frames, such as rgb24:1280x720; FORMAT is a pixel format of FFmpeg",
    ),
    "deinterlace": dict(
        choices=get_args(DeinterlaceMode),
        help="make interlaced frames whole, or take what the clip says of them for a mistake",
    ),
    "hwaccel": dict(
        metavar="off|auto|KIND",
        help="decode on a device: FFmpeg's name of its kind, such as cuda, vaapi or videotoolbox; auto takes the first "
        "that is there, if any is; one that is missing is an error",
    ),
}

COMPOSITE: dict[str, dict[str, Any]] = {
    "backdrop_fit": dict(
        choices=get_args(FitMode),
        help="a backdrop of another shape: cut it to fill the frame, fit it in whole with black bars, or stretch it",
    ),
    "backdrop_end": dict(
        choices=get_args(EndMode),
        help="a backdrop video that is shorter than the clip: begin it again, or hold its last frame",
    ),
    "backdrop_offset": dict(
        type=float,
        metavar="S",
        help="begin a backdrop video S seconds in; -2 lets it wait for 2 seconds on its first frame",
    ),
    "blend": dict(
        choices=get_args(BlendMode),
        help="how soft edges mix with the backdrop: as video editors do, or as light does; for clips that are not HDR",
    ),
    "keep_shadow": dict(
        type=float,
        metavar="0..1",
        help="lay the subject's own shadow, as it fell on the real floor and walls, onto the backdrop: 0 leaves it "
        "out, 1 is as dark as filmed",
    ),
    "despill": dict(
        type=float,
        metavar="0..1",
        help="take the old background's colours out of hair and other soft edges: 0 not at all, 1 all that is found",
    ),
    "garbage": dict(
        metavar="MATTE",
        help="what is white in this picture or video is never subject, such as a lamp that was moved or the edge of "
        "the set; black leaves things as they are, grey is in between",
    ),
    "holdout": dict(
        metavar="MATTE",
        help="what is white in this picture or video is always subject, such as a shirt in which holes were seen; it "
        "has the last word over --garbage",
    ),
}

RUN: dict[str, dict[str, Any]] = {
    "device": dict(metavar="|".join(get_args(DeviceName)), help="where to compute; one that is missing is an error"),
    "precision": dict(choices=get_args(Precision), help="number format; auto is float16 on CUDA, float32 elsewhere"),
    "align": dict(
        choices=get_args(AlignMode),
        help="match the plate to the camera's position and exposure: at every frame, at the first only, or never",
    ),
    "update": dict(
        choices=get_args(UpdateMode),
        help="with --align every: let the plate follow light that changes slowly, such as a patch of sunlight, and "
        "learn what frames show beyond its edges and in its holes",
    ),
    "engine": dict(
        choices=get_args(Engine),
        help="what computes the network: PyTorch, or onnxruntime or OpenVINO on the CPU, for which it is prepared "
        "once; auto is PyTorch, or what a file of bgmv2 export given by --weights is for",
    ),
    "weights": dict(
        metavar="FILE",
        help="other weights than those that come along, .safetensors or .pth; or what bgmv2 export made, .onnx or .xml",
    ),
    "scale": dict(
        type=parse_scale,
        metavar="S",
        help="size at which the coarse network sees the picture, such as 0.25 or 1/3, up to 1/2; default: by the "
        "picture's size",
    ),
    "refine": dict(
        choices=get_args(RefineMode),
        help="what is computed again at full resolution: the least certain pixels, those above --threshold, or all; "
        "default: sampling",
    ),
    "pixels": dict(
        type=int,
        metavar="N",
        help="pixels to refine in each picture at most, unless nearly no error is expected there; default: a sixteenth",
    ),
    "mirror": dict(
        action="store_true",
        help="let the network see each picture mirrored, too, and average the answers: fewer holes and less flicker, "
        "at twice the time",
    ),
    "region": dict(
        choices=get_args(RegionMode),
        help="auto: let the network look only where frame and plate differ, which is much quicker on the CPU where the "
        "subject is small; alpha changes a little in places",
    ),
    "budget": dict(
        choices=get_args(Budget),
        help="auto computes in bfloat16 on CPUs that are made for it, and looks less closely where memory is short",
    ),
    "fps": dict(
        type=float,
        metavar="N",
        help="hold so many frames a second: look less closely while frames take too long; default: as long as it takes",
    ),
    "threshold": dict(type=float, metavar="T", help="with --refine thresholding: expected error, 0 to 1; default: 0.1"),
}

# What `bgmv2 export` made has settings of its own, which are not for everybody.
OWN_WEIGHTS = dict(metavar="FILE", help="other weights than those that come along, .safetensors or .pth")
# What counts for single pictures, too.
STILL = {name: flag for name, flag in RUN.items() if name not in ("update", "fps")}

ENCODE: dict[str, dict[str, Any]] = {
    "codec": dict(
        choices=get_args(CodecName),
        help="how videos are coded; auto takes the first of the suffix's that keeps the clip's bits: "
        f"{formats.codec_summary()}",
    ),
    "crf": dict(
        type=int,
        metavar="N",
        help="quality of H.264, HEVC, VP9 and AV1 on H.264's scale, 0 to 51: lower is better and larger, 16 looks "
        "lossless, 0 is",
    ),
    "preset": dict(choices=get_args(Preset), help="speed of these: a slower one gives a smaller file"),
    "resume": dict(
        action="store_true",
        help="go on with a run that was interrupted, given the same options; begin if there is none",
    ),
    "segment": dict(
        type=int,
        metavar="N",
        help="make a run resumable after every N frames; each segment begins with a key frame",
    ),
    "hwencode": dict(
        metavar="off|auto|KIND",
        help=f"encode H.264, HEVC and AV1 on a device: {', '.join(hardware.KINDS)}; auto takes the first that is "
        "there, if any is; one that is missing is an error",
    ),
    "alpha_mode": dict(
        choices=get_args(AlphaMode),
        help="colours of --rgba as they are, or multiplied by alpha; auto is premultiplied in EXR, straight elsewhere",
    ),
}


CHECK: dict[str, dict[str, Any]] = {
    "verify": dict(
        action="store_true",
        help="compare each result with the clip when done, as bgmv2 verify does; exit code 1 if anything differs",
    ),
    "report": dict(
        metavar="FILE.json",
        help="say of each frame how it went: alignment, exposure, expected error, what was refined, flicker; with "
        "pictures of the ten worst frames in a folder of the file's name",
    ),
    "repair": dict(
        action="store_true",
        help="matte spans that went badly once more, with more effort, before results are put together",
    ),
}

LIVE: dict[str, dict[str, Any]] = {
    "camera": dict(
        metavar="CAMERA",
        help="number or part of the name, as --list says them, or a device such as /dev/video0; or a clip, which is "
        "played at its own pace once; default: the first camera",
    ),
    "size": dict(type=parse_size, metavar="WxH", help="what is asked of the camera, which takes the nearest it has"),
    "fps": dict(
        type=float,
        metavar="N",
        help="pictures a second; scale and pixels are lowered until the machine holds them; default: the camera's",
    ),
    "virtual": dict(
        metavar="DEVICE|auto|off",
        help="the virtual camera from which meeting programs read, such as /dev/video10, or none",
    ),
    "record": dict(metavar="OUT", help="record what others see, without sound, such as out.mp4"),
    "on_mismatch": dict(
        choices=get_args(MismatchMode),
        help="what others see while the plate does not fit the room: the last safe picture out of focus, or as it is, "
        "or the room",
    ),
    "unsteady": dict(
        action="store_true", help="leave alpha as it comes, also where it flickers before what stands still"
    ),
    "no_preview": dict(action="store_true", help="show no window; Ctrl-C ends it"),
    "lazy": dict(
        action="store_true",
        help="without preview and recording, rest while no program looks at the virtual camera; Linux can tell",
    ),
    "countdown": dict(type=float, metavar="S", help="seconds to step out of the picture before the plate is taken"),
}


def add_inputs(parser: argparse.ArgumentParser, src_help: str, words: str = PLATE_WORDS) -> None:
    """Add what is read: the source, the plate and the backdrop; `words` tells of plates that are made."""
    add_plate(parser, src_help, words)
    add_backdrop(parser)


def add_plate(parser: argparse.ArgumentParser, src_help: str, words: str = PLATE_WORDS) -> None:
    """Add the source and the plate; `words` as for `add_inputs`."""
    parser.add_argument("src", metavar="SRC", help=src_help)
    parser.add_argument(
        "--plate",
        required=True,
        type=parse_plate,
        metavar="PICTURE|WORD",
        help="the clean background: a picture from the same camera, filmed without the subject (NOT what goes behind "
        f"the subject afterwards; that is --backdrop). {words}",
    )


def add_backdrop(parser: argparse.ArgumentParser) -> None:
    """Add what goes behind the subject."""
    parser.add_argument(
        "--backdrop",
        default=DEFAULT_BACKDROP,
        metavar="B",
        help="what goes behind the subject: a colour (#00b140, green), a picture, a video, or the plate out of focus: "
        "blur, blur:20 for 20 pixels or blur:3%% of the picture's height (default: %(default)s)",
    )


def add_outputs(parser: argparse.ArgumentParser, about: str | None = None) -> None:
    """Add a flag for each role, and whether earlier results may go; `about` says what a result may be."""
    group = parser.add_argument_group("results (at least one)", about)
    for role, text in ROLES.items():
        names = ["-o", "--com"] if role == "com" else [f"--{role}"]
        group.add_argument(*names, metavar="OUT", dest=role, help=text)
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace results that are there already, and begin anew where a run was interrupted",
    )


def add_config(parser: argparse.ArgumentParser, config: type, flags: dict[str, dict[str, Any]], title: str) -> None:
    """Add a flag for each field of a configuration that `flags` describes."""
    defaults = {f.name: f.default for f in fields(config) if f.default is not MISSING}
    group = parser.add_argument_group(title)
    for name, settings in flags.items():
        default = defaults[name]
        shown = "x".join(map(str, default)) if isinstance(default, tuple) else default
        text = (
            settings["help"]
            if shown is None or shown is False or shown == ""
            else f"{settings['help']} (default: {shown})"
        )
        group.add_argument(f"--{name.replace('_', '-')}", default=default, **{**settings, "help": text})


def read_config(args: argparse.Namespace, config: type[C]) -> C:
    """Build a configuration from the flags of its fields' names; a value out of range is wrong usage."""
    parser: argparse.ArgumentParser = args.parser
    try:
        return config(**{f.name: getattr(args, f.name) for f in fields(config) if hasattr(args, f.name)})  # type: ignore[arg-type]
    except ValueError as error:
        parser.error(str(error))


def read_outputs(args: argparse.Namespace, *, needed: bool = True) -> dict[str, Any]:
    """The results that were asked for, by role; if some are needed, none is wrong usage."""
    outputs = {role: getattr(args, role) for role in ROLES if getattr(args, role) is not None}
    if needed and not outputs:
        args.parser.error(f"there is nothing to write: name a result by -o or --{', --'.join(list(ROLES)[1:])}")
    return outputs
