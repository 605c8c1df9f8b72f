"""From files to files: `convert` for clips, `convert_images` for pictures. Each reads top to bottom as one loop."""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from bgmv2 import compose
from bgmv2.backdrop import Backdrop, open_backdrop
from bgmv2.config import CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.errors import Bgmv2Warning, OutputError, VideoError
from bgmv2.masks import Mask, mask_for, open_mask
from bgmv2.matter import Matter
from bgmv2.nn.patches import PATCH
from bgmv2.plate.align import Aligner, Alignment, place_plate_and_cover
from bgmv2.plate.check import check_plate
from bgmv2.plate.sources import load_plate
from bgmv2.stream import Prefetch
from bgmv2.types import Frame, Matte, Plate, VideoInfo
from bgmv2.video import images
from bgmv2.video.carry import Origin
from bgmv2.video.formats import CONTAINERS
from bgmv2.video.images import check_image, list_images, read_image, write_image
from bgmv2.video.open import Result, holds_layers, is_sequence, open_sinks, open_source
from bgmv2.video.probe import is_file, shown
from bgmv2.video.sequence import Pattern, find_sequence, is_pattern
from bgmv2.video.sink import check_folder

T = TypeVar("T")
StrPath = str | PathLike[str]
DEFAULT_BACKDROP = "green"
WITH_SOUND = ("com", "fgr", "rgba")  # what is watched; alpha, error and patches are data
# What the results are called inside of EXR pictures.
LAYERS = {
    "com": "composite",
    "pha": "alpha",
    "fgr": "foreground",
    "rgba": "subject",
    "err": "error",
    "ref": "refined",
}


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Args:
        frames: written to each result.
        seconds: of wall time, from the first frame on.
        stages: seconds of work in each stage; they overlap.
        alignment: how the plate was matched to the camera, in a sentence.
    """

    frames: int
    seconds: float
    stages: Mapping[str, float]
    alignment: str

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        rate = self.frames / max(self.seconds, 1e-9)
        return f"{self.frames} frames in {self.seconds:.1f} s ({rate:.1f} a second; {stages})\n{self.alignment}"


def convert(
    clip: StrPath,
    *,
    plate: StrPath,
    com: StrPath | None = None,
    pha: StrPath | None = None,
    fgr: StrPath | None = None,
    rgba: StrPath | None = None,
    err: StrPath | None = None,
    ref: StrPath | None = None,
    backdrop: StrPath = DEFAULT_BACKDROP,
    composite: CompositeConfig = CompositeConfig(),
    read: ReadConfig = ReadConfig(),
    run: RunConfig = RunConfig(),
    encode: EncodeConfig = EncodeConfig(),
    matter: Matter | None = None,
    progress: bool = False,
) -> Report:
    """Matte a clip and write every result that is named, in one pass.

    Args:
        clip: the video of the subject, as `bgmv2.video.open_source` takes it.
        plate: a picture of the clean background, filmed without the subject.
        com: subject over the backdrop.
        pha: alpha, grey.
        fgr: the subject's own colours, without the old background's light at its edges; straight, for use with `pha`.
        rgba: both in one, straight unless `encode` says otherwise; `bgmv2.video.formats` lists what holds it.
        err: the error the base network expected.
        ref: the patches that were refined.
        backdrop: what goes behind the subject in `com`, as `bgmv2.backdrop.open_backdrop` takes it: a colour, a
            picture, a video, or `blur`.
        composite: how the backdrop is shown, the subject's shadow, and mattes that overrule alpha in all results.
        read: which part of the clip is taken, and what it does not say itself.
        run: device, precision, alignment and the network's settings.
        encode: quality, and whether earlier results may be replaced.
        matter: a network that is loaded already; then only `run.align` counts.
        progress: show a progress bar on stderr, if that is a terminal.

    Raises:
        Bgmv2Error: in one line, what is wrong and what to do. Nothing half-written stays.
    """
    outputs = _chosen(com=com, pha=pha, fgr=fgr, rgba=rgba, err=err, ref=ref)
    first = find_sequence(clip)[0] if is_sequence(clip) else clip
    _keep_inputs(outputs.values(), clip, first, plate, backdrop, *_masks(composite).values())
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(clip, read)))
        info = source.info
        _check_blend(clip, info, composite)
        clean = load_plate(plate, info.width, info.height)
        behind, masks = _open_layers(
            stack, backdrop, _masks(composite), composite, width=info.width, height=info.height, rate=info.rate
        )
        results = {
            role: Result(path, alpha=role == "rgba", layer=LAYERS[role], origin=_origin(clip, role, read))
            for role, path in outputs.items()
        }
        sinks = {role: stack.enter_context(sink) for role, sink in open_sinks(results, info, encode=encode)}
        matter = matter or Matter.from_config(run)
        aligner = Aligner(clean, mode=run.align)
        beginning = _beginning(clip, info, read, masks)
        lab = _Lab(matter, clean, behind, tuple(outputs), composite, masks, beginning=beginning)

        start = time.perf_counter()
        frames = stack.enter_context(Prefetch(source, depth=4))
        aligned = stack.enter_context(Prefetch(_align(frames, aligner, clean)))
        developed = stack.enter_context(Prefetch(_develop(aligned, lab)))
        count = 0
        encoding = 0.0
        for frame, pictures in stack.enter_context(_bar(developed, progress, unit="frame", total=info.frames)):
            begun = time.perf_counter()
            for role, sink in sinks.items():
                sink.write(Frame(pictures[role], frame.pts, frame.time_base))
            encoding += time.perf_counter() - begun
            count += 1
        stages = {"decode": frames.busy, "align": aligned.busy, "matte": developed.busy, "encode": encoding}
    return Report(count, time.perf_counter() - start, stages, str(aligner.report))


def convert_images(
    src: StrPath,
    *,
    plate: StrPath,
    com: StrPath | None = None,
    pha: StrPath | None = None,
    fgr: StrPath | None = None,
    rgba: StrPath | None = None,
    err: StrPath | None = None,
    ref: StrPath | None = None,
    backdrop: StrPath = DEFAULT_BACKDROP,
    composite: CompositeConfig = CompositeConfig(),
    run: RunConfig = RunConfig(),
    overwrite: bool = False,
    matter: Matter | None = None,
    progress: bool = False,
) -> list[Path]:
    """Matte one picture, or every picture of a folder; all arguments as in `convert`.

    A folder's results are folders too, made where they are missing, with the pictures' own names and the suffix .png.
    A garbage or holdout matte that is a folder holds one of the same name for each picture.

    Returns:
        What was written.

    Raises:
        Bgmv2Error: in one line, what is wrong and what to do.
    """
    outputs = _chosen(com=com, pha=pha, fgr=fgr, rgba=rgba, err=err, ref=ref)
    jobs = _picture_jobs(Path(src), outputs, overwrite=overwrite)
    overruled = [_masks(composite, picture=path) for path, _ in jobs]
    for (path, targets), given in zip(jobs, overruled, strict=True):
        _keep_inputs(targets.values(), path, plate, backdrop, *given.values())
    matter = matter or Matter.from_config(run)
    plates: dict[tuple[int, int], Plate] = {}
    written = []
    with _bar(list(zip(jobs, overruled, strict=True)), progress, unit="picture") as bar:
        for (path, targets), given in bar:
            frame = Frame(read_image(path))
            height, width = frame.pixels.shape[:2]
            if (height, width) not in plates:
                plates = {(height, width): load_plate(plate, width, height)}
            clean = plates[height, width]
            alignment = Aligner(clean, mode=run.align).align(frame.pixels)
            _warn_of_plate(clean, frame, alignment)
            with ExitStack() as stack:
                behind, masks = _open_layers(stack, backdrop, given, composite, width=width, height=height)
                pictures = _Lab(matter, clean, behind, tuple(outputs), composite, masks)(frame, alignment)
            for role, target in targets.items():
                target.parent.mkdir(exist_ok=True)
                write_image(target, pictures[role], overwrite=overwrite)
                written.append(target)
    return written


def _check_blend(clip: StrPath, info: VideoInfo, composite: CompositeConfig) -> None:
    """Refuse to take HDR's code values for those of sRGB.

    Raises:
        VideoError: light should be mixed, but the clip is in PQ or HLG.
    """
    if composite.blend == "linear" and info.color.transfer in (16, 18):  # ITU-T H.273
        raise VideoError(f"{shown(clip)} is HDR (PQ or HLG), of which light cannot be mixed: take --blend video")


def _masks(composite: CompositeConfig, *, picture: Path | None = None) -> dict[str, Path]:
    """The mattes that were given, or those of one picture of many, by their names."""
    given = {"garbage": composite.garbage, "holdout": composite.holdout}
    paths = {name: Path(path) for name, path in given.items() if path is not None}
    return paths if picture is None else {name: mask_for(picture, path) for name, path in paths.items()}


def _open_layers(
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
    if not (is_file(clip) or is_sequence(clip)):
        return float(info.start) - read.start
    with closing(open_source(clip, replace(read, start=None, end=None))) as whole:
        return next(iter(whole)).seconds


class _View(NamedTuple):
    """A frame on the device, and what belongs to it.

    Args:
        src: ``(1, 3, H, W)`` frame, 0..1.
        bgr: ``(1, 3, H, W)`` plate as it stands in the frame, in its light, 0..1.
        covered: ``(1, 1, H, W)``, 1 where the plate has pixels.
        seen: ``(1, 1, H, W)`` alpha that the network saw.
        seconds: since the first frame.
    """

    src: torch.Tensor
    bgr: torch.Tensor
    covered: torch.Tensor
    seen: torch.Tensor
    seconds: float


class _Lab:
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
        self.bgr = plate.bgr[None].to(matter.device)
        self.backdrop = backdrop
        self.roles = roles
        self.composite = composite
        self.masks = masks
        self.beginning = beginning
        self.start: float | None = None

    @torch.inference_mode()
    def __call__(self, frame: Frame, alignment: Alignment) -> dict[str, np.ndarray]:
        bgr, covered = place_plate_and_cover(self.bgr, alignment)
        src = compose.from_integers(frame.pixels, device=self.matter.device)[None]
        seen = self.matter.matte(src, plate=bgr)
        to_integers = compose.to_uint16 if frame.pixels.dtype == np.uint16 else compose.to_uint8
        # A clip need not begin at zero, but its backdrop begins with it.
        self.start = frame.seconds if self.start is None else self.start
        view = _View(src, bgr, covered, seen.pha, frame.seconds - self.start)
        matte = self._overruled(seen, view, frame.seconds - (self.start if self.beginning is None else self.beginning))
        return {role: to_integers(self._picture(role, matte, view)).squeeze(-1).cpu().numpy() for role in self.roles}

    def _overruled(self, matte: Matte, view: _View, seconds: float) -> Matte:
        """Take the plate's light out of the foreground, and obey a person's mattes, which go by the clip's time."""
        pha, fgr = matte.pha, matte.fgr
        if self.composite.despill:
            fgr = compose.despill(fgr, pha, view.src, view.bgr, strength=self.composite.despill)
        if self.masks:
            masks = {name: mask.at(seconds, view.src) for name, mask in self.masks.items()}
            pha, fgr = compose.overrule(pha, fgr, view.src, **masks)
        return matte._replace(pha=pha, fgr=fgr)

    def _picture(self, role: str, matte: Matte, view: _View) -> torch.Tensor:
        """One deliverable, ``(H, W, C)`` in 0..1."""
        size = matte.pha.shape[2:]
        if role == "com":
            picture = compose.over(matte.fgr, matte.pha, self._behind(matte, view), blend=self.composite.blend)
        elif role == "rgba":
            picture = torch.cat([matte.fgr, matte.pha], dim=1)
        elif role == "err":
            picture = F.interpolate(matte.err, size=size, mode="bilinear", align_corners=False)
        elif role == "ref":
            picture = matte.ref.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, : size[0], : size[1]]
        else:
            picture = getattr(matte, role)
        return picture[0].permute(1, 2, 0)

    def _behind(self, matte: Matte, view: _View) -> torch.Tensor:
        """The backdrop, in the subject's shadow if that is wanted."""
        backdrop = self.backdrop.at(view.seconds, view.bgr)
        if not self.composite.keep_shadow:
            return backdrop
        # What the network saw and a garbage matte removed casts no shadow, but is none either.
        hidden = torch.maximum(view.seen, matte.pha)
        light = compose.shade(view.src, view.bgr, hidden, covered=view.covered)
        return backdrop * (1 - self.composite.keep_shadow * (1 - light))


