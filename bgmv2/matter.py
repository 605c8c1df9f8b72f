"""`Matter`: the network with weights on a device, ready for pictures."""

from __future__ import annotations

import hashlib
import warnings
from os import PathLike

import numpy as np
import torch

from bgmv2 import fingerprint
from bgmv2.budget import Setting, affordable, pixels_for, scale_for, settings_for
from bgmv2.config import REFINE_FLOOR, RunConfig
from bgmv2.device import (
    choose_dtype,
    cpu_computes_bfloat16,
    free_memory,
    integers_to,
    open_device,
    told_of_memory,
)
from bgmv2.errors import Bgmv2Warning, DeviceError, WeightsError
from bgmv2.export import Engine, Exported, engine_of, is_exported, open_exported, prepared
from bgmv2.nn.checkpoint import load_model
from bgmv2.nn.fast import FastMatting
from bgmv2.types import Matte, Plate

Picture = np.ndarray | torch.Tensor
# An alpha so close to 0 or 1 is 0 or 1. The network seldom says exactly so in the midst of a subject, and a grain that
# nobody sees would be a fiftieth of all that is wrong with alpha.
_SURE = 3 / 255


class Matter:
    """Mattes pictures: weights, device and precision are chosen once, the rest follows each picture's size.

    Args:
        weights: path of a weights file, or of an .onnx or .xml of `bgmv2 export`, in which all that is said of the
            network is settled; None takes the weights that come with bgmv2.
        device: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, ``cuda:1`` or `mps`.
        precision: `float32`, `float16`, `bfloat16`, or `auto`: float16 on CUDA and float32 elsewhere.
        scale: the base network sees the frame at this scale, up to 1/2; None takes the largest of 1/2, 1/3, 1/4... at
            which the longer side has at most 640 pixels.
        refine: `sampling`, `thresholding` or `full`; None takes the weights' own.
        pixels: pixels to refine in `sampling` at most, of those with a predicted error above 0.02
            (`bgmv2.config.REFINE_FLOOR`); None takes a sixteenth of the frame.
        threshold: predicted error in 0..1 above which `thresholding` refines; None takes the weights' own.
        mirror: the network sees each frame mirrored as well, and the two answers are averaged; takes twice the time.
        region: `off`; `auto` looks only where frame and plate differ, on the CPU, for speed.
        budget: `auto` computes in bfloat16 on CPUs that are made for it unless `precision` says otherwise, and sees
            frames smaller and refines less where memory is short.
        engine: `torch`; `onnxruntime` or `openvino`, which compute on the CPU; or `auto`, which chooses by `weights`.

    Raises:
        WeightsError: the weights are missing, damaged or made for another network or engine.
        DeviceError: the device is not there, or cannot compute in this precision.

    Example:
        >>> matter = Matter(device="cuda")
        >>> pha, fgr = matter.matte(frame, plate=plate)[:2]
    """

    def __init__(
        self,
        weights: str | PathLike[str] | None = None,
        device: str = "auto",
        *,
        precision: str = "auto",
        scale: float | None = None,
        refine: str | None = None,
        pixels: int | None = None,
        threshold: float | None = None,
        mirror: bool = False,
        region: str = "off",
        budget: str = "full",
        engine: str = "auto",
    ):
        self.engine = engine_of(weights, engine)
        runs_torch = self.engine == "torch"
        self.device = open_device("cpu" if device == "auto" and not runs_torch else device)
        if self.device.type != "cpu" and not runs_torch:
            raise DeviceError(f"{self.engine} computes on the CPU here: take --device cpu, or --engine torch")
        is_thrifty = budget == "auto" and precision == "auto" and self.engine != "onnxruntime"
        if is_thrifty and self.device.type == "cpu" and cpu_computes_bfloat16():
            precision = "bfloat16"
        self.precision = choose_dtype(precision, self.device)
        # Other engines take float32, whatever they compute in.
        self.dtype = self.precision if runs_torch else torch.float32
        self._region = region
        self._mirrors = mirror
        self._scale_follows_size = scale is None
        self._pixels_follow_size = pixels is None
        self._is_thrifty = budget == "auto"
        self._setting: Setting | None = None
        self._afforded: dict[tuple[int, int], Setting] = {}
        self._given: tuple[Exported, Engine] | None = None
        self._prepared: tuple[float, Engine] | None = None
        if weights is not None and is_exported(weights):
            if (scale, refine, pixels, threshold) != (None, None, None, None):
                raise WeightsError(f"scale and refining are settled in {weights}: say them to bgmv2 export")
            self._given = open_exported(weights, self.engine, self._said_precision)
            self.config = self._given[0].config
            return
        model = load_model(
            weights,
            backbone_scale=scale,
            refine_mode=refine,
            refine_sample_pixels=pixels,
            refine_threshold=threshold,
            refine_floor=REFINE_FLOOR,
        )
        self.config = model.config
        for name, value, mode in (("threshold", threshold, "thresholding"), ("pixels", pixels, "sampling")):
            if value is not None and model.config.refine_mode != mode:
                warnings.warn(f"{name} does nothing here: it is for refine {mode}", Bgmv2Warning, stacklevel=2)
        with told_of_memory(self.device, "the network"):
            self.model = model.to(self.device)
            self._answer = FastMatting(self.model, self.dtype, follow=region == "auto")

    @classmethod
    def from_config(cls, run: RunConfig) -> Matter:
        """Make one from the choices for a run."""
        return cls(
            run.weights,
            run.device,
            precision=run.precision,
            scale=run.scale,
            refine=run.refine,
            pixels=run.pixels,
            threshold=run.threshold,
            mirror=run.mirror,
            region=run.region,
            budget=run.budget,
            engine=run.engine,
        )

    def __str__(self) -> str:
        """What was chosen, for people."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        by = "" if self.engine == "torch" else f" by {self.engine}"
        return f"{self.config.backbone} on {name} in {self._said_precision}{by}"

    @property
    def _said_precision(self) -> str:
        return str(self.precision).removeprefix("torch.")

    @property
    def fingerprint(self) -> str:
        """A name of all that its answers depend on: weights, settings, and where it computes."""
        follows = self._scale_follows_size, self._pixels_follow_size
        choices = [
            self.config,
            str(self),
            self._mirrors,
            self._region,
            *follows,
            *(["thrifty"] if self._is_thrifty else []),
        ]
        if self._given is not None:
            return fingerprint.of_values([self._given[0].texts(), *choices])
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return fingerprint.of_values([digest.hexdigest(), *choices])

    @torch.inference_mode()
    def matte(self, src: Picture, *, plate: Picture | Plate) -> Matte:
        """Matte one picture or a batch; frame and plate must lie on each other already (see `bgmv2.plate.align`).

        Args:
            src: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8 or uint16 array, or ``(3, H, W)`` or ``(B, 3, H, W)`` float
                tensor in 0..1; RGB.
            plate: of the same size; one for all pictures of the batch, or one each.

        Returns:
            Float32 tensors on this device, always with a batch dimension; an alpha within 3/255 of 0 or 1 is 0 or 1.

        Raises:
            ValueError: a shape or type is another, or the sizes differ.
            DeviceError: the device has too little memory for this.
        """
        with told_of_memory(self.device, "these pictures"):
            frames = self.upload(src)
            bgr = self.upload(plate.bgr if isinstance(plate, Plate) else plate)
        if bgr.shape[0] == 1:
            bgr = bgr.expand_as(frames) if bgr.shape[1:] == frames.shape[1:] else bgr
        if bgr.shape != frames.shape:
            raise ValueError(f"frame and plate have one size, got {tuple(frames.shape)} and {tuple(bgr.shape)}")
        height, width = frames.shape[2:]
        self._fit(height, width)
        with told_of_memory(self.device, f"{width}x{height}"):
            matte = self._ask(frames, bgr)
            if self._mirrors:
                matte = _mean(matte, Matte(*(x.flip(-1) for x in self._ask(frames.flip(-1), bgr.flip(-1)))))
            matte.pha.masked_fill_(matte.pha < _SURE, 0).masked_fill_(matte.pha > 1 - _SURE, 1)
        return matte

    def settings(self, height: int, width: int, *, least: float = 0.0) -> list[Setting]:
        """From the best for pictures of this size to what costs the least; what was chosen stays.

        Args:
            height: of the pictures.
            width: of the pictures.
            least: share of the best scale, 0..1, below which none sees a picture.

        Raises:
            WeightsError: an exported file has only one.
        """
        if self.engine != "torch":
            raise WeightsError(
                f"with {self.engine}, scale and pixels stay as they are: to hold a rate, take --engine torch"
            )
        return settings_for(
            height,
            width,
            scale=None if self._scale_follows_size else self.config.backbone_scale,
            pixels=None if self._pixels_follow_size else self.config.refine_sample_pixels,
            least=least,
        )

    def spend(self, setting: Setting) -> None:
        """From now on, see frames at this scale and refine so many pixels."""
        self._setting = setting

    def _ask(self, frames: torch.Tensor, bgr: torch.Tensor) -> Matte:
        answers: list[tuple[torch.Tensor, ...]]
        if self.engine == "torch":
            answers = [self._answer(frames, bgr)]
        else:
            # A patch of one picture must not be weighed against those of another: engines take one at a time.
            answers = [self._engine(*pair) for pair in zip(frames.split(1), bgr.split(1), strict=True)]
        parts = zip(*answers, strict=True)
        pha, fgr, _, _, err_sm, ref_sm = (x[0] if len(x) == 1 else torch.cat(x) for x in parts)
        return Matte(pha.float(), fgr.float(), err_sm.float(), ref_sm.float())

    def upload(self, picture: Picture) -> torch.Tensor:
        """Bring a picture or a batch to the device as ``(B, 3, H, W)`` float32 in 0..1.

        Raises:
            ValueError: a shape or type is another than those of `matte`.
        """
        if isinstance(picture, np.ndarray):
            if picture.dtype not in (np.uint8, np.uint16) or picture.ndim not in (3, 4) or picture.shape[-1] != 3:
                raise ValueError(
                    f"an array is (H, W, 3) or (B, H, W, 3) uint8 or uint16, got {picture.shape = }, {picture.dtype = }"
                )
            top = np.iinfo(picture.dtype).max
            x = integers_to(self.device, picture).movedim(-1, -3).float() / top
        elif picture.is_floating_point() and picture.ndim in (3, 4) and picture.shape[-3] == 3:
            x = picture.to(self.device, torch.float32)
        else:
            raise ValueError(
                f"a tensor is (3, H, W) or (B, 3, H, W) float in 0..1, got {picture.shape = }, {picture.dtype = }"
            )
        x = x[None] if x.ndim == 3 else x
        return x.float().contiguous(memory_format=torch.channels_last)

    @property
    def _engine(self) -> Engine:
        """What answers in the place of PyTorch, as `_fit` has set the network."""
        if self._given is not None:
            return self._given[1]
        scale = self.model.backbone_scale
        if self._prepared is None or self._prepared[0] != scale:
            pixels = None if self._pixels_follow_size else self.model.refiner.sample_pixels
            self._prepared = scale, prepared(self.model, self.engine, self._said_precision, pixels=pixels)[1]
        return self._prepared[1]

    def _affordable(self, height: int, width: int) -> Setting:
        memory = free_memory(self.device)
        settings = self.settings(height, width)
        if memory is None:
            return settings[0]
        return affordable(height, width, settings, memory=memory, half=self.dtype != torch.float32)

    def _fit(self, height: int, width: int) -> None:
        """Set what follows the picture's size; in an exported file, all is settled."""
        if self._given is not None:
            return
        setting = self._setting
        if setting is None and self._is_thrifty and self.engine == "torch":
            # Once for each size: what is free changes with what is taken for the frame before.
            if (height, width) not in self._afforded:
                self._afforded[height, width] = self._affordable(height, width)
            setting = self._afforded[height, width]
        if setting is not None:
            self.model.backbone_scale = setting.scale
            self.model.refiner.sample_pixels = setting.pixels
            return
        if self._scale_follows_size:
            self.model.backbone_scale = scale_for(height, width)
        if self._pixels_follow_size:
            self.model.refiner.sample_pixels = pixels_for(height, width)


def _mean(one: Matte, other: Matte) -> Matte:
    """Average two answers; a patch is refined if it is in either."""
    pha, fgr, err = ((a + b) / 2 for a, b in zip(one[:3], other[:3], strict=True))
    return Matte(pha, fgr, err, torch.maximum(one.ref, other.ref))
