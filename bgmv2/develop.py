"""What is made of a frame: the plate is placed, the network asked, and every result that was ordered is composed."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from bgmv2 import compose
from bgmv2.backdrop import Backdrop, open_backdrop
from bgmv2.budget import Governor
from bgmv2.config import AlignMode, CompositeConfig, ReadConfig, UpdateMode
from bgmv2.device import told_of_memory
from bgmv2.errors import Bgmv2Warning
from bgmv2.job import Mark
from bgmv2.masks import Mask, mask_for, open_mask
from bgmv2.matter import Matter
from bgmv2.nn.patches import PATCH
from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.check import check_plate, is_blank, shows_scene
from bgmv2.plate.keeper import Keeper, keeper_for
from bgmv2.plate.place import place_plate_and_cover
from bgmv2.plate.unseen import continue_subject
from bgmv2.report import Inspector, Observation
from bgmv2.resample import enlarged
from bgmv2.stream import Prefetch
from bgmv2.types import Frame, FrameSource, Matte, Plate, StrPath, VideoInfo
from bgmv2.video.open import is_rereadable, open_source

if TYPE_CHECKING:
    from typing_extensions import Self

# So many frames in a row without the plate are another scene.
_LOST = 12
# Less alpha than this on average is nobody: less than the plate doctor takes for nobody, which also sees differences.
_NOBODY = 0.0005


@dataclass(frozen=True)
class Order:
    """What a conversion was asked for, and how the clip is."""

    clip: StrPath
    plate: Plate
    backdrop: StrPath
    composite: CompositeConfig
    read: ReadConfig
    align: AlignMode
    update: UpdateMode
    roles: tuple[str, ...]
    info: VideoInfo


class State(NamedTuple):
    """What a pass has learned so far, where the run can be gone on with.

    Args:
        aligner: of `Aligner.state`; goes through JSON.
        tensors: what the lab remembers.
    """

    aligner: dict[str, Any]
    tensors: dict[str, torch.Tensor]


class Developed(NamedTuple):
    """A frame with all that was made of it.

    Args:
        frame: as it was read.
        pictures: by role.
        observation: for the recorder; None if nobody asked.
        state: what was known after this frame, where the run can be gone on with behind it; else None.
    """

    frame: Frame
    pictures: dict[str, np.ndarray]
    observation: Observation | None
    state: State | None


class Pass:
    """One way through the clip, from a mark on: iterates what is developed, each stage in a thread of its own.

    Args:
        order: what was asked for.
        matter: the network.
        mark: how far an earlier pass has come.
        tensors: what its lab remembered there.
        source: the clip, from its beginning.
        every: so many frames apart, the state is told.
        inspects: each frame is measured.
        finer: a network for those frames that lie in some spans.
        governor: holds a rate; None takes the time that it takes.
    """

    def __init__(
        self,
        order: Order,
        matter: Matter,
        mark: Mark,
        tensors: Mapping[str, torch.Tensor],
        source: FrameSource,
        *,
        every: int | None = None,
        inspects: bool,
        finer: tuple[Matter, Sequence[range]] | None = None,
        governor: Governor | None = None,
    ):
        info, masks = order.info, masks_of(order.composite)
        self._governor = governor
        self._every, self._finer, self._done, self._plate = every, finer, mark.frames, order.plate
        self.aligner = Aligner(order.plate, mode=order.align, size=(info.height, info.width))
        self._lost = _Lost(beginning=float(info.start or 0) - (order.read.start or 0.0))
        with ExitStack() as stack:
            size = {"width": info.width, "height": info.height}
            behind, opened = open_layers(stack, order.backdrop, masks, order.composite, rate=info.rate, **size)
            beginning = _beginning(order.clip, info, order.read, opened)
            self._lab = Lab(matter, order.plate, behind, order.roles, order.composite, opened, beginning=beginning)
            self._lab.keeper = keeper_for(
                self._lab.plate, (info.height, info.width), align=order.align, update=order.update
            )
            if inspects:
                self._lab.inspector = Inspector(frames=mark.frames)
            if mark.frames:
                self.aligner.restore(mark.aligner)
                self._lab.start = mark.start
                self._lab.restore(tensors)
                if not mark.whole:
                    source.skip(mark.frames)
            # Nothing is left to do of what is whole.
            self._frames = stack.enter_context(Prefetch(() if mark.whole else source, depth=4))
            self._aligned = stack.enter_context(Prefetch(self._align(self._frames)))
            self._developed = stack.enter_context(Prefetch(self._develop(self._aligned)))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[Developed]:
        return self._developed

    @property
    def start(self) -> float:
        """When the clip's first frame is shown, in seconds."""
        return self._lab.start

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of work in each stage so far."""
        return {"decode": self._frames.busy, "align": self._aligned.busy, "matte": self._developed.busy}

    @property
    def found_somebody(self) -> bool:
        """Whether any frame of this pass shows a subject."""
        return self._lab.found_somebody

    def state(self) -> State:
        """What is known once all frames have come out."""
        return State(self.aligner.state(), self._lab.state())

    def _align(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Alignment, dict[str, Any] | None]]:
        for number, frame in enumerate(frames, start=self._done + 1):
            alignment = self.aligner.align(frame.pixels)
            if number == 1 and self._finer is None:
                warn_of_plate(self._plate, frame, alignment)
            elif self._finer is None:
                self._lost.warn(self._plate, frame, alignment)
            is_last = self._every is not None and number % self._every == 0
            yield frame, alignment, self.aligner.state() if is_last else None

    def _develop(self, aligned: Iterable[tuple[Frame, Alignment, dict[str, Any] | None]]) -> Iterator[Developed]:
        for number, (frame, alignment, state) in enumerate(aligned, start=self._done):
            if self._finer is not None:
                finer, spans = self._finer
                self._lab.finer = finer if any(number in span for span in spans) else None
            begun = time.perf_counter()
            pictures, observation = self._lab(frame, alignment)
            if self._governor is not None:
                self._lab.matter.spend(self._governor.step(time.perf_counter() - begun))
            told = None if state is None else State(state, self._lab.state())
            yield Developed(frame, pictures, observation, told)


class _Lost:
    """Tells where a clip goes on with another scene than the plate's, once that has lasted.

    Args:
        beginning: of the whole clip, in seconds.
    """

    def __init__(self, *, beginning: float):
        self._beginning = beginning
        self._was_found = False
        self._run = 0
        self._since = 0.0

    def warn(self, plate: Plate, frame: Frame, alignment: Alignment) -> None:
        """Look at the next frame."""
        if alignment.status != "held":
            self._was_found, self._run = True, 0
            return
        self._since = frame.seconds if self._run == 0 else self._since
        self._run += 1
        if self._run != _LOST or not self._was_found:
            return
        if is_blank(frame.pixels) or shows_scene(plate, frame.pixels, alignment):
            return
        at = self._since - self._beginning
        warnings.warn(
            f"from {at:.2f} s on the clip shows another scene than the plate: matte each by itself with its own plate, "
            f"with --end {at:.2f} and --start {at:.2f}",
            Bgmv2Warning,
            stacklevel=2,
        )


class _View(NamedTuple):
    """A frame on the device, and what belongs to it.

    Args:
        src: ``(1, 3, H, W)`` frame, 0..1.
        bgr: ``(1, 3, H, W)`` plate as it stands in the frame, in its light, 0..1.
        covered: ``(1, 1, H, W)``, 1 where the plate has pixels.
        seen: ``(1, 1, H, W)`` alpha that the network saw.
        alignment: of the plate to the frame.
        seconds: since the first frame.
    """

    src: torch.Tensor
    bgr: torch.Tensor
    covered: torch.Tensor
    seen: torch.Tensor
    alignment: Alignment
    seconds: float


# Takes a matte, its frame, the plate as it stands there, and its alignment; returns the matte that is gone on with.
Retouch = Callable[[Matte, torch.Tensor, torch.Tensor, Alignment], Matte]


class Lab:
    """Develops frames: uploads, warps the plate, mattes, composes, and brings what was ordered back as integers."""

    def __init__(
        self,
        matter: Matter,
        plate: Plate,
        backdrop: Backdrop,
        roles: tuple[str, ...],
        composite: CompositeConfig,
        masks: Mapping[str, Mask],
        *,
        beginning: float | None = None,
    ):
        self.matter = matter
        self.plate = plate.to(matter.device)
        self.backdrop = backdrop
        self.roles = roles
        self.composite = composite
        self.masks = masks
        self.beginning = beginning
        self.start = math.nan  # of the clip, in seconds; unknown before its first frame
        self.inspector: Inspector | None = None
        self.keeper: Keeper | None = None
        self.retouch: Retouch | None = None
        self.finer: Matter | None = None  # a network that has the last word
        self._most = torch.zeros((), device=matter.device)

    @property
    def found_somebody(self) -> bool:
        """Whether any frame so far shows a subject."""
        return float(self._most) > _NOBODY

    def state(self) -> dict[str, torch.Tensor]:
        """Return what is remembered of the frames so far, copied to the CPU: the next frame changes it in place."""
        parts = {"keeper": self.keeper, "inspector": self.inspector}
        states = {name: part.state() for name, part in parts.items() if part is not None}
        return {
            f"{part}/{name}": tensor.to("cpu", copy=True)
            for part, state in states.items()
            for name, tensor in state.items()
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Remember what another lab did when it returned `state`."""
        for name, part in (("keeper", self.keeper), ("inspector", self.inspector)):
            if part is not None:
                part.restore({key.partition("/")[2]: x for key, x in state.items() if key.startswith(f"{name}/")})

    @torch.inference_mode()
    def __call__(self, frame: Frame, alignment: Alignment) -> tuple[dict[str, np.ndarray], Observation | None]:
        """Return the pictures by their roles, and what the inspector saw.

        Raises:
            DeviceError: the device has too little memory.
        """
        height, width = frame.pixels.shape[:2]
        with told_of_memory(self.matter.device, f"{width}x{height}"):
            return self._developed(frame, alignment)

    def _developed(self, frame: Frame, alignment: Alignment) -> tuple[dict[str, np.ndarray], Observation | None]:
        # A clip need not begin at zero, but its backdrop begins with it.
        self.start = frame.seconds if math.isnan(self.start) else self.start
        matte, view = self._matte(frame, alignment)
        to_integers = compose.to_uint16 if frame.pixels.dtype == np.uint16 else compose.to_uint8
        observation = None
        if self.inspector is not None:
            observation = self.inspector(view.src, matte, alignment, view.seconds, view.covered)
        light = self._light(matte, view) if self._shades else None
        # All before the first is waited for; and pixel by pixel, as encoders take them, before they leave the device.
        pictures = (self._picture(role, matte, view, light).squeeze(-1) for role in self.roles)
        whole = [to_integers(picture).contiguous() for picture in pictures]
        return dict(zip(self.roles, (x.cpu().numpy() for x in whole), strict=True)), observation

    def _matte(self, frame: Frame, alignment: Alignment) -> tuple[Matte, _View]:
        src = compose.from_integers(frame.pixels, device=self.matter.device)[None]
        seen, bgr, covered = matte_against(
            self.matter, src, self.plate, alignment, keeper=self.keeper, finer=self.finer
        )
        if self.retouch is not None:
            seen = self.retouch(seen, src, bgr, alignment)
        self._most = torch.maximum(self._most, seen.pha.mean())  # on the device, which need not be waited for
        view = _View(src, bgr, covered, seen.pha, alignment, frame.seconds - self.start)
        beginning = self.start if self.beginning is None else self.beginning
        return self._overruled(seen, view, frame.seconds - beginning), view

    def _overruled(self, matte: Matte, view: _View, seconds: float) -> Matte:
        """Take the plate's light out of the foreground, and obey a person's mattes, which go by the clip's time."""
        pha, fgr = matte.pha, matte.fgr
        if self.composite.despill:
            fgr = compose.despill(fgr, pha, view.src, view.bgr, strength=self.composite.despill)
        if self.masks:
            masks = {name: mask.at(seconds, view.src) for name, mask in self.masks.items()}
            pha, fgr = compose.overrule(pha, fgr, view.src, **masks)
        return matte._replace(pha=pha, fgr=fgr)

    def _picture(self, role: str, matte: Matte, view: _View, light: torch.Tensor | None) -> torch.Tensor:
        """One deliverable, ``(H, W, C)`` in 0..1; `light` is what the subject's shadow leaves, if anybody needs it."""
        size = matte.pha.shape[2:]
        if role == "com":
            backdrop = self.backdrop.at(view.seconds, view.bgr)
            if light is not None:
                backdrop = backdrop * (1 - self.composite.keep_shadow * (1 - light))
            picture = compose.over(matte.fgr, matte.pha, backdrop, blend=self.composite.blend)
        elif role == "rgba":
            picture = torch.cat([matte.fgr, matte.pha], dim=1)
        elif role == "err":
            picture = enlarged(matte.err, *size)
        elif role == "shadow":
            assert light is not None
            # In three channels, because it is light, which EXR stores linearly, and no data as alpha is.
            picture = light.expand(-1, 3, -1, -1)
        elif role == "ref":
            picture = matte.ref.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, : size[0], : size[1]]
        else:
            picture = getattr(matte, role)
        return picture[0].permute(1, 2, 0)

    @property
    def _shades(self) -> bool:
        """Whether anybody needs the subject's shadow."""
        return "shadow" in self.roles or ("com" in self.roles and self.composite.keep_shadow > 0)

    def _light(self, matte: Matte, view: _View) -> torch.Tensor:
        """What the subject's shadow leaves of the light, ``(1, 1, H, W)``."""
        # What the network saw and a garbage matte removed casts no shadow, but is none either.
        hidden = torch.maximum(view.seen, matte.pha)
        # A shadow that stays for long is light that has changed, to the network; but not to whoever asks for shadows.
        bgr = view.bgr if self.keeper is None else self.keeper.place(view.alignment, drifted=False)[0]
        return compose.shade(view.src, bgr, hidden, covered=view.covered)


