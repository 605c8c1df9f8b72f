"""Background matting of video: alpha and foreground of whatever is not on the plate.

Example:
    >>> import bgmv2
    >>> bgmv2.convert("clip.mp4", plate="plate.png", com="out.mp4", backdrop="beach.jpg")
    >>> pha, fgr = bgmv2.Matter().matte(frame, plate=plate)[:2]
"""

__version__ = "0.1.0"

import typing

from bgmv2 import lazy
from bgmv2.config import CheckConfig, CompositeConfig, EncodeConfig, ModelConfig, ReadConfig, RunConfig
from bgmv2.errors import (
    BackdropError,
    Bgmv2Error,
    Bgmv2Warning,
    DamagedRunError,
    DeviceError,
    OutputError,
    OutputExistsError,
    PlateError,
    VideoError,
    WeightsError,
)

if typing.TYPE_CHECKING:
    from bgmv2.matter import Matter
    from bgmv2.pipeline import Report, convert, convert_images
    from bgmv2.types import ColorInfo, Frame, FrameSink, FrameSource, Matte, Plate, VideoInfo

__all__ = [
    "BackdropError",
    "Bgmv2Error",
    "Bgmv2Warning",
    "CheckConfig",
    "ColorInfo",
    "CompositeConfig",
    "DamagedRunError",
    "DeviceError",
    "EncodeConfig",
    "Frame",
    "FrameSink",
    "FrameSource",
    "Matte",
    "Matter",
    "ModelConfig",
    "OutputError",
    "OutputExistsError",
    "Plate",
    "PlateError",
    "ReadConfig",
    "Report",
    "RunConfig",
    "VideoError",
    "VideoInfo",
    "WeightsError",
    "__version__",
    "convert",
    "convert_images",
]


__getattr__ = lazy.exporter(
    __name__,
    {
        "bgmv2.matter": ("Matter",),
        "bgmv2.pipeline": ("Report", "convert", "convert_images"),
        "bgmv2.types": ("ColorInfo", "Frame", "FrameSink", "FrameSource", "Matte", "Plate", "VideoInfo"),
    },
)
