"""What computes: the device that was asked for, in which precision, and how much memory it has left."""

from __future__ import annotations

from typing import Any

import torch

from bgmv2.errors import DeviceError


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


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of numbers to compute in; `auto` is float16 on CUDA and float32 elsewhere.

    Raises:
        DeviceError: the device does not compute in it, or there is no such precision.
    """
    if precision == "auto":
        precision = "float16" if device.type == "cuda" else "float32"
    if precision == "float16" and device.type == "cpu":
        raise DeviceError("the CPU does not compute in float16: take float32 or bfloat16")
    if precision not in ("float32", "float16", "bfloat16"):
        raise DeviceError(f"there is no precision '{precision}': take auto, float32, float16 or bfloat16")
    return getattr(torch, precision)


def cpu_computes_bfloat16() -> bool:
    """Tell a CPU that has units for products in bfloat16; others take longer with it."""
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(told.get("avx512_bf16") or told.get("amx_bf16"))


def free_memory(device: torch.device) -> int | None:
    """Bytes that could be had; None if nobody tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            told = dict(line.split(":", 1) for line in file)
        return 1024 * int(told["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None
