"""Background matting of video: alpha and foreground of whatever is not on the plate.

Example:
    >>> import bgmv2
    >>> bgmv2.convert("clip.mp4", plate="plate.png", com="out.mp4", backdrop="beach.jpg")
    >>> pha, fgr = bgmv2.Matter().matte(frame, plate=plate)[:2]
"""

__version__ = "0.1.0"

import typing

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
from bgmv2.matter import Matter
from bgmv2.types import ColorInfo, Frame, FrameSink, FrameSource, Matte, Plate, VideoInfo

if typing.TYPE_CHECKING:
    from bgmv2.pipeline import Report, convert, convert_images

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


def __getattr__(name: str) -> typing.Any:
    """Import the pipeline when it is asked for: PyAV and OpenCV are of no use where a network is only trained."""
    if name in ("Report", "convert", "convert_images"):
        from bgmv2 import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
