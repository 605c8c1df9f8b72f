"""`bgmv2 convert`: one clip."""

from __future__ import annotations

import argparse
import sys
import textwrap
from dataclasses import asdict

from bgmv2.cli import options
from bgmv2.config import CheckConfig, CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.progress import Bar, JsonLines
from bgmv2.video import formats

EXAMPLES = """\
examples:
  bgmv2 convert clip.mp4 --plate plate.png -o out.mp4                          over green
  bgmv2 convert clip.mp4 --plate plate.png --backdrop beach.jpg -o out.mp4     over a picture
  bgmv2 convert clip.mp4 --plate auto -o out.mp4                               if no plate was shot
  bgmv2 convert clip.mp4 --plate plate.png --rgba out.mov                      ProRes 4444 with transparency
  bgmv2 convert clip.mp4 --plate plate.png --pha alpha.mp4 --fgr fgr.mp4       for an editor that wants both apart
  bgmv2 convert clip.mp4 --plate plate.png --rgba a.####.exr --pha a.####.exr  EXR with alpha as a layer of its own
  bgmv2 convert clip.mp4 --plate plate.png --rgba - | ffplay -f rawvideo -pixel_format rgba -video_size 1280x720 -
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "convert",
        help="matte a clip",
        description="Matte a clip: separate whoever is not on the plate from the background, frame by frame.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_inputs(
        parser,
        "the clip with the subject: a file, an address (https://, rtsp://), - for standard input, or numbered "
        "pictures, as their folder or a pattern such as shot.####.png",
    )
    about = f"OUT is {formats.summary()}. With transparency (--rgba): {formats.transparent_summary()}."
    options.add_outputs(parser, textwrap.fill(about, 76))
    options.add_config(parser, ReadConfig, options.READ, "what to read")
    options.add_config(parser, CompositeConfig, options.COMPOSITE, "how to compose")
    options.add_config(parser, RunConfig, options.RUN, "how to compute")
    options.add_config(parser, EncodeConfig, options.ENCODE, "how to encode")
    options.add_config(parser, CheckConfig, options.CHECK, "how to look the results over")
    parser.add_argument(
        "--json", action="store_true", help="tell progress and result to machines, as JSON objects, one in each line"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from bgmv2.matter import Matter
    from bgmv2.pipeline import convert

    config = options.read_config(args, RunConfig)
    composite = options.read_config(args, CompositeConfig)
    read = options.read_config(args, ReadConfig)
    encode = options.read_config(args, EncodeConfig)
    check = options.read_config(args, CheckConfig)
    outputs = options.read_outputs(args)
    # Where frames go to standard output, nothing else may.
    said = sys.stderr if formats.RAW in outputs.values() else sys.stdout
    with JsonLines(said) if args.json else Bar() as watcher:
        matter = Matter.from_config(config)
        if not args.json:
            print(matter, file=said, flush=True)
        report = convert(
            args.src,
            plate=args.plate,
            backdrop=args.backdrop,
            composite=composite,
            read=read,
            run=config,
            encode=encode,
            check=check,
            matter=matter,
            watch=watcher,
            **outputs,
        )
        watcher.done(**asdict(report))
    if not args.json:
        print(report, file=said)
    return 1 if report.differences else 0
