"""What computes: the device that was asked for, in which precision, and how much memory it has left."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from bgmv2.errors import Bgmv2Warning, DeviceError

# What RuntimeErrors of MPS and of the CPU say when there is no memory; CUDA's has a type of its own.
_NO_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
# Convolutions in float16 give NaN on these; cards older than this capability take longer with it than with float32.
_NO_FLOAT16, _QUICK_FLOAT16 = "GTX 16", (7, 0)


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


def open_device(name: str) -> torch.device:
    """Choose a device and see that it computes, as an old one does not if this build of torch has nothing for it.

    On CUDA, float32 means float32 from here on, in the whole process: by default, convolutions round to TF32, and what
    is kept in float32 because it must not be rounded would be.

    Raises:
        DeviceError: as `choose_device`, or it does not compute. Of `auto` the CPU is taken then, with a warning.
    """
    device = choose_device(name)
    if device.type == "cpu":
        return device
    if device.type == "cuda":
        device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        torch.backends.cudnn.allow_tf32 = False
        # Who has set the newer switch for the whole process would else have TF32 all the same.
        if hasattr(torch.backends.cudnn, "conv"):
            torch.backends.cudnn.conv.fp32_precision = "ieee"
    try:
        torch.zeros(1, device=device).add_(1).cpu()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if name != "auto":
            raise DeviceError(f"{device} does not compute ({reason}): take cpu, or a build of torch for it") from error
        warnings.warn(f"{device} does not compute ({reason}), so the CPU does", Bgmv2Warning, stacklevel=3)
        return torch.device("cpu")
    return device


@contextmanager
def told_of_memory(device: torch.device, what: str) -> Iterator[None]:
    """Turn what a device says when its memory is full into words for people.

    Raises:
        DeviceError: there is too little of it.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.cuda.OutOfMemoryError) and not any(x in str(error) for x in _NO_MEMORY):
            raise
        other = "" if device.type == "cpu" else ", or take cpu"
        raise DeviceError(
            f"{device} has too little memory for {what}: refine fewer pixels, close other programs that use it{other}"
        ) from error


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of numbers to compute in; `auto` is float16 on CUDA devices that can, and float32 elsewhere.

    Raises:
        DeviceError: the device does not compute in it, or there is no such precision.
    """
    if precision == "auto":
        precision = "float16" if device.type == "cuda" and _computes_float16(device) else "float32"
    if precision == "float16" and device.type == "cpu":
        raise DeviceError("the CPU does not compute in float16: take float32 or bfloat16")
    if precision not in ("float32", "float16", "bfloat16"):
        raise DeviceError(f"there is no precision '{precision}': take auto, float32, float16 or bfloat16")
    return getattr(torch, precision)


def _computes_float16(device: torch.device) -> bool:
    """Tell a CUDA device that computes in float16, and quickly."""
    is_quick = torch.cuda.get_device_capability(device) >= _QUICK_FLOAT16
    return is_quick and _NO_FLOAT16 not in torch.cuda.get_device_name(device)


def cpu_computes_bfloat16() -> bool:
    """Tell a CPU that has units for products in bfloat16; others take longer with it."""
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


def free_memory(device: torch.device) -> int | None:
    """Bytes that could be had; None if nobody tells."""
    if device.type == "cuda":
        # PyTorch keeps what it once had.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            told = dict(line.split(":", 1) for line in file)
        return 1024 * int(told["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def integers_to(device: torch.device, pixels: np.ndarray) -> torch.Tensor:
    """Bring integers to a device as they are; as float32 to MPS, which has no uint16 before PyTorch 2.9."""
    if device.type == "mps" and pixels.dtype == np.uint16:
        pixels = pixels.astype(np.float32)
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).to(device)
