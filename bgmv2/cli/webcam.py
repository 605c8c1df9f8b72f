"""`bgmv2 webcam`: a green screen for meeting programs."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from bgmv2.cli import options
from bgmv2.config import CompositeConfig, LiveConfig, RunConfig
from bgmv2.errors import OutputError, WeightsError
from bgmv2.live.keys import HELP

if TYPE_CHECKING:
    from bgmv2.video.virtual import VirtualCamera

_COMPOSITE = ("backdrop_fit", "blend", "keep_shadow", "despill")
_RUN = ("device", "precision", "align", "weights", "scale", "refine", "pixels", "threshold")
EXAMPLES = f"""\
examples:
  bgmv2 webcam --list                                   which cameras are there
  bgmv2 webcam --backdrop beach.jpg                     the first camera, over a picture, into the virtual camera
  bgmv2 webcam --camera logi --backdrop backdrops/      the camera of that name; B takes the next of the folder
  bgmv2 webcam --virtual off                            only to look at it
  bgmv2 webcam --camera clip.mp4 --plate plate.png --virtual off --no-preview --record out.mp4      without a camera

Keys: {HELP}.
"""


def add_parser(verbs: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Describe the verb."""
    parser = verbs.add_parser(
        "webcam",
        help="a camera live, with another background, for meeting programs",
        description="Step out of the picture for two seconds, and from then on have another background in any meeting "
        "program. While the room does not look as it did then, nothing of it is shown.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="say which cameras there are, and end")
    parser.add_argument(
        "--plate",
        metavar="PICTURE",
        help="the clean background, filmed by this camera without anybody in it; otherwise the one that was kept of "
        "this camera is used, and if it does not fit, a new one is taken",
    )
    options.add_backdrop(parser)
    options.add_config(parser, LiveConfig, options.LIVE, "how to go live")
    parser.add_argument("--overwrite", action="store_true", help="replace a recording that is there already")
    composite = {name: options.COMPOSITE[name] for name in _COMPOSITE}
    options.add_config(parser, CompositeConfig, composite, "how to compose")
    options.add_config(
        parser,
        RunConfig,
        {name: options.RUN[name] for name in _RUN} | {"weights": options.OWN_WEIGHTS},
        "how to compute",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.list:
        return _list()
    # What is slow to import is imported where work starts; OpenCV first: after PyAV, its window hangs.
    import cv2  # noqa: F401

    from bgmv2.export import is_exported
    from bgmv2.live.backdrops import Backdrops
    from bgmv2.live.outputs import Outputs
    from bgmv2.live.preview import Preview
    from bgmv2.live.session import Session
    from bgmv2.live.shelf import Shelf
    from bgmv2.live.studio import Studio
    from bgmv2.matter import Matter
    from bgmv2.video.camera import Feed, Playback, open_again, open_camera

    live = options.read_config(args, LiveConfig)
    config = options.read_config(args, RunConfig)
    composite = options.read_config(args, CompositeConfig)
    if live.no_preview and live.virtual == "off" and live.record is None:
        raise OutputError("there is nothing to show it on: allow the preview or the virtual camera, or give --record")
    if is_exported(config.weights):
        raise WeightsError(
            f"{config.weights} has one scale, and webcam changes it to hold the rate: give .safetensors or .pth"
        )
    backdrops = Backdrops(args.backdrop, composite)
    preview = None if live.no_preview else Preview()
    device = open_camera(live.camera, size=live.size, rate=live.fps)
    feed = Feed(device, lambda: open_again(device, live.camera, size=live.size, rate=live.fps))
    with ExitStack() as until_run:
        until_run.callback(feed.close)
        width, height = device.size
        print(f"{device.name}: {width}x{height} at {device.rate:.4g} pictures a second", flush=True)
        outputs = Outputs(
            device.size,
            live.fps or device.rate,
            virtual=_virtual(live, width, height, device.rate),
            record=live.record,
            overwrite=args.overwrite,
        )
        with closing(outputs):
            matter = Matter.from_config(config)
            print(matter, flush=True)
            studio = Studio(
                matter,
                feed,
                live,
                align=config.align,
                backdrops=backdrops,
                composite=composite,
                plate=args.plate,
                # What a clip shows is no room to come back to.
                shelf=None if isinstance(device, Playback) else Shelf(),
                asks=preview is not None,
            )
            say = _say if preview is None else _say_nothing
            # From here on only the thread that reads the camera may close it.
            until_run.pop_all()
            try:
                report = Session(feed, studio, outputs, preview=preview, lazy=live.lazy, say=say).run()
            finally:
                if preview is not None:
                    preview.close()
    print(report)
    return 1 if report.trouble else 0


def _list() -> int:
    from bgmv2.video.camera import find_cameras

    cameras = find_cameras()
    for camera in cameras:
        print(camera)
    if not cameras:
        print("there is no camera: plug one in, or give a clip as --camera", file=sys.stderr)
    return 0 if cameras else 1


def _virtual(live: LiveConfig, width: int, height: int, rate: float) -> VirtualCamera | None:
    if live.virtual == "off":
        return None
    from bgmv2.video.virtual import VirtualCamera

    device = None if live.virtual == "auto" else live.virtual
    virtual = VirtualCamera(width, height, live.fps or rate, device=device)
    print(f"virtual camera: {virtual.name}", flush=True)
    return virtual


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _say_nothing(_: Any) -> None:
    """The preview says it."""
