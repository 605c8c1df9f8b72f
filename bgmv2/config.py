"""All choices a user can make, as frozen dataclasses; the command line reads its defaults from here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, get_args

BackboneName = Literal["mobilenetv2", "resnet50", "resnet101"]
RefineMode = Literal["sampling", "thresholding", "full"]
AlignMode = Literal["off", "first", "every"]
UpdateMode = Literal["on", "off"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
RegionMode = Literal["off", "auto"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]
Engine = Literal["auto", "torch", "onnxruntime", "openvino"]
Budget = Literal["full", "auto"]
DeinterlaceMode = Literal["auto", "off"]
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]
CodecName = Literal["auto", "h264", "hevc", "av1", "vp9", "prores", "qtrle", "ffv1"]
AlphaMode = Literal["auto", "straight", "premultiplied"]
FitMode = Literal["fill", "fit", "stretch"]
EndMode = Literal["loop", "hold"]
BlendMode = Literal["video", "linear"]
MismatchMode = Literal["blur", "freeze", "show"]

DEFAULT_BACKDROP = "green"
EXPORTS = {"torchscript": ".torchscript", "onnx": ".onnx", "openvino": ".xml"}  # what can be exported, and its suffix
DEFAULT_SAMPLES = 9  # frames at which the plate doctor looks
REFINED_SHARE = 1 / 16  # of all pixels, where no number is chosen; the paper's settings for HD and 4K refine 1/26
# Of `ModelConfig.refine_floor`, what runs take: where less is expected, refining adds as much error as it takes away.
REFINE_FLOOR = 0.02


@dataclass(frozen=True)
class ModelConfig:
    """The network's shape and how it refines.

    Args:
        backbone: name of the encoder, a row of `bgmv2.nn.backbones.BACKBONES`.
        backbone_scale: the base network sees the frame at this scale, above 0 and up to 1/2.
        refine_mode: `sampling` refines the least certain pixels, `thresholding` all whose predicted error is above
            `refine_threshold`, `full` every one.
        refine_sample_pixels: how many pixels `sampling` refines in each frame at most, in 4x4 patches.
        refine_threshold: predicted error in 0..1 above which `thresholding` refines.
        refine_kernel_size: 3, or 1 for a refiner that looks at no neighbours.
        refine_floor: predicted error in 0..1 up to which `sampling` leaves a patch as it is; 0 as in the
            paper, while runs take `REFINE_FLOOR`, whatever the weights' own.

    Raises:
        ValueError: a value is out of its range.

    Source: Lin et al., *Real-Time High-Resolution Background Matting*, CVPR 2021; scale 1/4 for HD, 1/8 for 4K. The
    published HD setting refines 5,000 patches of 16 pixels.
    """

    backbone: BackboneName = "mobilenetv2"
    backbone_scale: float = 0.25
    refine_mode: RefineMode = "sampling"
    refine_sample_pixels: int = 80_000
    refine_threshold: float = 0.1
    refine_kernel_size: int = 3
    refine_floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.backbone_scale <= 0.5:
            raise ValueError(f"the base network's scale lies above 0 and up to 0.5, got {self.backbone_scale}")
        if self.refine_mode not in get_args(RefineMode):
            raise ValueError(f"there are the modes sampling, thresholding and full, got {self.refine_mode}")
        if self.refine_sample_pixels < 0:
            raise ValueError(f"a number of pixels is not negative, got {self.refine_sample_pixels}")
        for name, limit in (("threshold", self.refine_threshold), ("floor", self.refine_floor)):
            if not 0 <= limit <= 1:
                raise ValueError(f"a {name} lies in 0..1, got {limit}")
        if self.refine_kernel_size not in (1, 3):
            raise ValueError(f"the refiner's kernel size is 1 or 3, got {self.refine_kernel_size}")


@dataclass(frozen=True)
class ReadConfig:
    """What is read of a clip, and how.

    Args:
        start: seconds from the clip's beginning, as players count, at which the first frame is shown that is taken;
            None takes them from the beginning on.
        end: seconds from the clip's beginning; the first frame shown then or later is not taken, nor are those after
            it.
        frames: how many frames are taken at most.
        rate: frames per second of numbered pictures and of raw frames, which do not say; None takes `DEFAULT_RATE`.
        raw: what raw frames on standard input are, as FFmpeg's name of a pixel format, a colon and the size:
            ``rgb24:1280x720``. None if a clip in a container comes in there.
        deinterlace: frames that their clip calls interlaced are made whole; `off` takes its word for wrong.
        hwaccel: decode on a device: FFmpeg's name of its kind, such as `cuda`, or `auto` for the first that is there,
            if any is; `off` decodes on the CPU.

    Raises:
        ValueError: a value is out of its range.
    """

    start: float | None = None
    end: float | None = None
    frames: int | None = None
    rate: Fraction | None = None
    raw: str | None = None
    deinterlace: DeinterlaceMode = "auto"
    hwaccel: str = "off"

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 <= seconds < math.inf:
                raise ValueError(f"{name} lies at 0 seconds or later, got {seconds}")
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(f"the end lies after the start, got {self.start or 0} to {self.end} seconds")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"at least 1 frame is taken, got {self.frames}")
        if self.rate is not None and not 0 < self.rate <= 1000:
            raise ValueError(f"a frame rate lies above 0 and up to 1000, got {self.rate}")
        if self.raw is not None and not re.fullmatch(r"\w+:[1-9]\d{0,4}x[1-9]\d{0,4}", self.raw, re.ASCII):
            raise ValueError(f"raw frames are said as format and size, such as rgb24:1280x720, got {self.raw}")
        if self.deinterlace not in get_args(DeinterlaceMode):
            raise ValueError(f"there are {', '.join(get_args(DeinterlaceMode))} to deinterlace, got {self.deinterlace}")


@dataclass(frozen=True)
class CompositeConfig:
    """How the subject is laid over the backdrop, and which mattes of a person's own overrule alpha.

    Args:
        backdrop_fit: a backdrop of another shape than the clip's is cut to `fill` the frame, shown whole with bars
            beside it to `fit` in, or made to `stretch`.
        backdrop_end: a backdrop video that is shorter than the clip begins again, `loop`, or keeps its last frame,
            `hold`.
        backdrop_offset: seconds into the backdrop video at which it begins; a negative number makes it wait for as
            long, with its first frame in view.
        blend: soft edges mix the code values of the `video`, as editors do, or the `linear` light behind these.
        keep_shadow: how much of the subject's own shadow falls onto the backdrop: 0 nothing, 1 as dark as it was
            filmed.
        despill: how much of the plate's colours is taken out of soft edges: 0 nothing, 1 all that is found.
        garbage: path of a matte, picture or video; what is white there is never subject.
        holdout: path of a matte, picture or video; what is white there is always subject, whatever `garbage` says.

    Raises:
        ValueError: a value is out of its range.
    """

    backdrop_fit: FitMode = "fill"
    backdrop_end: EndMode = "loop"
    backdrop_offset: float = 0.0
    blend: BlendMode = "video"
    keep_shadow: float = 0.0
    despill: float = 1.0
    garbage: str | None = None
    holdout: str | None = None

    def __post_init__(self) -> None:
        for name, choices in (("backdrop_fit", FitMode), ("backdrop_end", EndMode), ("blend", BlendMode)):
            if getattr(self, name) not in get_args(choices):
                said = name.replace("_", " ")
                raise ValueError(f"for {said} there are {', '.join(get_args(choices))}, got {getattr(self, name)}")
        if not math.isfinite(self.backdrop_offset):
            raise ValueError(f"a backdrop's offset is a number of seconds, got {self.backdrop_offset}")
        for name in ("keep_shadow", "despill"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name.replace('_', ' ')} lies in 0..1, got {getattr(self, name)}")


@dataclass(frozen=True)
class EncodeConfig:
    """How results are written.

    Args:
        codec: of videos, a row of `bgmv2.video.formats.CODECS`; `auto` takes the first of the container's that keeps
            the clip's bits.
        crf: constant rate factor on H.264's scale: 0 is lossless, 18 looks it, 51 is worst. HEVC takes the same number,
            VP9 and AV1 as much of theirs; ProRes, QuickTime Animation and FFV1 have none.
        preset: x264's trade of time for file size, `ultrafast` to `veryslow`; HEVC, VP9 and AV1 follow it.
        hwencode: encode on a device: a row of `bgmv2.video.hardware.KINDS`, or `auto` for the first that is there, if
            any is; `off` encodes on the CPU. Transparency is always encoded there.
        alpha_mode: whether colours with transparency are `straight` or `premultiplied` by it; `auto` is premultiplied
            in EXR, where everybody expects that, and straight elsewhere.
        overwrite: replace results that are there already.
        resume: go on with an unfinished run of the same settings; begin if there is none.
        segment: frames after which a run can be gone on with.

    Raises:
        ValueError: a value is out of its range.
    """

    codec: CodecName = "auto"
    crf: int = 16
    preset: Preset = "medium"
    hwencode: str = "off"
    alpha_mode: AlphaMode = "auto"
    overwrite: bool = False
    resume: bool = False
    segment: int = 240

    def __post_init__(self) -> None:
        if self.codec not in get_args(CodecName):
            raise ValueError(f"there are the codecs {', '.join(get_args(CodecName))}, got {self.codec}")
        if self.alpha_mode not in get_args(AlphaMode):
            raise ValueError(f"there are the alpha modes {', '.join(get_args(AlphaMode))}, got {self.alpha_mode}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"a constant rate factor lies in 0..51, got {self.crf}")
        if self.preset not in get_args(Preset):
            raise ValueError(f"there are the presets {', '.join(get_args(Preset))}, got {self.preset}")
        if self.segment < 1:
            raise ValueError(f"a segment holds at least 1 frame, got {self.segment}")


@dataclass(frozen=True)
class CheckConfig:
    """How a run's results are looked over.

    Args:
        report: path of a JSON file that says how each frame went; a folder of its name, with pictures, goes beside it.
            None writes none.
        repair: matte spans that went badly again, with more effort.
        verify: compare each result with the clip: frames, instants, sound, duration, size, colour tags.
    """

    report: str | None = None
    repair: bool = False
    verify: bool = False


@dataclass(frozen=True)
class RunConfig:
    """How a clip is matted.

    Args:
        device: where the network runs; `auto` takes CUDA, then MPS, then the CPU.
        precision: number format of the network; `auto` is float16 on CUDA and float32 elsewhere.
        align: match the plate to the camera `off`, at the `first` frame only, or at `every` frame.
        update: the plate of a clip that is aligned to `every` frame follows light that slowly changes from place to
            place, and learns what lies beyond its edges and in its holes.
        engine: what computes the network; `auto` is PyTorch for weights, and for a file of `bgmv2 export` its own
            engine. The others than PyTorch compute on the CPU.
        weights: path of a weights file, or of a file of `bgmv2 export`; None takes the weights that come with bgmv2.
        scale: the base network's scale; None chooses by the frame's size.
        refine: the refiner's mode; None takes the weights' own.
        pixels: pixels to refine in `sampling` at most, of those with a predicted error above `REFINE_FLOOR`; None
            chooses by the frame's size.
        threshold: predicted error above which `thresholding` refines; None takes the weights' own.
        mirror: the network sees each frame mirrored as well, and the two answers are averaged; takes twice the time.
        region: `auto` lets the network look only where frame and plate differ, on the CPU. A small subject takes a
            fraction of the time, but alpha changes in places.
        budget: `auto` computes in bfloat16 on CPUs that are made for it, and where memory is short, the frame is seen
            smaller and less of it refined; `full` does neither.
        fps: frames a second that are held, by seeing frames smaller and refining less where they take too long, unless
            `scale` or `pixels` are given; None takes the time that it takes.

    Raises:
        ValueError: a value is out of its range. Whether the device is there is only seen where it is used.
    """

    device: str = "auto"
    precision: Precision = "auto"
    align: AlignMode = "every"
    update: UpdateMode = "on"
    engine: Engine = "auto"
    weights: str | None = None
    scale: float | None = None
    refine: RefineMode | None = None
    pixels: int | None = None
    threshold: float | None = None
    mirror: bool = False
    region: RegionMode = "off"
    budget: Budget = "full"
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.region not in get_args(RegionMode):
            raise ValueError(f"for the region there are {', '.join(get_args(RegionMode))}, got {self.region}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"there are the precisions {', '.join(get_args(Precision))}, got {self.precision}")
        if self.budget not in get_args(Budget):
            raise ValueError(f"there are the budgets {', '.join(get_args(Budget))}, got {self.budget}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"a rate that is held lies above 0 and up to 1000, got {self.fps}")
        if self.engine not in get_args(Engine):
            raise ValueError(f"there are the engines {', '.join(get_args(Engine))}, got {self.engine}")
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


@dataclass(frozen=True)
class LiveConfig:
    """How a camera is matted live.

    Args:
        camera: number, part of a name, device or clip, as `bgmv2.video.camera.open_camera` takes it; empty for the
            first camera.
        size: width and height that are asked of the camera, which may have another one next to it.
        fps: pictures a second that are asked of the camera, and that are held by spending less on each; None holds
            what the camera gives.
        on_mismatch: what others see while the plate does not fit: the last safe picture out of focus, `blur`, or as it
            is, `freeze`; `show` hides nothing.
        unsteady: leave alpha as the network gives it, frame by frame.
        virtual: device of the virtual camera; `auto` takes the first that is free, `off` does without.
        record: path of a video of what others see; None records nothing.
        no_preview: show no window.
        lazy: rest while no program looks at the virtual camera.
        countdown: seconds to step out of the picture before the plate is taken.

    Raises:
        ValueError: a value is out of its range.
    """

    camera: str = ""
    size: tuple[int, int] = (1280, 720)
    fps: float | None = None
    on_mismatch: MismatchMode = "blur"
    unsteady: bool = False
    virtual: str = "auto"
    record: str | None = None
    no_preview: bool = False
    lazy: bool = False
    countdown: float = 5.0

    def __post_init__(self) -> None:
        if min(self.size) < 16 or max(self.size) > 16384:
            raise ValueError(f"a camera's pictures are 16 to 16384 pixels wide and high, got {self.size}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"a frame rate lies above 0 and up to 1000, got {self.fps}")
        if self.on_mismatch not in get_args(MismatchMode):
            raise ValueError(f"on a mismatch there are {', '.join(get_args(MismatchMode))}, got {self.on_mismatch}")
        if not 0 <= self.countdown <= 60:
            raise ValueError(f"a countdown takes 0 to 60 seconds, got {self.countdown}")