@torch.inference_mode()
def matte_against(
    matter: Matter,
    src: torch.Tensor,
    plate: Plate,
    alignment: Alignment,
    *,
    keeper: Keeper | None = None,
    finer: Matter | None = None,
) -> tuple[Matte, torch.Tensor, torch.Tensor]:
    """Bring the plate to a frame and matte it; what the plate never saw is subject only as far as it continues one.

    Args:
        matter: the network.
        src: ``(1, 3, H, W)`` frame, 0..1.
        plate: on the network's device; it may be larger than the frame.
        alignment: of the plate to this frame.
        keeper: of that plate; learns from the frame. None if pictures have nothing to do with each other.
        finer: a network that answers in the place of the first, from which the keeper learns all the same: so a frame
            that is matted again leaves the frames behind it as they were.

    Returns:
        The matte; the plate as it stands in the frame, in its light, ``(1, 3, H, W)``; ``(1, 1, H, W)``, 1 where that
        shows the scene.
    """
    size = (src.shape[2], src.shape[3])
    is_partial = plate.seen is not None or alignment.moves or size != tuple(plate.bgr.shape[1:])

    def ask(network: Matter) -> Matte:
        matte = network.matte(src, plate=bgr)
        return matte._replace(pha=continue_subject(matte.pha, covered)) if is_partial else matte

    if keeper is None:
        bgr, covered = place_plate_and_cover(plate.bgr[None], alignment, plate.seen, size)
        return ask(finer or matter), bgr, covered
    bgr, covered = keeper.place(alignment)
    matte = ask(matter)
    keeper.learn(src, matte.pha, bgr, covered, alignment)
    return matte if finer is None else ask(finer), bgr, covered


