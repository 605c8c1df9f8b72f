"""`bgmv2 export`: the network for other programs."""

from __future__ import annotations

import argparse

from bgmv2.cli import options
from bgmv2.config import EXPORTS, REFINE_FLOOR, RunConfig

_HD = 1080, 1920
# What is settled in the file.
_RUN = ("weights", "scale", "refine", "pixels", "threshold")
EXAMPLES = """\
examples:
  bgmv2 export onnx -o hd.onnx                            for HD: seen at a third of its size
  bgmv2 export openvino -o 4k.xml --scale 1/6
  bgmv2 export torchscript -o matting.torchscript --weights mine.safetensors
  bgmv2 convert clip.mp4 --plate plate.png --weights hd.onnx -o out.mp4

A file takes src and bgr, (1, 3, height, width) float32 in 0..1 of any size, and answers pha, fgr, pha_sm, fgr_sm,
err_sm and ref_sm. Settings of a TorchScript file can be changed after loading: backbone_scale, refiner.sample_pixels.
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "export",
        help="write the network as TorchScript, ONNX or OpenVINO",
        description="Write the network for other programs and engines. What is written is compared with the network at "
        "several sizes first, and not kept if it differs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ends = ", ".join(f"{kind} ({suffix})" for kind, suffix in EXPORTS.items())
    parser.add_argument("kind", choices=EXPORTS, metavar="KIND", help=ends)
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="where to write it")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    flags = {name: options.RUN[name] for name in _RUN} | {"weights": options.OWN_WEIGHTS}
    flags["scale"] = flags["scale"] | {
        "help": "size at which the coarse network sees pictures, up to 1/2; default: 1/3, which is best for HD"
    }
    options.add_config(parser, RunConfig, flags, "what is settled in it")
    return parser


def run(args: argparse.Namespace) -> None:
    """Do it."""
    config = options.read_config(args, RunConfig)
    from bgmv2.budget import scale_for, scale_text
    from bgmv2.export import BOUND, export
    from bgmv2.nn.checkpoint import load_model

    model = load_model(
        config.weights,
        backbone_scale=config.scale or scale_for(*_HD),
        refine_mode=config.refine,
        refine_sample_pixels=config.pixels,
        refine_threshold=config.threshold,
        refine_floor=REFINE_FLOOR,
    )
    differences = export(model, args.kind, args.out, pixels=config.pixels, overwrite=args.overwrite)
    for size, difference in differences.items():
        print(f"{size}: differs by {difference:.2g} at most")
    print(f"{args.out} is the network within {BOUND:g}, at scale {scale_text(model.backbone_scale)}")
