"""Networks for other engines: TorchScript, ONNX and OpenVINO files, each compared with the network before it is named.

**Convention**: a file takes `src` and `bgr`, ``(1, 3, H, W)`` float32 in 0..1 of any size, and answers with what
`bgmv2.nn.matting.MattingRefine` does, under the names of `ANSWERS`. In it stand, as texts, the network's `config` in
JSON, the `sha256` of its weights, and `pixels` that are refined, empty where they follow the size.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from bgmv2 import fingerprint
from bgmv2.config import EXPORTS, ModelConfig
from bgmv2.errors import Bgmv2Warning, DeviceError, OutputError, WeightsError
from bgmv2.nn.checkpoint import checksum
from bgmv2.nn.matting import MattingRefine
from bgmv2.nn.patches import PATCH
from bgmv2.nn.portable import SHARE, Portable
from bgmv2.types import StrPath
from bgmv2.video.sink import beside, cannot_write, check_file

ANSWERS = ("pha", "fgr", "pha_sm", "fgr_sm", "err_sm", "ref_sm")
# Float32 on other engines sums in another order; what differs by more is another network.
BOUND = 1e-3
# Patches whose errors are nearly equal may be chosen one for another.
_SWAPPED = 0.01
# Sizes that are compared, height and width: odd ones, no multiples of a patch, and one that shrinks a side to little.
_SIZES = ((180, 320), (243, 431), (61, 90))
_OPSET = 18
_MADE = 1  # files that an earlier version kept are made anew when this grows


class Engine(Protocol):
    """Answers as `MattingRefine` does, in float32 on the CPU."""

    def __call__(self, src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Answer for ``(1, 3, H, W)`` frame and plate."""
        ...


@dataclass(frozen=True)
class Exported:
    """What a file says of the network in it.

    Args:
        config: of the network.
        pixels: that are refined; None if they follow the size.
        sha256: of the weights.
    """

    config: ModelConfig
    pixels: int | None
    sha256: str

    @classmethod
    def of(cls, model: MattingRefine, *, pixels: int | None) -> Exported:
        """Describe a network as it is set now."""
        chosen = model.config.refine_sample_pixels if pixels is None else pixels
        config = replace(model.config, backbone_scale=model.backbone_scale, refine_sample_pixels=chosen)
        return cls(config, pixels, checksum(model.state_dict()))

    def texts(self) -> dict[str, str]:
        """Write it down for a file."""
        pixels = "" if self.pixels is None else str(self.pixels)
        return {"config": json.dumps(asdict(self.config)), "pixels": pixels, "sha256": self.sha256}

    @classmethod
    def read(cls, texts: Mapping[str, str], path: Path) -> Exported:
        """Read what `texts` wrote.

        Raises:
            WeightsError: the file was made by somebody else.
        """
        try:
            pixels = texts["pixels"]
            return cls(ModelConfig(**json.loads(texts["config"])), int(pixels) if pixels else None, texts["sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{path} was not made by bgmv2 export; export the weights again") from error


@dataclass(frozen=True)
class Kind:
    """How a row of `EXPORTS` is written and read.

    Args:
        write: writes a network there.
        read: opens it; with what it says of itself. The text is the number format to compute in.
    """

    write: Callable[[MattingRefine, Exported, Path], None]
    read: Callable[[Path, str], tuple[Exported, Engine]]


def export(
    model: MattingRefine, kind: str, path: StrPath, *, pixels: int | None, overwrite: bool = False
) -> dict[str, float]:
    """Write a network for another engine, and compare what that answers with the network itself.

    Args:
        model: on the CPU, in float32 and in eval mode, with its scale, mode and threshold set.
        kind: a row of `EXPORTS`.
        path: of the file; OpenVINO puts the weights beside it, in a .bin. It appears whole, and compared, or not at
            all.
        pixels: to refine in `sampling` at most; None takes a sixteenth of the frame. In TorchScript, whose settings can
            be changed after loading, None takes the network's.
        overwrite: replace a file that is there.

    Returns:
        The largest difference of alpha or foreground, by the size of the pictures that were compared.

    Raises:
        OutputError: it cannot be written there, or differs by more than `BOUND`.
        OutputExistsError: the file is there already.
        WeightsError: a package that is needed is not installed.
    """
    path, row, suffix = Path(path), _KINDS[kind], EXPORTS[kind]
    if path.suffix.lower() != suffix:
        raise OutputError(f"{kind} files end in {suffix}: call it {path.stem}{suffix}")
    for final in _files(path):
        check_file(final, overwrite=overwrite)
    about = Exported.of(model, pixels=pixels)
    temporary = beside(path).with_suffix(suffix)  # engines look at its letters more closely than we do
    try:
        row.write(model, about, temporary)
        differences = compare(
            model, row.read(temporary, "float32")[1], pixels=about.pixels, follows=kind != TORCHSCRIPT
        )
        worst = max(differences.values())
        if not worst <= BOUND:
            raise OutputError(
                f"{path} was not written: it differs by {worst:.2g} from the network, more than {BOUND:g}"
            )
        # The weights first: a file that is there has all that belongs to it.
        for made, final in reversed(list(zip(_files(temporary), _files(path), strict=True))):
            os.replace(made, final)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise cannot_write(path, error) from error
    finally:
        for made in _files(temporary):
            made.unlink(missing_ok=True)
    return differences


@torch.inference_mode()
def compare(model: MattingRefine, engine: Engine, *, pixels: int | None, follows: bool = True) -> dict[str, float]:
    """Compare an engine with the network it was made of, at several sizes.

    Args:
        model: the network.
        engine: what should answer alike.
        pixels: that the engine refines; None if they follow the size, where `follows`.
        follows: as said.

    Returns:
        By size the largest difference of alpha or foreground, where both refine the same patches; infinite if those
        are too few, or an answer is no number.
    """
    own = model.refiner.sample_pixels
    found = {}
    try:
        for height, width in _SIZES:
            if follows:
                model.refiner.sample_pixels = height * width // SHARE * PATCH**2 if pixels is None else pixels
            src, bgr = _pair(height, width)
            ours, theirs = model(src, bgr), engine(src, bgr)
            same = ours[5].eq(theirs[5])
            alike = same.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, :height, :width]
            # By torch, whose maximum is NaN wherever there is one.
            gaps = [((a - b).abs() * alike).max() for a, b in zip(ours[:2], theirs[:2], strict=True)]
            far = torch.stack(gaps).max().item()
            is_other = same.float().mean().item() < 1 - _SWAPPED
            found[f"{width}x{height}"] = math.inf if is_other or not math.isfinite(far) else far
    finally:
        model.refiner.sample_pixels = own
    return found


