"""Our network beside the published code: same weights, same pictures, in turns; and how far from the machine's limit.

    python tools/bench.py network                                      HD and 4K, MobileNetV2 and ResNet-50
    python tools/bench.py network --sizes hd small 4k --rvm data/peers --table README.md

Frame and plate are the sample clip's, enlarged; they are float32 tensors on the device before the clock starts, and the
answers stay there. MobileNetV2 has the bundled weights, other backbones have made-up ones, so that their answers are
no mattes. Needs `pip install .[bench]`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from tables import put, put_into, rows
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bgmv2.config import REFINE_FLOOR, ModelConfig
from bgmv2.device import choose_device
from bgmv2.nn.backbones import BACKBONES
from bgmv2.nn.checkpoint import load_model
from bgmv2.nn.fast import FastMatting
from bgmv2.nn.matting import MattingRefine
from bgmv2.video.open import open_source

SAMPLE = Path(__file__).parents[2] / "tests" / "sample"
BEGIN, END = "<!-- network: made by tools/bench.py network -->", "<!-- network: end -->"
PUBLISHED, PLAIN, RVM = "published code", "ours, plain", "RobustVideoMatting, ONNX Runtime"
PARTS = {"base": ("_features", "_visible"), "refiner": ("_around", "_refine")}
REST = "resampling and the rest"
FRAME = 30  # of the sample clip
NOISE = 0.01  # sigma, of a camera, in 0..1


@dataclass(frozen=True)
class Setting:
    """The paper's settings for a size.

    Args:
        label: for people.
        size: height and width.
        scale: of the base network.
        pixels: that are refined.
        ratio: RobustVideoMatting's of its README; None: none is named.
        subject: how large the sample clip's subject is, 1 as it is there; a smaller one is laid over the plate, with
            noise, and work follows it as well.
    """

    label: str
    size: tuple[int, int]
    scale: float
    pixels: int
    ratio: float | None = None
    subject: float = 1.0


# Source: Lin et al. 2021, section 5, and the README of RobustVideoMatting.
SETTINGS = {
    "hd": Setting("HD", (1080, 1920), 1 / 4, 80_000, 0.25),
    "small": Setting("HD, small subject", (1080, 1920), 1 / 4, 80_000, 0.25, subject=0.6),
    "4k": Setting("4K", (2160, 3840), 1 / 8, 320_000, 0.125),
}


@dataclass(frozen=True)
class Part:
    """What a part of a frame takes, and what it would take at the machine's limit.

    Args:
        ms: measured.
        gflop: floating-point operations of its convolutions, in 10^9.
        mb: bytes that its operations read and write, each by itself, in 10^6.
        limit_ms: the longer of the two at the measured ceilings.
    """

    ms: float
    gflop: float
    mb: float
    limit_ms: float


@dataclass(frozen=True)
class Result:
    """A contestant's rounds.

    Args:
        name: for people.
        ms: of each round.
        ratios: how many times faster than the published code, in each round.
        alpha: largest and mean difference of alpha to the published code's, where the same patches were refined.
        same: share of the patches that both refined, or both did not.
        parts: by name, of the fast network.
    """

    name: str
    ms: list[float]
    ratios: list[float]
    alpha: tuple[float, float] | None = None
    same: float | None = None
    parts: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class Ceilings:
    """What the machine can do: 10^9 operations a second in a large product of matrices, and bytes in a copy."""

    gflops: dict[str, float]
    gbytes: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--sizes", nargs="+", choices=SETTINGS, default=["hd", "4k"], help="default: hd 4k")
    backbones = ["mobilenetv2", "resnet50"]
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=backbones, help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="default: %(default)s")
    parser.add_argument(
        "--threads",
        type=int,
        help="of the CPU; 1 is measured in processor time, which other programs hardly disturb; default: torch's own",
    )
    parser.add_argument(
        "--rvm", type=Path, metavar="FOLDER", help="measure RobustVideoMatting, too, fetched into FOLDER"
    )
    parser.add_argument("--json", type=Path, help="write all that was measured")
    parser.add_argument("--plot", type=Path, help="draw the times of the parts")
    parser.add_argument("--table", type=Path, help=f"file in which the table goes between {BEGIN} and {END}")


def run(args: argparse.Namespace) -> None:
    """Measure, print, write."""
    if args.table is not None:
        put("", args.table.read_text(encoding="utf-8"), BEGIN, END)  # says now that there is no place for it
    device = choose_device(args.device)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
        cv2.setNumThreads(args.threads)
    ceilings = measure_ceilings(device)
    print(f"ceilings: {', '.join(f'{v:.0f} GFLOP/s in {k}' for k, v in ceilings.gflops.items())}, ", end="")
    print(f"{ceilings.gbytes:.1f} GB/s", flush=True)
    found: dict[str, list[Result]] = {}
    for size in args.sizes:
        for backbone in args.backbones:
            setting = SETTINGS[size]
            title = f"{setting.label}, {backbone}"
            found[title] = measure(setting, backbone, device, args.rounds, args.rvm, ceilings)
            print("\n".join(["", title, *map(told, found[title])]), flush=True)
    if args.json is not None:
        about = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
        results = {title: [asdict(result) for result in results] for title, results in found.items()}
        args.json.write_text(json.dumps({**about, "ceilings": asdict(ceilings), "results": results}, indent=1) + "\n")
    if args.plot is not None:
        plot(found, args.plot)
    if args.table is not None:
        put_into(args.table, markdown(found, ceilings, device), BEGIN, END)


def measure(
    setting: Setting, backbone: str, device: torch.device, rounds: int, rvm: Path | None, ceilings: Ceilings
) -> list[Result]:
    """Let all take turns on one frame."""
    src, bgr = pictures(setting, device)
    model = network(setting, backbone).to(device)
    rivals: dict[str, Callable[[], Any]] = {
        PUBLISHED: published(model, src, bgr),
        PLAIN: lambda: model(src, bgr),
    }
    packed = [x.contiguous(memory_format=torch.channels_last) for x in (src, bgr)]
    thrifty = copy.deepcopy(model)  # works only where it is needed, as runs do
    thrifty.refiner.floor = REFINE_FLOOR
    fast = {}
    for dtype in dtypes(device):
        name = f"ours, fast, {str(dtype).removeprefix('torch.')}"
        fast[name] = FastMatting(model, dtype)
        rivals[name] = lambda answer=fast[name]: answer(*packed)
        if setting.subject < 1:
            following = f"{name}, --region auto"
            fast[following] = FastMatting(thrifty, dtype, follow=True)
            rivals[following] = lambda answer=fast[following]: answer(*packed)
    if rvm is not None and setting.ratio is not None and device.type == "cpu":
        rivals[RVM] = robust_video_matting(rvm, setting.ratio, src)
    with torch.inference_mode():
        answers = {name: rival() for name, rival in rivals.items()}
        times = in_turns(rivals, rounds, device)
        parts = {name: measure_parts(answer, packed, rounds, ceilings) for name, answer in fast.items()}
    results = []
    for name, ms in times.items():
        ratios = [theirs / ours for theirs, ours in zip(times[PUBLISHED], ms, strict=True)]
        alpha, same = (None, None) if name in (PUBLISHED, RVM) else compared(answers[name], answers[PUBLISHED])
        results.append(Result(name, ms, ratios, alpha, same, parts.get(name, {})))
    return results


def pictures(setting: Setting, device: torch.device) -> list[torch.Tensor]:
    """A frame of the sample clip and its plate, ``(1, 3, H, W)``."""
    frame, alpha = (_frame(SAMPLE / name, setting.size) for name in ("clip.mp4", "alpha.mp4"))
    plate = _tensor(cv2.cvtColor(cv2.imread(str(SAMPLE / "plate.jpg")), cv2.COLOR_BGR2RGB), setting.size)
    if setting.subject < 1:
        src, pha = (F.interpolate(x, scale_factor=setting.subject, mode="area") for x in (frame, alpha))
        noise = torch.randn(plate.shape, generator=torch.Generator().manual_seed(0)) * NOISE
        frame = (plate + noise).clamp(0, 1)
        place = frame[:, :, -src.shape[2] :, : src.shape[3]]
        place.copy_(pha * src + (1 - pha) * place)
        rows, columns = (pha[0, 0].amax(dim=dim).gt(0.5).sum().item() for dim in (1, 0))
        area = rows * columns / (frame.shape[2] * frame.shape[3])
        print(f"the subject and what is right and left of it, above and below it, fill {area:.0%} of the frame")
    return [frame.to(device), plate.to(device)]


def _frame(path: Path, size: tuple[int, int]) -> torch.Tensor:
    with open_source(path) as source:
        return _tensor(next(frame.pixels for index, frame in enumerate(source) if index == FRAME), size)


def _tensor(pixels: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    larger = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(larger).permute(2, 0, 1)[None].float().div(255).contiguous()


def network(setting: Setting, backbone: str) -> MattingRefine:
    """The network that all run: with the bundled weights, if they are this backbone's."""
    model = load_model(backbone_scale=setting.scale, refine_sample_pixels=setting.pixels)
    if model.config.backbone == backbone:
        return model
    torch.manual_seed(0)
    model = MattingRefine(ModelConfig(backbone, setting.scale, "sampling", setting.pixels))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # so that one batch is enough to keep all maps in a usual range
    nn.init.normal_(model.decoder.conv4.weight, std=0.005)
    nn.init.constant_(model.decoder.conv4.bias, 0.5)
    with torch.no_grad():
        model.train()(*torch.rand(2, 2, 3, 256, 256).unbind(0))
    return model.eval()


