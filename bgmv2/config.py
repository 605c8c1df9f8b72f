"""All choices a user can make, as frozen dataclasses; the command line reads its defaults from here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

BackboneName = Literal["mobilenetv2", "resnet50", "resnet101"]
RefineMode = Literal["sampling", "thresholding", "full"]
AlignMode = Literal["off", "first", "every"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]


@dataclass(frozen=True)
class ModelConfig:
    """The network's shape and how it refines.

    Args:
        backbone: name of the encoder, a row of `bgmv2.nn.backbones.BACKBONES`.
        backbone_scale: the base network sees the frame at this scale, above 0 and up to 1/2.
        refine_mode: `sampling` refines a fixed number of pixels, `thresholding` all whose predicted error is above
            `refine_threshold`, `full` every one.
        refine_sample_pixels: how many pixels `sampling` refines in each frame, in 4x4 patches.
        refine_threshold: predicted error in 0..1 above which `thresholding` refines.
        refine_kernel_size: 3, or 1 for a refiner that looks at no neighbours.

    Raises:
        ValueError: a value is out of its range.

    Source: Lin et al., *Real-Time High-Resolution Background Matting*, CVPR 2021; scale 1/4 for HD, 1/8 for 4K. The
    published HD setting refines 5,000 patches of 16 pixels.
    """

    backbone: str = "mobilenetv2"
    backbone_scale: float = 0.25
    refine_mode: RefineMode = "sampling"
    refine_sample_pixels: int = 80_000
    refine_threshold: float = 0.1
    refine_kernel_size: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.backbone_scale <= 0.5:
            raise ValueError(f"the base network's scale lies above 0 and up to 0.5, got {self.backbone_scale}")
        if self.refine_mode not in get_args(RefineMode):
            raise ValueError(f"there are the modes sampling, thresholding and full, got {self.refine_mode}")
        if self.refine_sample_pixels < 0:
            raise ValueError(f"a number of pixels is not negative, got {self.refine_sample_pixels}")
        if not 0 <= self.refine_threshold <= 1:
            raise ValueError(f"a threshold lies in 0..1, got {self.refine_threshold}")
        if self.refine_kernel_size not in (1, 3):
            raise ValueError(f"the refiner's kernel size is 1 or 3, got {self.refine_kernel_size}")


@dataclass(frozen=True)
class EncodeConfig:
    """How results are written.

    Args:
        crf: constant rate factor of H.264: 0 is lossless, 18 looks it, 51 is worst.
        preset: x264's trade of time for file size, `ultrafast` to `veryslow`.
        overwrite: replace results that are there already.
    """

    crf: int = 16
    preset: Preset = "medium"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ValueError(f"a constant rate factor lies in 0..51, got {self.crf}")
        if self.preset not in get_args(Preset):
            raise ValueError(f"there are the presets {', '.join(get_args(Preset))}, got {self.preset}")


@dataclass(frozen=True)
class RunConfig:
    """How a clip is matted.

    Args:
        device: where the network runs; `auto` takes CUDA, then MPS, then the CPU.
        precision: number format of the network; `auto` is float16 on CUDA and float32 elsewhere.
        align: match the plate to the camera `off`, at the `first` frame only, or at `every` frame.
        weights: path of a weights file; None takes those that come with bgmv2.
        scale: the base network's scale; None chooses by the frame's size.
        refine: the refiner's mode; None takes the weights' own.
        pixels: pixels to refine in `sampling`; None chooses by the frame's size.
        threshold: predicted error above which `thresholding` refines; None takes the weights' own.

    Raises:
        ValueError: a value is out of its range. Whether the device is there is only seen where it is used.
    """

    device: str = "auto"
    precision: Precision = "auto"
    align: AlignMode = "every"
    weights: str | None = None
    scale: float | None = None
    refine: RefineMode | None = None
    pixels: int | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(f"there are the precisions {', '.join(get_args(Precision))}, got {self.precision}")
        if self.align not in get_args(AlignMode):
            raise ValueError(f"there are the alignments {', '.join(get_args(AlignMode))}, got {self.align}")
        network: dict[str, Any] = {
            "backbone_scale": self.scale,
            "refine_mode": self.refine,
            "refine_sample_pixels": self.pixels,
            "refine_threshold": self.threshold,
        }
        # The network knows its own limits; asked here, they are told before anything is loaded.
        replace(ModelConfig(), **{name: value for name, value in network.items() if value is not None})