def is_exported(weights: StrPath | None) -> bool:
    """Tell an exported file, which only its engine reads, from weights, by its name."""
    return weights is not None and Path(weights).suffix.lower() in _ENGINES


def engine_of(weights: StrPath | None, engine: str) -> str:
    """Choose what computes; `auto` is PyTorch for weights, and for an exported file its own engine.

    Raises:
        WeightsError: the engine does not read this file, or bgmv2 does not run it.
    """
    readers = _ENGINES.get(Path(weights).suffix.lower(), ()) if weights is not None else ()
    if engine == "auto":
        return readers[0] if readers else "torch"
    if readers and engine not in readers:
        raise WeightsError(f"{weights} is read by {' and '.join(readers)}, not by {engine}; leave out --engine")
    return engine


def open_exported(path: StrPath, engine: str, precision: str = "float32") -> tuple[Exported, Engine]:
    """Open an exported file.

    Args:
        path: of the file.
        engine: that runs it: `onnxruntime` or `openvino`.
        precision: to compute in, if the engine can.

    Raises:
        WeightsError: it is missing, damaged or not ours, or the engine is not installed.
        DeviceError: the engine does not compute in this precision.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"there is no file {path}: make it by bgmv2 export")
    try:
        return _READERS[engine](path, precision)
    except (WeightsError, DeviceError):
        raise
    except Exception as error:  # engines raise whatever their parsers meet
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path} is damaged or not for {engine} ({reason}): export it again") from error


def prepared(
    model: MattingRefine, engine: str, precision: str = "float32", *, pixels: int | None
) -> tuple[Exported, Engine]:
    """Open a network with an engine; what is exported for it is kept in the user's cache.

    Args:
        model: as for `export`.
        engine: `onnxruntime` or `openvino`, which reads ONNX, too.
        precision: as for `open_exported`.
        pixels: as for `export`.
    """
    name = fingerprint.of_values([_MADE, _OPSET, torch.__version__, Exported.of(model, pixels=pixels).texts()])
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bgmv2"
    path = folder / f"{name[:24]}.onnx"
    if path.is_file():
        try:
            return open_exported(path, engine, precision)
        except WeightsError as error:  # nobody but us has made this file: what is damaged is made anew
            if isinstance(error.__cause__, ImportError):
                raise
    warnings.warn(f"the network is prepared for {engine}, once for these settings", Bgmv2Warning, stacklevel=2)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    export(model, "onnx", path, pixels=pixels, overwrite=True)
    return open_exported(path, engine, precision)


def _files(path: Path) -> list[Path]:
    """All files of an exported network, the one that is named first."""
    return [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]


def _pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A room, and something before it: noise alone would leave the network without a subject."""
    g = torch.Generator().manual_seed(0)
    bgr, subject = (
        F.interpolate(torch.rand(1, 3, 9, 16, generator=g), size=(height, width), mode="bicubic").clamp(0, 1)
        for _ in range(2)
    )
    src = bgr.clone()
    src[:, :, height // 4 :, width // 3 : 2 * width // 3] = subject[:, :, height // 4 :, width // 3 : 2 * width // 3]
    return src, bgr


def _needed(package: str, extra: str) -> ModuleType:
    """Import a package that only some need.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise WeightsError(f'{package} is not installed: pip install "bgmv2[{extra}]"') from error


def _write_torchscript(model: MattingRefine, about: Exported, path: Path) -> None:
    if about.pixels is not None:
        model.refiner.sample_pixels = about.pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have its own new format
        torch.jit.save(torch.jit.script(model), str(path), _extra_files=about.texts())


def _read_torchscript(path: Path, precision: str) -> tuple[Exported, Engine]:
    texts = {"config": "", "pixels": "", "sha256": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.jit.load(str(path), _extra_files=texts)
    # Files hold bytes, whatever was put in.
    plain = {name: text.decode() if isinstance(text, bytes) else text for name, text in texts.items()}
    return Exported.read(plain, path), model


def _onnx_of(model: MattingRefine, about: Exported) -> Any:
    """Make an ONNX model, with what it says of itself."""
    onnx = _needed("onnx", "onnx")
    _needed("onnxscript", "onnx")
    sides = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Portable(model, pixels=about.pixels).eval(),
            _pair(*_SIZES[0]),
            dynamo=True,
            verbose=False,
            input_names=["src", "bgr"],
            output_names=list(ANSWERS),
            dynamic_shapes={"src": sides, "bgr": sides},
            opset_version=_OPSET,
        )
    assert program is not None
    made = program.model_proto
    onnx.helper.set_model_props(made, about.texts())
    return made


def _write_onnx(model: MattingRefine, about: Exported, path: Path) -> None:
    path.write_bytes(_onnx_of(model, about).SerializeToString())


def _read_onnxruntime(path: Path, precision: str) -> tuple[Exported, Engine]:
    onnxruntime = _needed("onnxruntime", "onnx")
    if precision != "float32":
        raise DeviceError(f"onnxruntime computes in float32 here, not in {precision}; openvino knows bfloat16")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait would take the cores from decoder and encoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def answer(src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = {"src": src.contiguous().numpy(), "bgr": bgr.contiguous().numpy()}
        return tuple(torch.from_numpy(x) for x in session.run(list(ANSWERS), given))

    return Exported.read(session.get_modelmeta().custom_metadata_map, path), answer


def _write_openvino(model: MattingRefine, about: Exported, path: Path) -> None:
    openvino = _needed("openvino", "openvino")
    made = openvino.Core().read_model(_onnx_of(model, about).SerializeToString())
    for name, text in about.texts().items():
        made.set_rt_info(text, ["bgmv2", name])
    openvino.save_model(made, str(path), compress_to_fp16=False)


def _read_openvino(path: Path, precision: str) -> tuple[Exported, Engine]:
    openvino = _needed("openvino", "openvino")
    core = openvino.Core()
    made = core.read_model(str(path))
    # Of ONNX it calls the properties `framework`.
    where = "framework" if path.suffix.lower() == ".onnx" else "bgmv2"
    texts = {
        name: str(made.get_rt_info([where, name]).value)
        for name in ("config", "pixels", "sha256")
        if made.has_rt_info([where, name])
    }
    hints = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = core.compile_model(made, "CPU", hints)

    def answer(src: torch.Tensor, bgr: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # Shared memory is written again by the next frame.
        found = compiled({"src": src.contiguous().numpy(), "bgr": bgr.contiguous().numpy()}, share_outputs=False)
        return tuple(torch.from_numpy(found[name]) for name in ANSWERS)

    return Exported.read(texts, path), answer


TORCHSCRIPT = "torchscript"
_KINDS: dict[str, Kind] = {
    TORCHSCRIPT: Kind(_write_torchscript, _read_torchscript),
    "onnx": Kind(_write_onnx, _read_onnxruntime),
    "openvino": Kind(_write_openvino, _read_openvino),
}
_READERS: dict[str, Callable[[Path, str], tuple[Exported, Engine]]] = {
    "onnxruntime": _read_onnxruntime,
    "openvino": _read_openvino,
}
# By suffix, the engines that read it, the first of which is taken.
_ENGINES: dict[str, tuple[str, ...]] = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}
