"""`bgmv2 image`: one picture, or a folder of them."""

from __future__ import annotations

import argparse

from bgmv2.cli import options
from bgmv2.config import CompositeConfig, RunConfig

EXAMPLES = """\
examples:
  bgmv2 image photo.jpg --plate plate.jpg -o out.png                  over green
  bgmv2 image photo.jpg --plate plate.jpg --rgba cutout.png           with transparency
  bgmv2 image photos/ --plate plate.jpg --rgba cutouts/               a folder into a folder
  bgmv2 image photos/ --plate auto --rgba cutouts/                    of one camera on a tripod, and no plate was shot
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "image",
        help="matte a picture, or a folder of pictures",
        description="Matte pictures: separate whoever is not on the plate from the background.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_inputs(parser, "a picture with the subject, or a folder of them", options.PLATE_WORDS_OF_PICTURES)
    options.add_outputs(parser, "OUT is a picture, such as out.png, or for a folder of pictures a folder of PNG.")
    still = {name: flag for name, flag in options.COMPOSITE.items() if name != "backdrop_end"}
    options.add_config(parser, CompositeConfig, still, "how to compose")
    options.add_config(parser, RunConfig, options.STILL, "how to compute")
    return parser


def run(args: argparse.Namespace) -> None:
    """Do it."""
    from bgmv2.matter import Matter
    from bgmv2.pipeline import convert_images

    config = options.read_config(args, RunConfig)
    composite = options.read_config(args, CompositeConfig)
    matter = Matter.from_config(config)
    print(matter, flush=True)
    written = convert_images(
        args.src,
        plate=args.plate,
        backdrop=args.backdrop,
        composite=composite,
        run=config,
        overwrite=args.overwrite,
        matter=matter,
        progress=True,
        **options.read_outputs(args),
    )
    for path in written:
        print(path)