def masks_of(composite: CompositeConfig, *, picture: Path | None = None) -> dict[str, Path]:
    """The mattes that were given, or those of one picture of many, by their names."""
    given = {"garbage": composite.garbage, "holdout": composite.holdout}
    paths = {name: Path(path) for name, path in given.items() if path is not None}
    return paths if picture is None else {name: mask_for(picture, path) for name, path in paths.items()}


def open_layers(
    stack: ExitStack,
    backdrop: StrPath,
    masks: Mapping[str, StrPath],
    composite: CompositeConfig,
    *,
    width: int,
    height: int,
    rate: Fraction | None = None,
) -> tuple[Backdrop, dict[str, Mask]]:
    """Open the backdrop and the mattes, to be closed with the stack."""
    behind = open_backdrop(os.fspath(backdrop), width=width, height=height, rate=rate, composite=composite)
    stack.enter_context(closing(behind))
    return behind, {
        name: stack.enter_context(closing(open_mask(path, width=width, height=height, rate=rate)))
        for name, path in masks.items()
    }


def _beginning(clip: StrPath, info: VideoInfo, read: ReadConfig, masks: Mapping[str, Mask]) -> float | None:
    """When the clip of which a part is taken begins by its own clock; None where the first frame will tell.

    A matte is drawn for the whole clip, so a part of the clip needs that part of the matte.
    """
    if not masks or read.start is None or info.start is None:
        return None
    if not is_rereadable(clip):
        return float(info.start) - read.start
    with closing(open_source(clip, replace(read, start=None, end=None))) as whole:
        return next(iter(whole)).seconds


def warn_of_plate(plate: Plate, frame: Frame, alignment: Alignment) -> None:
    """Say if the plate does not seem to belong to the clip, told by its first frame."""
    warning = check_plate(plate, frame.pixels, alignment)
    if warning is not None:
        warnings.warn(warning, Bgmv2Warning, stacklevel=2)