def _align(frames: Iterator[Frame], aligner: Aligner, plate: Plate) -> Iterator[tuple[Frame, Alignment]]:
    first = True
    for frame in frames:
        alignment = aligner.align(frame.pixels)
        if first:
            _warn_of_plate(plate, frame, alignment)
            first = False
        yield frame, alignment


def _develop(aligned: Iterator[tuple[Frame, Alignment]], lab: _Lab) -> Iterator[tuple[Frame, dict[str, np.ndarray]]]:
    for frame, alignment in aligned:
        yield frame, lab(frame, alignment)


def _warn_of_plate(plate: Plate, frame: Frame, alignment: Alignment) -> None:
    warning = check_plate(plate, frame.pixels, alignment)
    if warning is not None:
        warnings.warn(warning, Bgmv2Warning, stacklevel=2)


def _bar(
    items: Iterable[T], progress: bool, *, unit: str, total: int | None = None
) -> AbstractContextManager[Iterable[T]]:
    # Even a bar that is not shown would start a thread.
    if progress and sys.stderr.isatty():
        return tqdm(items, total=total, unit=unit, leave=False)
    return nullcontext(items)


def _chosen(**outputs: StrPath | None) -> dict[str, StrPath]:
    """What was ordered.

    Raises:
        OutputError: nothing, the same name twice, or one result inside of another.
    """
    chosen = {role: path for role, path in outputs.items() if path is not None}
    if not chosen:
        raise OutputError(f"there is nothing to write: name at least one of {', '.join(outputs)}")
    seen: dict[Path, str] = {}
    for role, path in chosen.items():
        other = seen.setdefault(Path(path).resolve(), role)
        if other != role and not holds_layers(path):
            raise OutputError(f"{other} and {role} would both be written to {path}: give each a name of its own")
    for inner, folder in itertools.permutations(seen, 2):
        if folder in inner.parents:
            raise OutputError(f"{seen[inner]} would be written into the folder of {seen[folder]}: put it elsewhere")
    return chosen


