"""`Matter`: the network with weights on a device, ready for pictures."""

from __future__ import annotations

import hashlib
from os import PathLike

import numpy as np
import torch

from bgmv2 import fingerprint
from bgmv2.config import RunConfig
from bgmv2.errors import DeviceError
from bgmv2.nn.checkpoint import load_model
from bgmv2.types import Matte, Plate

COARSE_SIDE = 640  # pixels; 1/4 for HD and 1/8 for 4K, the scales of Lin et al. 2021, and 1/2 for 1280x720
REFINED_SHARE = 1 / 16  # of all pixels; the paper's settings for HD and 4K refine 1/26
Picture = np.ndarray | torch.Tensor


class Matter:
    """Mattes pictures: weights, device and precision are chosen once, the rest follows each picture's size.

    Args:
        weights: path of a weights file; None takes those that come with bgmv2.
        device: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, ``cuda:1`` or `mps`.
        precision: `float32`, `float16`, `bfloat16`, or `auto`: float16 on CUDA and float32 elsewhere.
        scale: the base network sees the frame at this scale, up to 1/2; None takes the largest of 1/2, 1/4, 1/8... at
            which the longer side has at most 640 pixels.
        refine: `sampling`, `thresholding` or `full`; None takes the weights' own.
        pixels: pixels to refine in `sampling`; None takes a sixteenth of the frame.
        threshold: predicted error in 0..1 above which `thresholding` refines; None takes the weights' own.
        mirror: the network sees each frame mirrored as well, and the two answers are averaged; takes twice the time.

    Raises:
        WeightsError: the weights are missing, damaged or made for another network.
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
    ):
        self.device = choose_device(device)
        self.dtype = _choose_dtype(precision, self.device)
        model = load_model(
            weights,
            backbone_scale=scale,
            refine_mode=refine,
            refine_sample_pixels=pixels,
            refine_threshold=threshold,
        )
        self.model = model.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self._mirrors = mirror
        self._scale_follows_size = scale is None
        self._pixels_follow_size = pixels is None

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
        )

    def __str__(self) -> str:
        """What was chosen, for people."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return f"{self.model.config.backbone} on {name} in {str(self.dtype).removeprefix('torch.')}"

    @property
    def fingerprint(self) -> str:
        """A name of all that its answers depend on: weights, settings, and where it computes."""
        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            digest.update(name.encode())
            digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        choices = [self.model.config, str(self), self._mirrors, self._scale_follows_size, self._pixels_follow_size]
        return fingerprint.of_values([digest.hexdigest(), *choices])

    def adjust(self, *, scale: float, pixels: int) -> None:
        """Take another scale, and in `sampling` another number of pixels, from the next picture on."""
        self._scale_follows_size = self._pixels_follow_size = False
        self.model.backbone_scale, self.model.refiner.sample_pixels = scale, pixels

    @torch.inference_mode()
    def matte(self, src: Picture, *, plate: Picture | Plate) -> Matte:
        """Matte one picture or a batch; frame and plate must lie on each other already (see `bgmv2.plate.align`).

        Args:
            src: ``(H, W, 3)`` or ``(B, H, W, 3)`` uint8 or uint16 array, or ``(3, H, W)`` or ``(B, 3, H, W)`` float
                tensor in 0..1; RGB.
            plate: of the same size; one for all pictures of the batch, or one each.

        Returns:
            Float32 tensors on this device, always with a batch dimension.

        Raises:
            ValueError: a shape or type is another, or the sizes differ.
            DeviceError: the device has too little memory for this.
        """
        frames = self.upload(src)
        bgr = self.upload(plate.bgr if isinstance(plate, Plate) else plate)
        if bgr.shape[0] == 1:
            bgr = bgr.expand_as(frames) if bgr.shape[1:] == frames.shape[1:] else bgr
        if bgr.shape != frames.shape:
            raise ValueError(f"frame and plate have one size, got {tuple(frames.shape)} and {tuple(bgr.shape)}")
        self._fit(*frames.shape[2:])
        try:
            matte = self._ask(frames, bgr)
            if self._mirrors:
                matte = _mean(matte, Matte(*(x.flip(-1) for x in self._ask(frames.flip(-1), bgr.flip(-1)))))
        except torch.cuda.OutOfMemoryError as error:
            height, width = frames.shape[2:]
            raise DeviceError(
                f"{self.device} has too little memory for {width}x{height}: refine fewer pixels, close other programs "
                f"that use it, or take cpu"
            ) from error
        return matte

    def _ask(self, frames: torch.Tensor, bgr: torch.Tensor) -> Matte:
        pha, fgr, _, _, err_sm, ref_sm = self.model(frames, bgr)
        return Matte(pha.float(), fgr.float(), err_sm.float(), ref_sm.float())

    def upload(self, picture: Picture) -> torch.Tensor:
        """Bring a picture or a batch to the device as ``(B, 3, H, W)`` in 0..1, in the network's precision.

        Raises:
            ValueError: a shape or type is another than those of `matte`.
        """
        if isinstance(picture, np.ndarray):
            if picture.dtype not in (np.uint8, np.uint16) or picture.ndim not in (3, 4) or picture.shape[-1] != 3:
                raise ValueError(
                    f"an array is (H, W, 3) or (B, H, W, 3) uint8 or uint16, got {picture.shape = }, {picture.dtype = }"
                )
            top = np.iinfo(picture.dtype).max
            rows = torch.from_numpy(np.require(picture, requirements=["C", "W"]))
            x = rows.to(self.device).movedim(-1, -3).float() / top
        elif picture.is_floating_point() and picture.ndim in (3, 4) and picture.shape[-3] == 3:
            x = picture.to(self.device)
        else:
            raise ValueError(
                f"a tensor is (3, H, W) or (B, 3, H, W) float in 0..1, got {picture.shape = }, {picture.dtype = }"
            )
        x = x[None] if x.ndim == 3 else x
        return x.to(self.dtype).contiguous(memory_format=torch.channels_last)

    def _fit(self, height: int, width: int) -> None:
        """Set what follows the picture's size."""
        if self._scale_follows_size:
            self.model.backbone_scale = scale_for(height, width)
        if self._pixels_follow_size:
            self.model.refiner.sample_pixels = pixels_for(height, width)