def published(model: MattingRefine, src: torch.Tensor, bgr: torch.Tensor) -> Callable[[], Any]:
    """The published code with our network's weights and settings."""
    from BackgroundMattingV2.model import MattingRefine as Published

    config = model.config
    theirs = Published(config.backbone, config.backbone_scale, config.refine_mode, config.refine_sample_pixels)
    theirs.load_state_dict(model.state_dict())
    theirs.to(src.device).eval()
    return lambda: theirs(src, bgr)


def robust_video_matting(folder: Path, ratio: float, src: torch.Tensor) -> Callable[[], Any]:
    """RobustVideoMatting on the same frame over and over, its memory carried along."""
    from peers import RVM as package
    from peers import fetch, onnx_session

    session = onnx_session(fetch(package, "rvm", folder))
    names = ("r1i", "r2i", "r3i", "r4i")
    memory = [np.zeros((1, 1, 1, 1), np.float32)] * 4
    feed = {"src": src.numpy(), "downsample_ratio": np.array([ratio], np.float32)}

    def matte() -> np.ndarray:
        nonlocal memory
        _, pha, *memory = session.run(None, feed | dict(zip(names, memory, strict=True)))
        return pha

    return matte


def dtypes(device: torch.device) -> list[torch.dtype]:
    """What our network is measured in."""
    return [torch.float32, torch.float16 if device.type == "cuda" else torch.bfloat16]


