"""Flags and configurations: every flag stands here once, and its default comes from the dataclass it fills."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args

from bgmv2.config import AlignMode, DeviceName, Precision, Preset, RefineMode
from bgmv2.pipeline import DEFAULT_BACKDROP

C = TypeVar("C")

ROLES = {
    "com": "the subject over the backdrop",
    "pha": "alpha alone, grey: white is subject",
    "fgr": "the subject's own colours, free of the old background's light; goes with --pha",
    "rgba": "subject with transparency: .mov (ProRes 4444), .webm (VP9), or a folder for numbered PNG",
    "err": "where the first, coarse network expects to be wrong",
    "ref": "the 4x4 patches that were refined at full resolution",
}

RUN: dict[str, dict[str, Any]] = {
    "device": dict(metavar="|".join(get_args(DeviceName)), help="where to compute; one that is missing is an error"),
    "precision": dict(choices=get_args(Precision), help="number format; auto is float16 on CUDA, float32 elsewhere"),
    "align": dict(
        choices=get_args(AlignMode),
        help="match the plate to the camera's position and exposure: at every frame, at the first only, or never",
    ),
    "weights": dict(metavar="FILE", help="other weights than those that come along, .safetensors or .pth"),
    "scale": dict(
        type=float,
        metavar="S",
        help="size at which the coarse network sees the picture, up to 0.5; default: by the picture's size",
    ),
    "refine": dict(
        choices=get_args(RefineMode),
        help="what is computed again at full resolution: a fixed number of pixels, those above --threshold, or all; "
        "default: sampling",
    ),
    "pixels": dict(type=int, metavar="N", help="pixels to refine in each picture; default: a sixteenth of them"),
    "threshold": dict(type=float, metavar="T", help="with --refine thresholding: expected error, 0 to 1; default: 0.1"),
}

ENCODE: dict[str, dict[str, Any]] = {
    "crf": dict(type=int, metavar="N", help="quality of H.264, 0 to 51: lower is better and larger, 16 looks lossless"),
    "preset": dict(choices=get_args(Preset), help="speed of H.264: a slower one gives a smaller file"),
}


def add_inputs(parser: argparse.ArgumentParser, src_help: str) -> None:
    """Add what is read: the source, the plate and the backdrop."""
    parser.add_argument("src", metavar="SRC", help=src_help)
    parser.add_argument(
        "--plate",
        required=True,
        metavar="PICTURE",
        help="the clean background: a picture from the same camera, filmed without the subject (NOT what goes behind "
        "the subject afterwards; that is --backdrop)",
    )
    parser.add_argument(
        "--backdrop",
        default=DEFAULT_BACKDROP,
        metavar="B",
        help="what goes behind the subject: a colour (#00b140, green), a picture, a video (looped), or blur "
        "(default: %(default)s)",
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add a flag for each role, and whether earlier results may go."""
    group = parser.add_argument_group("results (at least one)")
    for role, text in ROLES.items():
        names = ["-o", "--com"] if role == "com" else [f"--{role}"]
        group.add_argument(*names, metavar="OUT", dest=role, help=text)
    group.add_argument("--overwrite", action="store_true", help="replace results that are there already")


def add_config(parser: argparse.ArgumentParser, config: type, flags: dict[str, dict[str, Any]], title: str) -> None:
    """Add a flag for each field of a configuration that `flags` describes."""
    defaults = {f.name: f.default for f in fields(config) if f.default is not MISSING}
    group = parser.add_argument_group(title)
    for name, settings in flags.items():
        default = defaults[name]
        text = settings["help"] if default is None else f"{settings['help']} (default: {default})"
        group.add_argument(f"--{name}", default=default, **{**settings, "help": text})


def read_config(args: argparse.Namespace, config: type[C]) -> C:
    """Build a configuration from the flags of its fields' names; a value out of range is wrong usage."""
    parser: argparse.ArgumentParser = args.parser
    try:
        return config(**{f.name: getattr(args, f.name) for f in fields(config) if hasattr(args, f.name)})  # type: ignore[arg-type]
    except ValueError as error:
        parser.error(str(error))


def read_outputs(args: argparse.Namespace) -> dict[str, Any]:
    """The results that were asked for, by role."""
    return {role: getattr(args, role) for role in ROLES if getattr(args, role) is not None}
