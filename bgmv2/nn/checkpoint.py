"""Weights files: safetensors with their `ModelConfig` and a checksum inside, and state dicts of published checkpoints.

Nothing is ever unpickled into code: safetensors holds only numbers, torch files are read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bgmv2.config import BackboneName, ModelConfig
from bgmv2.errors import WeightsError
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.matting import MattingBase, MattingRefine

DEFAULT_WEIGHTS = "mobilenetv2.safetensors"
State = Mapping[str, torch.Tensor]


def save_checkpoint(path: str | PathLike[str], state: State, config: ModelConfig, *, half: bool = False) -> None:
    """Write weights with the configuration they belong to; the file appears whole or not at all.

    Args:
        path: of the safetensors file.
        state: names to tensors.
        config: what to build before these weights are loaded.
        half: store floating-point tensors as float16, which halves the file.

    Raises:
        ValueError: a weight is no finite number, or too large for float16.
    """
    path = Path(path)
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in state.items()
    }
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite{' in float16' if half else ''}")
    header = {"format": "pt", "config": json.dumps(asdict(config)), "sha256": checksum(tensors)}
    partial = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, partial, metadata=header)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | PathLike[str]) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    """Read weights and their configuration.

    Args:
        path: a safetensors file of ours, or a torch file with a published state dict, whose configuration is then read
            off its names and shapes.

    Returns:
        The configuration, and float32 tensors by name.

    Raises:
        WeightsError: the file is missing, truncated, altered or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}: name a .safetensors or .pth file")
    config, state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    return config, {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def load_model(path: str | PathLike[str] | None = None, **overrides: Any) -> MattingRefine:
    """Build the network of a weights file, in eval mode, on the CPU, in float32.

    Args:
        path: of the weights; None takes those that come with bgmv2.
        overrides: fields of `ModelConfig` to change, such as ``refine_mode="full"``; those that are None stay.

    Raises:
        WeightsError: the file is damaged, or its weights are another network's.
    """
    if path is None:
        with as_file(files("bgmv2.weights") / DEFAULT_WEIGHTS) as default:
            return load_model(default, **overrides)
    config, state = load_checkpoint(path)
    config = replace(config, **{name: value for name, value in overrides.items() if value is not None})
    with torch.device("meta"):  # what would be drawn here, the weights replace
        model = MattingRefine(config)
    load_strictly(model, state, origin=str(path))
    return model.eval()


def load_strictly(model: MattingBase, state: State, *, origin: str) -> None:
    """Load weights of exactly the model's names and shapes.

    Raises:
        WeightsError: names the first tensor that is missing, foreign or of another shape.
    """
    wanted = model.state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise WeightsError(f"{origin} does not fit {model.config.backbone}: it has no {name}")
        if state[name].shape != value.shape:
            raise WeightsError(
                f"{origin} does not fit {model.config.backbone}: "
                f"{name} is {tuple(state[name].shape)} and should be {tuple(value.shape)}"
            )
    for name in state:
        if name not in wanted:
            raise WeightsError(f"{origin} does not fit {model.config.backbone}: {name} has no place in it")
    model.load_state_dict(state, strict=True, assign=any(value.is_meta for value in wanted.values()))


def _read_safetensors(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}): fetch it again") from error
    if "sha256" in header and header["sha256"] != checksum(state):
        raise WeightsError(f"{path} is damaged, its checksum does not fit its contents: fetch it again")
    if "config" not in header:
        return _infer_config(state, path), state
    try:
        return ModelConfig(**json.loads(header["config"])), state
    except (TypeError, ValueError) as error:
        known = ", ".join(field.name for field in fields(ModelConfig))
        raise WeightsError(f"{path} carries a configuration that is not ours ({error}); it may hold {known}") from error


def _read_torch(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its zip reader, unpickler or the file system meet
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if "TorchScript" in reason:
            raise WeightsError(
                f"{path} is a TorchScript file, for other programs: give the weights themselves"
            ) from error
        raise WeightsError(f"{path} is damaged or no weights file ({reason.split('. ')[0][:120]})") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no weights: a dictionary from names to tensors was expected")
    return _infer_config(state, path), dict(state)


def _infer_config(state: State, path: Path) -> ModelConfig:
    """Tell a published checkpoint's network from what is in it."""
    backbone: BackboneName
    if "backbone.features.0.0.weight" in state:
        backbone = "mobilenetv2"
    elif "backbone.conv1.weight" in state:
        backbone = "resnet101" if "backbone.layer3.22.conv1.weight" in state else "resnet50"
    else:
        first = next(iter(state), "nothing")
        raise WeightsError(f"{path} is made for none of {', '.join(BACKBONES)}: it begins with {first}")
    conv1 = state.get("refiner.conv1.weight")
    return ModelConfig(backbone=backbone, refine_kernel_size=1 if conv1 is not None and conv1.shape[-1] == 1 else 3)


def mean_state(states: Sequence[State], shares: Sequence[float]) -> dict[str, torch.Tensor]:
    """Average the weights of one network after several runs.

    Args:
        states: names to tensors, the same names in all.
        shares: how much each counts, above 0; they need not add up to 1.

    Returns:
        The mean of what are floats; counts are those of the last.

    Raises:
        ValueError: the names or shapes differ.
    """
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("only weights of the same network have a mean")
    weights = torch.tensor(shares, dtype=torch.float32) / sum(shares)
    return {
        name: torch.tensordot(weights, torch.stack([state[name].float() for state in states]), dims=1)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def checksum(state: State) -> str:
    """Name what weights are: names, types, shapes and numbers, in 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()