def in_turns(rivals: dict[str, Callable[[], Any]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Milliseconds of each, one after the other in each round, so that what disturbs one disturbs all."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            with clock(device) as taken:
                rival()
            times[name] += taken
    return times


@contextmanager
def clock(device: torch.device) -> Iterator[list[float]]:
    """Append the milliseconds that the device was busy with what is inside; of one CPU thread, its processor time."""
    taken: list[float] = []
    now = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    _wait(device)
    start = now()
    yield taken
    _wait(device)
    taken.append((now() - start) * 1e3)


def compared(ours: Any, theirs: Any) -> tuple[tuple[float, float], float]:
    """Largest and mean difference of alpha where the same patches were refined, and the share of these."""
    same = ours[5] == theirs[5]
    where = F.interpolate(same.float(), size=ours[0].shape[2:], mode="nearest").bool()
    gap = (ours[0] - theirs[0]).abs()[where]
    return (gap.max().item(), gap.mean().item()), same.float().mean().item()


def measure_parts(answer: FastMatting, packed: list[torch.Tensor], rounds: int, ceilings: Ceilings) -> dict[str, Part]:
    """Split a frame's time by the methods in which it is spent, and count what these do."""
    device, dtype = packed[0].device, str(answer.dtype).removeprefix("torch.")
    taken: dict[str, list[float]] = {name: [0.0] * rounds for name in (*PARTS, REST)}
    counts = {name: [0.0, 0.0] for name in taken}
    for index in range(rounds):
        with _watched(answer, lambda name: clock(device), taken, index), clock(device) as whole:
            answer(*packed)
        taken[REST][index] = whole[0] - sum(taken[name][index] for name in PARTS)
    for kind, counter in enumerate((_operations, _bytes)):
        each: dict[str, list[float]] = {name: [0.0] for name in taken}
        with _watched(answer, lambda name, counter=counter: counter(), each, 0), counter() as whole:
            answer(*packed)
        each[REST] = [whole[0] - sum(each[name][0] for name in PARTS)]
        for name, (count,) in each.items():
            counts[name][kind] = count
    parts = {}
    for name, ms in taken.items():
        gflop, mb = counts[name][0] / 1e9, counts[name][1] / 1e6
        limit = max(gflop / ceilings.gflops[dtype] * 1e3, mb / ceilings.gbytes)
        parts[name] = Part(statistics.median(ms), gflop, mb, limit)
    return parts


@contextmanager
def _watched(answer: FastMatting, watch: Callable[[str], Any], into: dict[str, list[float]], index: int):
    """Add to `into` what `watch` says of each part's methods."""

    def watched(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            with watch(name) as told:
                result = method(*given)
            into[name][index] += told[0]
            return result

        return call

    methods = [(name, method) for name, methods in PARTS.items() for method in methods]
    for name, method in methods:
        setattr(answer, method, watched(name, getattr(answer, method)))
    try:
        yield
    finally:
        for _, method in methods:
            delattr(answer, method)


@contextmanager
def _operations() -> Iterator[list[float]]:
    told: list[float] = []
    activated = {torch.ops.mkldnn._convolution_pointwise: _of_activated} if torch.backends.mkldnn.is_available() else {}
    with FlopCounterMode(display=False, custom_mapping=activated) as counter:
        yield told
    told.append(float(counter.get_total_flops()))


def _of_activated(x: Sequence[int], weight: Sequence[int], *more: Any, out_shape: Sequence[int], **others: Any) -> int:
    """Operations of a convolution with its activation, of which PyTorch does not know; by shapes."""
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of all tensors that operations take and give; views cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and "empty" not in func.name():
            # Of a table counts what is taken out of it, or put into it.
            moved = args[2:] if "index_put" in func.name() else (result,)
            looked_up = any(word in func.name() for word in ("index", "embedding"))
            leaves = torch.utils._pytree.tree_leaves((moved, moved) if looked_up else (args, kwargs, result))
            self.total += sum(x.numel() * x.element_size() for x in leaves if isinstance(x, torch.Tensor))
        return result


@contextmanager
def _bytes() -> Iterator[list[float]]:
    told: list[float] = []
    with _Traffic() as traffic:
        yield told
    told.append(float(traffic.total))


def measure_ceilings(device: torch.device) -> Ceilings:
    """Multiply large matrices, copy much memory; the best of some turns."""
    side = 2048 if device.type == "cpu" else 8192
    gflops = {}
    for dtype in dtypes(device):
        x = torch.rand(side, side, device=device).to(dtype)
        best = min(in_turns({"": lambda x=x: x @ x}, 5, device)[""])
        gflops[str(dtype).removeprefix("torch.")] = 2 * side**3 / best / 1e6
    x = torch.zeros(2**26, device=device)
    y = torch.zeros_like(x)
    best = min(in_turns({"": lambda: y.copy_(x)}, 5, device)[""])
    return Ceilings(gflops, 2 * x.numel() * x.element_size() / best / 1e6)


def told(result: Result) -> str:
    """A contestant's line, and those of its parts."""
    median, ratio = statistics.median(result.ms), statistics.median(result.ratios)
    line = (
        f"  {result.name:<34} {median:7.1f} ms, {ratio:5.2f} times ({min(result.ratios):.2f}..{max(result.ratios):.2f})"
    )
    if result.alpha is not None and result.same is not None:
        line += f"; alpha within {result.alpha[0]:.5f}, mean {result.alpha[1]:.6f}, same patches {result.same:.2%}"
    lines = [line]
    for name, part in result.parts.items():
        lines.append(
            f"    {name:<32} {part.ms:7.1f} ms; {part.gflop:5.1f} GFLOP, {part.mb:5.0f} MB: at the limit "
            f"{part.limit_ms:.1f} ms"
        )
    return "\n".join(lines)


def markdown(found: dict[str, list[Result]], ceilings: Ceilings, device: torch.device) -> str:
    """Lay out the tables of the README: all times, and how far ours are from the machine's limit."""
    cells, limits = [], []
    for title, results in found.items():
        for result in results:
            ratio = f"{statistics.median(result.ratios):.2f} ({min(result.ratios):.2f} to {max(result.ratios):.2f})"
            alpha = "" if result.alpha is None else f"{result.alpha[0]:.1e}, {result.alpha[1]:.1e}"
            cells.append([title, result.name, f"{statistics.median(result.ms):.0f}", ratio, alpha])
            if result.parts:
                parts = (f"{part.ms:.0f} ({part.limit_ms:.0f})" for part in result.parts.values())
                limits.append([title, result.name, *parts])
    heads = ["size, backbone", "network", "ms a frame", "times the published code's rate", "alpha: largest, mean gap"]
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu()
    gflops = ", ".join(f"{gflops:.0f} GFLOP/s in {dtype}" for dtype, gflops in ceilings.gflops.items())
    return "\n".join(
        [
            f"Measured on {where}, torch {torch.__version__}.",
            "",
            *rows(heads, cells),
            "",
            f"Parts of ours in ms, measured alone, and what they would take at this machine's limit: {gflops} in a "
            f"large product of matrices, {ceilings.gbytes:.0f} GB/s in a copy.",
            "",
            *rows(["size, backbone", "network", *PARTS, REST], limits),
        ]
    )


def _cpu() -> str:
    """How many threads of which processor."""
    kinds = [line for line in _cpuinfo() if line.startswith("model name")]
    kind = f" of {kinds[0].partition(':')[2].strip()}" if kinds else ""
    threads = torch.get_num_threads()
    with_units = f"{kind} ({torch.backends.cpu.get_cpu_capability()})"
    return f"one thread{with_units}, in processor time" if threads == 1 else f"{threads} threads{with_units}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return []


def plot(found: dict[str, list[Result]], path: Path) -> None:
    """Draw each contestant's time, ours by parts."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(found), figsize=(9, 2.2 * len(found)), squeeze=False)
    for axis, (title, results) in zip(axes[:, 0], found.items(), strict=True):
        for result in results:
            left = 0.0
            parts = {name: part.ms for name, part in result.parts.items()} or {"whole": statistics.median(result.ms)}
            for colour, ms in zip(("C0", "C1", "C2"), parts.values(), strict=False):
                axis.barh(result.name, ms, left=left, color="0.6" if "whole" in parts else colour)
                left += ms
        axis.invert_yaxis()
        axis.set(title=title, xlabel="ms a frame; ours: base, refiner, resampling and the rest")
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
