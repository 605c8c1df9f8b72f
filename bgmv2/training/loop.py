"""The training itself: the base network first, then base and refiner together."""

from __future__ import annotations

import csv
import math
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from bgmv2.config import ModelConfig
from bgmv2.nn import patches
from bgmv2.nn.checkpoint import load_model, load_strictly, mean_state, save_checkpoint
from bgmv2.nn.matting import MattingBase, MattingRefine, to_unit
from bgmv2.training.compose import ComposeConfig, Composer, Pair
from bgmv2.training.data import Material
from bgmv2.training.losses import alpha_loss, error_loss, foreground_loss

STATE = "state.pt"
WEIGHTS = "weights.safetensors"
LOG = "log.csv"
WINDOW = 64  # pixels; side of the windows that a joint step refines
CLIP = 5.0  # largest norm of a step's gradient


@dataclass(frozen=True)
class TrainConfig:
    """A training run, whole; it lies in the checkpoint.

    Args:
        model: the network.
        compose: how pairs are made.
        base_steps: steps of the base network alone, on small pictures.
        joint_steps: steps of base and refiner together, on large pictures.
        base_sides: smallest and largest side of the base's pictures, in pixels.
        joint_sides: the same of the joint step's.
        base_batch: pictures in a step.
        joint_batch: pictures in a joint step.
        joint_scales: the base sees a joint step's pictures at one of these scales, drawn anew in each step.
        refine_share: share of a joint step's pixels that are refined.
        windows: whole windows of 64x64 pixels that a joint step refines in each picture, most where alpha is soft or
            the base is wrong; the sides of its pictures are multiples of 64 then. 0 refines patches where the error
            map says, as in the paper and in use: dearer by far for as many pixels.
        rate: learning rate of decoder and ASPP in the base stage, where the backbone learns at a fifth of it (Lin et
            al. 2021), and of the refiner in the joint stage, where decoder and ASPP learn at half of it and the
            backbone at a fifth: more than in the paper, whose base has learned for longer by then.
        ema: the weights that are kept are a running mean over about ``1 / (1 - ema)`` steps of a stage.
        freeze_norm: batch norm keeps the statistics of the weights that the run starts from, and works as it does when
            the network is used. For steps of few, large pictures, whose own statistics say little.
        settle_steps: at the end, batch norm's statistics are measured anew for the kept weights, on so many steps,
            unless they are frozen.
        seed: of everything drawn.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    compose: ComposeConfig = field(default_factory=ComposeConfig)
    base_steps: int = 2400
    joint_steps: int = 1200
    base_sides: tuple[int, int] = (160, 352)
    joint_sides: tuple[int, int] = (288, 576)
    base_batch: int = 8
    joint_batch: int = 4
    joint_scales: tuple[float, ...] = (0.5, 0.5, 0.25)
    windows: int = 0
    refine_share: float = 0.125
    rate: float = 1e-3
    ema: float = 0.995
    freeze_norm: bool = False
    settle_steps: int = 40
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what cannot be trained.

        Raises:
            ValueError: a value is of another kind than its default; a count is none; or, with windows, a joint step's
                smallest side is no multiple of theirs.
        """
        for f in fields(self):
            value, default = getattr(self, f.name), f.default
            kind = (int, float) if isinstance(default, float) else type(default)
            if default is not MISSING and (not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)):
                raise ValueError(f"{f.name} is like {default}, got {value!r}")
        for name in ("base_batch", "joint_batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is 1 or more, got {getattr(self, name)}")
        for name in ("base_sides", "joint_sides"):
            sides = getattr(self, name)
            if len(sides) != 2 or not all(isinstance(side, int) for side in sides) or not 0 < sides[0] <= sides[1]:
                raise ValueError(f"{name} are a smallest and a largest side in pixels, got {sides}")
        if not self.joint_scales or not all(0 < scale <= 0.5 for scale in self.joint_scales):
            raise ValueError(f"joint_scales are above 0 and at most 0.5, got {self.joint_scales}")
        if self.windows > 0 and (self.joint_sides[0] < WINDOW or self.joint_sides[0] % WINDOW):
            raise ValueError(f"with windows, joint_sides begins at a multiple of {WINDOW}, got {self.joint_sides[0]}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The inverse of `dataclasses.asdict`; what is not given has its default.

        Raises:
            ValueError: there is no setting of such a name, or its value is of another kind.
        """
        parts = {"model": ModelConfig, "compose": ComposeConfig}
        if not isinstance(values, Mapping) or not all(isinstance(values.get(name, {}), Mapping) for name in parts):
            raise ValueError(f"a run's settings, its {' and its '.join(parts)} are objects of names and values")
        for kind, given in ((cls, values), *((kind, values.get(name, {})) for name, kind in parts.items())):
            unknown = set(given) - {f.name for f in fields(kind)}
            if unknown:
                raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(unknown))}")
        read: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
        read.update({name: kind(**values.get(name, {})) for name, kind in parts.items()})
        return cls(**read)


class Trainer:
    """One run, in a folder: `state.pt` to go on from, `weights.safetensors` to use, and `log.csv` with the losses.

    Args:
        config: of the run.
        material: of the training split; lies on the device that trains.
        folder: of the run; an earlier state in it is taken up.
        imagenet: a start for the backbone, from `tools/fetch_imagenet.py`.
        start: weights of earlier runs, to go on from their mean with a new configuration.
        precision: `bfloat16` to train with autocast, `float32` without; losses are always float32.

    Raises:
        ValueError: the folder holds a run of another configuration.
    """

    def __init__(
        self,
        config: TrainConfig,
        material: Material,
        folder: str | PathLike[str],
        *,
        imagenet: str | PathLike[str] | None = None,
        start: Sequence[str | PathLike[str]] = (),
        precision: str = "float32",
    ):
        self.config = config
        self.material = material
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = material.rooms[0].device
        self.autocast = torch.autocast(
            self.device.type, dtype=getattr(torch, precision), enabled=precision != "float32"
        )
        torch.manual_seed(config.seed)
        self.model = MattingRefine(config.model).to(self.device).to(memory_format=torch.channels_last)
        if imagenet is not None:
            self.model.backbone.load_state_dict(load_file(imagenet))
        if start:
            states = [load_model(path).state_dict() for path in start]
            self.model.load_state_dict(mean_state(states, [1.0] * len(states)))
        if self.device.type == "cpu":
            _split_dilated(self.model)
        self.average = AveragedModel(self.model, multi_avg_fn=_running_mean(config.ema), use_buffers=True)
        self.optimizer = self._optimizer()
        self.step = 0
        self._stops = False
        self.losses: list[dict[str, float]] = []
        if (self.folder / STATE).exists():
            self._load()

    @property
    def steps(self) -> int:
        """Of both stages together."""
        return self.config.base_steps + self.config.joint_steps

    def stop(self) -> None:
        """Let `run` end after the step it is at, saved; may be called from a signal's handler."""
        self._stops = True

    def run(self, *, save_every: int, until: float = math.inf) -> Iterator[int]:
        """Train to the end, until a time, or until `stop`, saving on the way.

        Args:
            save_every: steps between two saved states.
            until: value of `time.monotonic` at which to stop and save.

        Yields:
            The number of steps done, after each saving.
        """
        with tqdm(total=self.steps, initial=self.step, unit="step", smoothing=0.05) as progress:
            for stage in ("base", "joint"):
                end = self.config.base_steps if stage == "base" else self.steps
                if self.step == self.config.base_steps:
                    self.average.n_averaged.zero_()  # the refiner has not learned yet: its past is not worth a mean
                for pair in self._pairs(stage, end - self.step):
                    self.losses.append({"step": self.step, **self._train_step(pair, stage)})
                    self.step += 1
                    progress.set_postfix(stage=stage, alpha=f"{self._recent('pha'):.4f}", refresh=False)
                    progress.update()
                    ends = self._stops or time.monotonic() > until
                    if self.step == self.steps:
                        self._settle()
                    if ends or self.step % save_every == 0 or self.step == self.steps:
                        self.save()
                        yield self.step
                    if ends:
                        return

    def _train_step(self, pair: Pair, stage: str) -> dict[str, float]:
        self.model.train()
        if self.config.freeze_norm:
            for norm in _norms(self.model):
                norm.eval()
        self._set_rates(stage)
        src, bgr, pha, fgr = (x.to(self.device).contiguous(memory_format=torch.channels_last) for x in pair)
        if stage == "joint":
            self._set_refinement(self.model, src, step=self.step)
        losses = self._base_losses(src, bgr, pha, fgr) if stage == "base" else self._joint_losses(src, bgr, pha, fgr)
        total = torch.stack(list(losses.values())).sum()
        if not total.isfinite():
            raise FloatingPointError(f"the loss is {total.item()} at step {self.step}: lower the learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return {name: value.item() for name, value in losses.items()}

    def _base_losses(
        self, src: torch.Tensor, bgr: torch.Tensor, pha: torch.Tensor, fgr: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        with self.autocast:
            answer = MattingBase.forward(self.model, src, bgr)
        pred_pha, pred_fgr, pred_err, _ = (x.float() for x in answer)
        return coarse_losses(pred_pha, pred_fgr, pred_err, pha, fgr)

    def _window_losses(
        self, src: torch.Tensor, bgr: torch.Tensor, pha: torch.Tensor, fgr: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The joint losses where only windows are refined; they count by the share of the picture that they cover."""
        src_sm, bgr_sm = self.model.reduced(src), self.model.reduced(bgr)
        with self.autocast:
            pha_sm, residual_sm, err_sm, hid_sm = self.model.coarse(src_sm, bgr_sm)
            places = choose_windows(pha_sm.detach().float(), pha, self.config.windows)
            maps = self.model.refiner.maps(src, bgr, pha_sm, residual_sm, hid_sm)
            answer = self.model.refiner.refine(*maps, places, side=WINDOW).float()
        src_w, pha_w, fgr_w = (patches.crop(x, places, WINDOW, margin=0) for x in (src, pha, fgr))
        pred_pha, pred_fgr = to_unit(answer[:, :1], True), to_unit(answer[:, 1:] + src_w, True)
        share = pha_w.numel() / pha.numel()
        pred_pha_sm, pred_err_sm = pha_sm.float(), err_sm.float()
        pred_fgr_sm = to_unit(residual_sm.float() + src_sm, True)
        pha_sm, fgr_sm = (_reduced(x, pred_pha_sm.shape[2:]) for x in (pha, fgr))
        return {
            "full_pha": share * alpha_loss(pred_pha, pha_w),
            "full_fgr": share * foreground_loss(pred_fgr, fgr_w, pha_w),
            **coarse_losses(pred_pha_sm, pred_fgr_sm, pred_err_sm, pha_sm, fgr_sm),
        }

    def _joint_losses(
        self, src: torch.Tensor, bgr: torch.Tensor, pha: torch.Tensor, fgr: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        if self.config.windows > 0:
            return self._window_losses(src, bgr, pha, fgr)
        with self.autocast:
            answer = self.model(src, bgr)
        pred_pha, pred_fgr, pred_pha_sm, pred_fgr_sm, pred_err_sm, _ = (x.float() for x in answer)
        size = pred_pha_sm.shape[2:]
        pha_sm, fgr_sm = (_reduced(x, size) for x in (pha, fgr))
        return {
            "full_pha": alpha_loss(pred_pha, pha),
            "full_fgr": foreground_loss(pred_fgr, fgr, pha),
            **coarse_losses(pred_pha_sm, pred_fgr_sm, pred_err_sm, pha_sm, fgr_sm),
        }

    def _set_refinement(self, model: Any, src: torch.Tensor, *, step: int) -> None:
        """Choose a scale for the base, by the step's own draw, and how much to refine."""
        scales = self.config.joint_scales
        model.backbone_scale = scales[random.Random(f"{self.config.seed} {step}").randrange(len(scales))]
        model.refiner.sample_pixels = round(src.shape[2] * src.shape[3] * self.config.refine_share)
        model.refiner.floor = self.config.model.refine_floor

    @torch.no_grad()
    def _settle(self) -> None:
        """Measure batch norm's statistics for the averaged weights, which no step has run with."""
        if self.config.freeze_norm or self.config.settle_steps == 0 or self.config.joint_steps == 0:
            return
        model = self.average.module
        norms = _norms(model)
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain mean over all that comes
        model.train()
        for index, pair in enumerate(self._pairs("joint", self.config.settle_steps)):
            src, bgr = (x.to(self.device) for x in pair[:2])
            self._set_refinement(model, src, step=self.step + index)
            with self.autocast:
                model(src, bgr)
        model.eval()
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum

    def _pairs(self, stage: str, count: int) -> Iterator[Pair]:
        """Pairs from here on; on the CPU another process makes them while this one trains."""
        stream = _PairStream(self.material, self.config, stage, count, seed=self.config.seed + self.step)
        if self.device.type != "cpu":
            return iter(stream)
        loader = DataLoader(
            stream, batch_size=None, num_workers=1, prefetch_factor=3, worker_init_fn=_leave_interrupts_to_parent
        )
        return iter(loader)

    def _optimizer(self) -> torch.optim.Optimizer:
        parts = {
            name: list(getattr(self.model, name).parameters()) for name in ("backbone", "aspp", "decoder", "refiner")
        }
        groups = [{"params": p, "name": name} for name, p in parts.items()]
        return torch.optim.AdamW(groups, weight_decay=1e-4, fused=self.device.type in ("cpu", "cuda"))

    def _set_rates(self, stage: str) -> None:
        """A short warm-up, then a cosine down to nothing, in each stage anew."""
        if stage == "base":
            done, count = self.step, self.config.base_steps
        else:
            done, count = self.step - self.config.base_steps, self.config.joint_steps
        rate = self.config.rate * min(1.0, (done + 1) / 50) * (0.02 + 0.98 * math.cos(math.pi / 2 * done / count) ** 2)
        share = {"backbone": 0.2, "aspp": 1.0, "decoder": 1.0, "refiner": 0.0}
        if stage == "joint":
            share = {"backbone": 0.2, "aspp": 0.5, "decoder": 0.5, "refiner": 1.0}
        for group in self.optimizer.param_groups:
            group["lr"] = rate * share[group["name"]]

    def _recent(self, name: str) -> float:
        values = [row[name] for row in self.losses[-50:]]
        return sum(values) / len(values)

    def save(self) -> None:
        """Write the state and the averaged weights; each file appears whole or not at all."""
        partial = self.folder / f".{STATE}.part"
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "losses": self.losses,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, partial)
        partial.replace(self.folder / STATE)
        write_log(self.losses, self.folder / LOG)
        save_checkpoint(self.folder / WEIGHTS, self.average.module.state_dict(), self.config.model, half=True)

    def _load(self) -> None:
        state = torch.load(self.folder / STATE, map_location=self.device, weights_only=True)
        earlier = TrainConfig.from_dict(state["config"])
        other = [f.name for f in fields(TrainConfig) if getattr(earlier, f.name) != getattr(self.config, f.name)]
        if set(other) - {"base_steps", "joint_steps"}:  # a run may be made longer or shorter
            raise ValueError(f"{self.folder} holds a run with another {', '.join(other)}: take a new folder")
        self.step = state["step"]
        self.losses = state["losses"]
        load_strictly(self.model, state["model"], origin=str(self.folder / STATE))
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def write_log(rows: list[dict[str, float]], path: Path) -> None:
    """Write all losses as a table; a stage that does not have one leaves its place empty."""
    names = sorted({name for row in rows for name in row}, key=lambda name: (name != "step", name))
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    partial.replace(path)


def coarse_losses(
    pred_pha: torch.Tensor,
    pred_fgr: torch.Tensor,
    pred_err: torch.Tensor,
    true_pha: torch.Tensor,
    true_fgr: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """The base network's three losses, all at the resolution of its answer."""
    return {
        "pha": alpha_loss(pred_pha, true_pha),
        "fgr": foreground_loss(pred_fgr, true_fgr, true_pha),
        "err": error_loss(pred_err, pred_pha, true_pha),
    }


def choose_windows(pred_pha: torch.Tensor, true_pha: torch.Tensor, count: int) -> patches.Places:
    """Draw windows to refine, more likely the more of them is soft or wrong.

    Args:
        pred_pha: ``(B, 1, h, w)`` coarse alpha.
        true_pha: ``(B, 1, H, W)`` true alpha.
        count: of the windows in each picture.

    Returns:
        Places in the grid of windows of 64x64 pixels; fewer, if a picture has fewer of them.
    """
    soft = (true_pha > 0) & (true_pha < 1)
    wrong = (F.interpolate(pred_pha, size=true_pha.shape[2:], mode="bilinear", align_corners=False) - true_pha).abs()
    need = F.avg_pool2d(wrong + 0.1 * soft + 1e-3, WINDOW)
    indices, _ = patches.largest(need * torch.rand_like(need), count)
    picture = torch.arange(len(need), device=need.device).repeat_interleave(indices.shape[1])
    indices = indices.flatten()
    return picture, indices // need.shape[3], indices % need.shape[3]


def _reduced(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return F.interpolate(x, size=list(size), mode="bilinear", antialias=True, align_corners=False)


def _norms(model: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def _split_dilated(model: torch.nn.Module) -> None:
    """Let dilated depthwise convolutions compute in phases; parameters and their names stay.

    PyTorch's own backward pass of them takes ten times as long in bfloat16 on a CPU.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups == module.in_channels and module.dilation[0] > 1:
            module.__class__ = _PhasedConv2d


class _PhasedConv2d(torch.nn.Conv2d):
    """A dilated depthwise convolution of odd kernel, stride 1 and as large an answer: a plain one in each phase.

    With dilation 2 only pixels of the same parity of row and column meet.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = self.dilation[0]
        b, c, h, w = x.shape
        x = F.pad(x, [0, -w % step, 0, -h % step]).permute(0, 2, 3, 1)
        rows, columns = x.shape[1] // step, x.shape[2] // step
        x = x.reshape(b, rows, step, columns, step, c).permute(0, 2, 4, 1, 3, 5).reshape(-1, rows, columns, c)
        x = F.conv2d(x.permute(0, 3, 1, 2), self.weight, padding="same", groups=c).permute(0, 2, 3, 1)
        x = x.reshape(b, step, step, rows, columns, c).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(b, step * rows, step * columns, c)[:, :h, :w].permute(0, 3, 1, 2)


def _leave_interrupts_to_parent(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal, and who trains still needs pairs for the step it is at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _running_mean(ema: float) -> Callable[..., None]:
    """An exponential mean that follows quickly at first, because early weights are not worth remembering."""

    def update(averages: list[torch.Tensor], values: list[torch.Tensor], count: torch.Tensor) -> None:
        decay = min(ema, (1 + int(count)) / (10 + int(count)))
        get_ema_multi_avg_fn(decay)(averages, values, count)

    return update


class _PairStream(IterableDataset):
    """A number of batches, their sizes drawn from the stage's sides in steps of 32 pixels, or of whole windows."""

    def __init__(self, material: Material, config: TrainConfig, stage: str, count: int, *, seed: int):
        self.material = material
        self.config = config
        self.stage = stage
        self.count = count
        self.seed = seed

    def __iter__(self) -> Iterator[Pair]:
        config = self.config
        low, high = config.base_sides if self.stage == "base" else config.joint_sides
        batch = config.base_batch if self.stage == "base" else config.joint_batch
        step = WINDOW if self.stage == "joint" and config.windows > 0 else 32
        sides = random.Random(self.seed)
        composer = Composer(self.material, config.compose, seed=self.seed)
        for _ in range(self.count):
            height = sides.randrange(low, (low + high) // 2 + 1, step)
            width = sides.randrange(low, high + 1, step)
            yield composer.batch(batch, height, width)