def _origin(clip: StrPath, role: str, read: ReadConfig) -> Origin | None:
    """Say what of the clip is carried over into a result; what can be read only once has no more to give."""
    if not is_file(clip):
        return None
    return Origin(Path(clip), tracks=role in WITH_SOUND, ends_with_film=read.frames is not None)


def _keep_inputs(outputs: Iterable[StrPath], *inputs: StrPath) -> None:
    """Refuse to replace what is read, or a folder that holds it, whatever else may be overwritten.

    Raises:
        OutputError: names the two.
    """
    numbered = [Pattern.of(Path(given)).found() for given in inputs if is_pattern(given)]
    firsts = [min(found.items())[1] for found in numbered if found]
    for output, given in itertools.product(map(Path, outputs), map(Path, filter(os.path.exists, (*inputs, *firsts)))):
        if output.exists():
            is_read = output.samefile(given) or output.resolve() in given.resolve().parents
        else:
            is_read = is_pattern(output) and Pattern.of(output).holds(given)
        if is_read:
            raise OutputError(f"{given} is read, so {output} cannot be written over it: choose another name")


def _picture_jobs(src: Path, outputs: Mapping[str, StrPath], *, overwrite: bool) -> list[tuple[Path, dict[str, Path]]]:
    """Each picture with what is to be written of it; refuses now what could not be written later.

    Raises:
        VideoError: there is no picture.
        OutputError: a result cannot be written, or two pictures would share one.
    """
    if not src.is_dir():
        targets = {role: Path(path) for role, path in outputs.items()}
        for role, target in targets.items():
            check_image(target, alpha=role == "rgba", overwrite=overwrite)
        return [(src, targets)]
    pictures = list_images(src)
    folders = {role: Path(path) for role, path in outputs.items()}
    for folder in folders.values():
        _check_picture_folder(folder, src)
    stems = {picture.stem: picture for picture in pictures}
    for picture in pictures:
        if stems[picture.stem] != picture:
            raise OutputError(f"{picture} and {stems[picture.stem]} would get one result: rename one of them")
    jobs = [
        (picture, {role: folder / f"{picture.stem}.png" for role, folder in folders.items()}) for picture in pictures
    ]
    for _, targets in jobs:
        for target in targets.values():
            if target.parent.exists():
                check_image(target, overwrite=overwrite)
    return jobs


def _check_picture_folder(folder: Path, src: Path) -> None:
    """Say now that results cannot go into a folder; it need not be there yet.

    Raises:
        OutputError: it cannot be made, is a file, or is where the pictures come from.
    """
    check_folder(folder)
    if folder.is_dir() and folder.samefile(src):
        raise OutputError(f"{src} is read, so results need another folder: name one that is new or empty")
    is_named_like_a_file = folder.suffix.lower() in (*images.SUFFIXES, *CONTAINERS)
    if folder.is_file() or (is_named_like_a_file and not folder.is_dir()):
        raise OutputError(f"{src} is a folder, so its results go into a folder, too, but {folder} names a file")
