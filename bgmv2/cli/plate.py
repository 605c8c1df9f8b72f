"""`bgmv2 plate`: a plate that nobody shot, made of a clip."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bgmv2.cli import options
from bgmv2.config import ReadConfig, RunConfig
from bgmv2.errors import OutputError
from bgmv2.plate.words import WORDS, PlateSource
from bgmv2.progress import Bar, JsonLines

if TYPE_CHECKING:
    from bgmv2.plate.sources import MadePlate

# What the network's settings for fine edges would not change here.
_RUN = ("device", "precision", "weights")
_READ = ("start", "end", "frames", "rate", "deinterlace")
EXAMPLES = """\
examples:
  bgmv2 plate clip.mp4 -o plate.png                       the subject moves, so the background shows by and by
  bgmv2 plate clip.mp4 -o plate.png --from first:2s       the subject comes in later
  bgmv2 plate clip.mp4 -o plate.png --from at:12.5        one frame
  bgmv2 plate sweep.mp4 -o plate.png --mosaic             the camera sweeps over the empty room

Where the background was never seen, the plate is transparent, with colours painted in from the rim beneath. Look at it
before you use it.
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "plate",
        help="make a plate of a clip, if none was shot",
        description="Make a plate, the clean background, of a clip in which a subject moves, or of a sweep over the "
        "empty room.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", metavar="CLIP", help="a file, or numbered pictures as their folder or a pattern")
    parser.add_argument("-o", "--out", required=True, metavar="PLATE", help="the plate, a .png")
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--from",
        dest="source",
        type=_parse_word,
        default=PlateSource("auto"),
        metavar="WORD",
        help=f"how: {WORDS}. auto asks the network who is subject, and leaves that out; median takes each pixel's "
        "median over time; first and last take that of so many seconds at the beginning or end of the whole clip, "
        "which must be that long; at takes the frame at that second (default: %(default)s)",
    )
    way.add_argument(
        "--mosaic",
        action="store_true",
        help="put together the frames of a sweep over the empty scene; the plate, a .png, is larger than the clip, and "
        "clips that show any part of it find their place in it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a plate that is there already")
    parser.add_argument("--json", action="store_true", help="tell progress and result to machines, in lines of JSON")
    options.add_config(parser, ReadConfig, {name: options.READ[name] for name in _READ}, "what to read")
    options.add_config(parser, RunConfig, {name: options.RUN[name] for name in _RUN}, "how to compute, for auto")
    return parser


def run(args: argparse.Namespace) -> None:
    """Do it."""
    from bgmv2.matter import Matter
    from bgmv2.names import keep_inputs
    from bgmv2.plate.mosaic import make_mosaic
    from bgmv2.plate.sources import make_plate, save_plate
    from bgmv2.video.images import check_image

    read = options.read_config(args, ReadConfig)
    config = options.read_config(args, RunConfig)
    out, source = Path(args.out), args.source
    check_image(out, overwrite=args.overwrite)
    if out.suffix.lower() != ".png":
        raise OutputError(f"a plate says in .png where it never saw the scene: call it {out.stem}.png")
    keep_inputs([out], args.src)
    with JsonLines() if args.json else Bar() as watcher:
        if args.mosaic:
            made = make_mosaic(args.src, read=read, watch=watcher)
        else:
            network = Matter.from_config(config).matte if source.way == "auto" else None
            made = make_plate(args.src, source, read=read, network=network, watch=watcher)
        save_plate(out, made, overwrite=args.overwrite)
        watcher.done(**_facts(made), plate=str(out))
    if not args.json:
        print(f"{made} -> {out}")


def _parse_word(text: str) -> PlateSource:
    try:
        source = PlateSource.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if source.path is not None:
        raise argparse.ArgumentTypeError(f"a plate is made by {WORDS}, got {text!r}")
    return source


def _facts(made: MadePlate) -> dict[str, Any]:
    height, width = made.pixels.shape[:2]
    return {
        "width": width,
        "height": height,
        "bits": 8 * made.pixels.itemsize,
        "frames": made.frames,
        "total": made.frames + made.left_out,
        "moved": made.moved,
        "holes": round(made.holes, 5),
        "doubtful": round(made.doubtful, 5),
        "still": made.still,
    }
