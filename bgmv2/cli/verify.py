"""`bgmv2 verify`: does a result still fit its clip?"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from bgmv2.cli import options
from bgmv2.config import ReadConfig

EXAMPLES = """\
examples:
  bgmv2 verify clip.mp4 out.mp4
  bgmv2 verify clip.mp4 alpha.mp4 --no-sound
  bgmv2 verify clip.mp4 part.mov --start 1:30 --end 2:00
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "verify",
        help="compare a result with its clip: frames, instants, sound, duration, size, colour tags",
        description="Say whether a result still fits the clip it was made of: number and instants of its frames, sound "
        "bit for bit, duration, size and shape of pixels, colour tags. Exit code 0 if so, 1 if anything differs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", metavar="IN", help="the clip: a file, or numbered pictures")
    parser.add_argument("result", metavar="OUT", help="what was made of it")
    parser.add_argument("--no-sound", action="store_true", help="the result is data, such as alpha, and goes without")
    parser.add_argument("--json", action="store_true", help="say it for machines")
    part = {name: options.READ[name] for name in ("start", "end", "frames", "rate", "deinterlace")}
    options.add_config(parser, ReadConfig, part, "what the result holds, as it was asked for")
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from bgmv2.verify import verify

    read = options.read_config(args, ReadConfig)
    found = verify(args.src, args.result, read=read, sound=not args.no_sound, progress=True)
    if args.json:
        print(json.dumps({"fits": not found.differences, **asdict(found)}, indent=2))
    else:
        for difference in found.differences:
            print(difference)
        if not found.differences:
            sound = f", {found.sounds} track{'s' * (found.sounds > 1)} of sound bit for bit" if found.sounds else ""
            print(f"{args.result} fits {args.src}: {found.frames} frames, each at its instant{sound}")
    return 1 if found.differences else 0