def _mean(one: Matte, other: Matte) -> Matte:
    """Average two answers; a patch is refined if it is in either."""
    pha, fgr, err = ((a + b) / 2 for a, b in zip(one[:3], other[:3], strict=True))
    return Matte(pha, fgr, err, torch.maximum(one.ref, other.ref))


def scale_for(height: int, width: int) -> float:
    """The scale at which the base network sees pictures of this size, unless it is chosen."""
    scale = 0.5
    while max(height, width) * scale > COARSE_SIDE:
        scale /= 2
    return scale


def pixels_for(height: int, width: int) -> int:
    """How many pixels of pictures of this size are refined in `sampling`, unless it is chosen."""
    return round(height * width * REFINED_SHARE)


def choose_device(name: str) -> torch.device:
    """The device that was asked for; never another one.

    Raises:
        DeviceError: it is not there, or there is no device of this name.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(f"there is no device '{name}': take auto, cpu, cuda or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise DeviceError(f"bgmv2 does not compute on '{name}': take auto, cpu, cuda or mps")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "no CUDA device is usable here: install an NVIDIA driver and a CUDA build of torch, or take cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"there is no {name}: this machine has {torch.cuda.device_count()} CUDA devices, from cuda:0 on"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("no MPS device is usable here: it needs a Mac with Apple silicon; take cpu instead")
    return device


def _choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    if precision == "float16" and device.type == "cpu":
        raise DeviceError("the CPU does not compute in float16: take float32 or bfloat16")
    if precision not in ("float32", "float16", "bfloat16"):
        raise DeviceError(f"there is no precision '{precision}': take auto, float32, float16 or bfloat16")
    return getattr(torch, precision)
