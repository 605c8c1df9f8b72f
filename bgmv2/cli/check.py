"""`bgmv2 check`: will this plate do for this clip?"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bgmv2.cli import options
from bgmv2.config import DEFAULT_SAMPLES, ReadConfig, RunConfig
from bgmv2.errors import VideoError
from bgmv2.plate.words import PlateSource

if TYPE_CHECKING:
    from bgmv2.types import Plate, VideoInfo

# The exit code that says: film it again. 1 is for errors, 2 for wrong usage.
RESHOOT = 3
# How alpha is refined changes nothing here.
_RUN = ("align", "device", "precision", "weights")
EXAMPLES = """\
examples:
  bgmv2 check clip.mp4 --plate plate.png
  bgmv2 check clip.mp4 --plate plate.png --pictures evidence      with pictures of what was found
  bgmv2 check clip.mp4 --plate plate.png --quick && bgmv2 convert clip.mp4 --plate plate.png -o out.mp4

Exit code 0 if the pair is good or usable, 3 if it should be filmed again, 1 if it could not be checked.
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "check",
        help="say whether a plate will do for a clip, and what to do if not",
        description="The plate doctor: looks at frames that are spread over a clip and says whether the plate shows "
        "their scene, what moved, how light and focus differ, and what to do about it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_plate(parser, "the clip with the subject, as bgmv2 convert takes it")
    group = parser.add_argument_group("how to look")
    group.add_argument(
        "--samples",
        type=int,
        default=DEFAULT_SAMPLES,
        metavar="N",
        help="look at so many frames (default: %(default)s)",
    )
    group.add_argument("--quick", action="store_true", help="do not ask the network, which takes the longest")
    group.add_argument(
        "--pictures", metavar="FOLDER", type=Path, help="write pictures of the evidence there, a new or empty folder"
    )
    group.add_argument("--json", action="store_true", help="say it for machines, with all numbers")
    options.add_config(parser, ReadConfig, options.READ, "what to read")
    options.add_config(parser, RunConfig, {name: options.RUN[name] for name in _RUN}, "how the clip will be matted")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from bgmv2.doctor import diagnose
    from bgmv2.doctor.evidence import check_pictures, write_pictures
    from bgmv2.matter import Matter
    from bgmv2.plate.sources import load_plate, make_plate
    from bgmv2.video.images import read_image

    read = options.read_config(args, ReadConfig)
    config = options.read_config(args, RunConfig)
    if args.samples < 1:
        args.parser.error(f"at least 1 frame is looked at, got {args.samples}")
    source = PlateSource.parse(args.plate)
    if args.pictures is not None:
        check_pictures(args.pictures)
    matter = None if args.quick else Matter.from_config(config)
    plate_size = None
    if source.path is not None:
        # What is scaled to the clip's size no longer tells how little there was. What is no picture is told below.
        with suppress(VideoError):
            height, width = read_image(source.path).shape[:2]
            plate_size = width, height

    def plate_for(info: VideoInfo) -> Plate:
        if source.path is not None:
            return load_plate(source.path, info.width, info.height)
        network = (matter or Matter.from_config(config)).matte if source.way == "auto" else None
        return make_plate(args.src, source, read=read, network=network).plate

    found = diagnose(
        args.src,
        plate_for,
        read=read,
        align=config.align,
        samples=args.samples,
        matter=matter,
        plate_size=plate_size,
        progress=sys.stderr.isatty(),
    )
    if args.pictures is not None:
        write_pictures(args.pictures, found)
    print(json.dumps(found.diagnosis.to_json(), indent=2) if args.json else found.diagnosis)
    return RESHOOT if found.diagnosis.verdict == "reshoot" else 0
