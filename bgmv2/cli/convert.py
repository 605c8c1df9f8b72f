"""`bgmv2 convert`: one clip."""

from __future__ import annotations

import argparse

from bgmv2.cli import options
from bgmv2.config import EncodeConfig, RunConfig
from bgmv2.matter import Matter
from bgmv2.pipeline import convert

EXAMPLES = """\
examples:
  bgmv2 convert clip.mp4 --plate plate.png -o out.mp4                          over green
  bgmv2 convert clip.mp4 --plate plate.png --backdrop beach.jpg -o out.mp4     over a picture
  bgmv2 convert clip.mp4 --plate plate.png --rgba out.mov                      ProRes 4444 with transparency
  bgmv2 convert clip.mp4 --plate plate.png --pha alpha.mp4 --fgr fgr.mp4       for an editor that wants both apart
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
    options.add_inputs(parser, "the clip with the subject")
    options.add_outputs(parser)
    options.add_config(parser, RunConfig, options.RUN, "how to compute")
    options.add_config(parser, EncodeConfig, options.ENCODE, "how to encode")
    return parser


def run(args: argparse.Namespace) -> None:
    """Do it."""
    config = options.read_config(args, RunConfig)
    encode = options.read_config(args, EncodeConfig)
    matter = Matter.from_config(config)
    print(matter, flush=True)
    report = convert(
        args.src,
        plate=args.plate,
        backdrop=args.backdrop,
        run=config,
        encode=encode,
        matter=matter,
        progress=True,
        **options.read_outputs(args),
    )
    print(report)
