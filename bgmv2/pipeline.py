"""From files to files: `convert` for clips, `convert_images` for pictures. Each reads top to bottom as one loop."""

from __future__ import annotations

import itertools
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from bgmv2 import __version__, compose
from bgmv2.backdrop import Backdrop, open_backdrop
from bgmv2.config import AlignMode, CheckConfig, CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.errors import Bgmv2Warning, OutputError, VideoError
from bgmv2.job import Job, Mark, name_of
from bgmv2.masks import Mask, mask_for, open_mask
from bgmv2.matter import Matter, scale_for
from bgmv2.nn.patches import PATCH
from bgmv2.plate.align import Aligner, Alignment, place_plate_and_cover
from bgmv2.plate.check import check_plate
from bgmv2.plate.sources import load_plate
from bgmv2.progress import Pace, Progress
from bgmv2.report import Inspector, Observation, Recorder, better, check_report
from bgmv2.stream import Prefetch
from bgmv2.types import Frame, FrameSource, Matte, Plate, VideoInfo
from bgmv2.verify import verify
from bgmv2.video import images
from bgmv2.video.carry import Origin
from bgmv2.video.formats import CONTAINERS, RAW
from bgmv2.video.images import check_image, list_images, read_image, write_image
from bgmv2.video.open import Result, holds_layers, is_sequence, open_sinks, open_source
from bgmv2.video.probe import is_file, shown
from bgmv2.video.sequence import Pattern, find_sequence, is_pattern
from bgmv2.video.sink import Sink, check_folder

if TYPE_CHECKING:
    from typing_extensions import Self

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
        frames: of each result.
        seconds: of wall time, from the first frame on.
        stages: seconds of work in each stage; they overlap.
        alignment: how the plate was matched to the camera, in a sentence.
        resumed: frames that an earlier run had finished.
        repaired: frames that were matted again.
        differences: from the clip, in a line each, that were found where verifying was asked for.
    """

    frames: int
    seconds: float
    stages: Mapping[str, float]
    alignment: str
    resumed: int = 0
    repaired: int = 0
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        rate = (self.frames - self.resumed) / max(self.seconds, 1e-9)
        earlier = f", {self.resumed} of them earlier" if self.resumed else ""
        again = f", {self.repaired} of them twice" if self.repaired else ""
        what = f"{self.frames} frames in {self.seconds:.1f} s{earlier}{again} ({rate:.1f} a second; {stages})"
        return "\n".join([what, self.alignment, *self.differences])


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
    check: CheckConfig = CheckConfig(),
    matter: Matter | None = None,
    watch: Callable[[Progress], None] | None = None,
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
        encode: quality, whether earlier results may be replaced, and whether an unfinished run is gone on with.
        check: how the results are looked over.
        matter: a network that is loaded already; then `run` counts only for alignment and repair.
        watch: is called with each frame that is done; what it raises ends the run.

    Raises:
        Bgmv2Error: in one line, what is wrong and what to do. No half-written result bears its name; what is finished
            is kept in a hidden folder, for a run with `encode.resume`.
    """
    outputs = _chosen(com=com, pha=pha, fgr=fgr, rgba=rgba, err=err, ref=ref)
    first = find_sequence(clip)[0] if is_sequence(clip) else clip
    _keep_inputs(outputs.values(), clip, first, plate, backdrop, *_masks(composite).values())
    _check_source(clip, outputs, encode, check)
    if check.report is not None:
        report = Path(check.report)
        _chosen(**outputs, report=report, **{"the pictures of the report": report.with_suffix("")})
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(clip, read)))
        info = source.info
        _check_blend(clip, info, composite)
        order = _Order(
            clip, load_plate(plate, info.width, info.height), backdrop, composite, read, run.align, tuple(outputs), info
        )
        matter = matter or Matter.from_config(run)
        job = None
        if _is_repeatable(clip, outputs):
            settings = _settings(order, plate, outputs, encode, check, matter)
            paths = [Path(path) for path in outputs.values()]
            job = stack.enter_context(Job(paths, settings, resume=encode.resume, overwrite=encode.overwrite))
        begin = job.marks[-1] if job is not None and job.marks else Mark(0)
        if check.report is not None:
            check_report(Path(check.report), overwrite=encode.overwrite or begin.whole)
        results = {
            role: Result(path, role == "rgba", LAYERS[role], _origin(clip, role, read), begin.sinks.get(role))
            for role, path in outputs.items()
        }
        sinks = {role: stack.enter_context(sink) for role, sink in open_sinks(results, info, encode=encode)}
        recorder = _open_recorder(stack, job, begin) if check.report is not None or check.repair else None
        forth = stack.enter_context(_Pass(order, matter, begin, source, every=encode.segment, inspects=bool(recorder)))

        pace = Pace(info.frames, done=begin.frames)
        mark, encoding = begin, 0.0
        start = time.perf_counter()
        for done, (frame, pictures, observation, state) in enumerate(() if begin.whole else forth, begin.frames + 1):
            begun = time.perf_counter()
            for role, sink in sinks.items():
                sink.write(Frame(pictures[role], frame.pts, frame.time_base))
            if recorder is not None and observation is not None:
                recorder.add(observation)
            if job is not None and state is not None:
                mark = job.mark(replace(_checkpoint(sinks, recorder), frames=done, aligner=state, start=forth.start))
            else:
                mark = replace(mark, frames=done)
            encoding += time.perf_counter() - begun
            if watch is not None:
                watch(pace.step({**forth.stages, "encode": encoding}))
        if job is not None and mark.frames and not begin.whole:
            if mark.frames > begin.frames:
                here = _checkpoint(sinks, recorder)
                mark = job.mark(replace(here, frames=mark.frames, aligner=forth.aligner.state(), start=forth.start))
            if recorder is not None and check.repair:
                mark = _repair(order, run, matter, job, sinks, recorder, every=encode.segment, watch=watch)
            job.mark(replace(mark, sinks={role: sink.finish() for role, sink in sinks.items()}, whole=True))
        if recorder is not None and check.report is not None:
            chosen: dict[str, Any] = {
                **{"composite": composite, "read": read, "run": run, "encode": encode, "check": check}
            }
            recorder.publish(
                Path(check.report),
                clip=shown(clip),
                settings={
                    **{"plate": str(plate), "backdrop": str(backdrop), "results": {**outputs}, "network": str(matter)},
                    **{name: asdict(config) for name, config in chosen.items()},
                },
                overwrite=encode.overwrite or begin.whole,
            )
    seconds = time.perf_counter() - start
    return Report(
        mark.frames,
        seconds,
        {**forth.stages, "encode": encoding},
        str(forth.aligner.report),
        resumed=begin.frames,
        repaired=mark.repaired_frames,
        differences=_verify(clip, outputs, read) if check.verify else (),
    )


def _repair(
    order: _Order,
    run: RunConfig,
    matter: Matter,
    job: Job,
    sinks: Mapping[str, Sink],
    recorder: Recorder,
    *,
    every: int,
    watch: Callable[[Progress], None] | None,
) -> Mark:
    """Matte bad spans again with more effort, and write the segments that hold them anew; return the last mark."""
    info, mark = order.info, job.marks[-1]
    finer_run = better(run, width=info.width, height=info.height)
    spans = recorder.bad_spans(rescaled=finer_run.scale != (run.scale or scale_for(info.height, info.width)))
    segments = sorted({frame // every for span in spans for frame in (*span[::every], span[-1])})
    if mark.repaired == len(segments):
        return mark
    finer = Matter.from_config(finer_run)
    ends = {segment: min((segment + 1) * every, recorder.frames) for segment in segments}
    pace = Pace(recorder.frames + sum(end - segment * every for segment, end in ends.items()), done=recorder.frames)
    for number, segment in enumerate(segments[mark.repaired :], mark.repaired + 1):
        first, end = segment * every, ends[segment]
        before = job.marks[segment - 1] if segment else Mark(0)
        for sink in sinks.values():
            sink.rewrite(segment, first)
        with ExitStack() as stack:
            source = stack.enter_context(closing(open_source(order.clip, order.read)))
            back = stack.enter_context(_Pass(order, matter, before, source, finer=(finer, spans), inspects=True))
            for done, (frame, pictures, observation, _) in enumerate(itertools.islice(back, end - first), first):
                for role, sink in sinks.items():
                    sink.write(Frame(pictures[role], frame.pts, frame.time_base))
                if observation is not None and any(done in span for span in spans):
                    recorder.replace(observation)
                if watch is not None:
                    watch(pace.step(back.stages))
        here = _checkpoint(sinks, recorder)
        mark = job.mark(replace(mark, sinks=here.sinks, repaired=number, repaired_frames=recorder.repaired))
    return mark


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
                pictures, _ = _Lab(matter, clean, behind, tuple(outputs), composite, masks)(frame, alignment)
            for role, target in targets.items():
                target.parent.mkdir(exist_ok=True)
                write_image(target, pictures[role], overwrite=overwrite)
                written.append(target)
    return written


def _is_repeatable(clip: StrPath, outputs: Mapping[str, StrPath]) -> bool:
    """Tell whether a run can be gone on with: the clip can be read again, and results can be taken up."""
    return (is_file(clip) or is_sequence(clip)) and RAW not in (os.fspath(path) for path in outputs.values())


def _check_source(clip: StrPath, outputs: Mapping[str, StrPath], encode: EncodeConfig, check: CheckConfig) -> None:
    """Refuse what needs a second look at what can be read or written only once.

    Raises:
        OutputError: names it.
    """
    if not _is_repeatable(clip, outputs):
        wanted = {"resume": encode.resume, "repair": check.repair, "verify": check.verify}
        for name in (name for name, is_wanted in wanted.items() if is_wanted):
            raise OutputError(
                f"--{name} needs a clip that can be read again and results that are files, but {shown(clip)} or a "
                f"result passes only once; save it first"
            )


def _settings(
    order: _Order,
    plate: StrPath,
    outputs: Mapping[str, StrPath],
    encode: EncodeConfig,
    check: CheckConfig,
    matter: Matter,
) -> dict[str, Any]:
    """Tell all that results depend on, by what a person calls it; files by their content."""
    contents = {"clip": order.clip, "plate": plate, "backdrop": order.backdrop, **_masks(order.composite)}
    plain = {**vars(order.composite), **vars(order.read), **vars(encode), "align": order.align, "repair": check.repair}
    for name in ("garbage", "holdout", "overwrite", "resume"):
        del plain[name]
    return {
        **plain,
        **{name: name_of(path) for name, path in contents.items()},
        "network": matter.fingerprint,
        "results": {role: Path(path).name for role, path in outputs.items()},
        "report": check.report is not None,
        "bgmv2": __version__,
    }


def _open_recorder(stack: ExitStack, job: Job | None, mark: Mark) -> Recorder:
    """Open what keeps the numbers of each frame, for as long as the run may be gone on with."""
    if job is None:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bgmv2-"))) / "report"
    else:
        folder = job.folder / "report"
    return stack.enter_context(Recorder(folder, frames=mark.frames, repaired=mark.repaired_frames))


def _checkpoint(sinks: Mapping[str, Sink], recorder: Recorder | None) -> Mark:
    """Bring to the disk what was written; return a mark with all that the sinks said."""
    if recorder is not None:
        recorder.flush()
    return Mark(0, {role: sink.checkpoint() for role, sink in sinks.items()})


def _verify(clip: StrPath, outputs: Mapping[str, StrPath], read: ReadConfig) -> tuple[str, ...]:
    """Compare each result with the clip; return what differs, in a line each."""
    found = {path: verify(clip, path, read=read, sound=role in WITH_SOUND) for role, path in outputs.items()}
    return tuple(f"{path}: {difference}" for path, one in found.items() for difference in one.differences)


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


@dataclass(frozen=True)
class _Order:
    """What a conversion was asked for, and how the clip is."""

    clip: StrPath
    plate: Plate
    backdrop: StrPath
    composite: CompositeConfig
    read: ReadConfig
    align: AlignMode
    roles: tuple[str, ...]
    info: VideoInfo


class _Developed(NamedTuple):
    """A frame with all that was made of it.

    Args:
        frame: as it was read.
        pictures: by role.
        observation: for the recorder; None if nobody asked.
        state: what the aligner knew after this frame, where the run can be gone on with behind it.
    """

    frame: Frame
    pictures: dict[str, np.ndarray]
    observation: Observation | None
    state: dict[str, Any] | None


class _Pass:
    """One way through the clip, from a mark on: iterates what is developed, each stage in a thread of its own.

    Args:
        order: what was asked for.
        matter: the network.
        mark: how far an earlier pass has come.
        source: the clip, from its beginning.
        every: so many frames apart, the aligner's state is told.
        inspects: each frame is measured.
        finer: a network for those frames that lie in some spans.
    """

    def __init__(
        self,
        order: _Order,
        matter: Matter,
        mark: Mark,
        source: FrameSource,
        *,
        every: int | None = None,
        inspects: bool,
        finer: tuple[Matter, Sequence[range]] | None = None,
    ):
        info, masks = order.info, _masks(order.composite)
        self._every, self._finer, self._done, self._plate = every, finer, mark.frames, order.plate
        self.aligner = Aligner(order.plate, mode=order.align)
        with ExitStack() as stack:
            size = {"width": info.width, "height": info.height}
            behind, opened = _open_layers(stack, order.backdrop, masks, order.composite, rate=info.rate, **size)
            beginning = _beginning(order.clip, info, order.read, opened)
            self._lab = _Lab(matter, order.plate, behind, order.roles, order.composite, opened, beginning=beginning)
            if inspects:
                self._lab.inspector = Inspector(frames=mark.frames)
            if mark.frames:
                self.aligner.restore(mark.aligner)
                self._lab.start = mark.start
                if not mark.whole:
                    self._catch_up(source, mark, is_measured=inspects)
            # Nothing is left to do of what is whole.
            self._frames = stack.enter_context(Prefetch(() if mark.whole else source, depth=4))
            self._aligned = stack.enter_context(Prefetch(self._align(self._frames)))
            self._developed = stack.enter_context(Prefetch(self._develop(self._aligned)))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[_Developed]:
        return self._developed

    @property
    def start(self) -> float:
        """When the clip's first frame is shown, in seconds."""
        return self._lab.start

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of work in each stage so far."""
        return {"decode": self._frames.busy, "align": self._aligned.busy, "matte": self._developed.busy}

    def _catch_up(self, source: FrameSource, mark: Mark, *, is_measured: bool) -> None:
        """Bring the source to the mark; flicker is measured against the frame before it."""
        source.skip(mark.frames - is_measured)
        if is_measured:
            self._lab.prime(next(iter(source)), self.aligner.last)

    def _align(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Alignment, dict[str, Any] | None]]:
        for number, frame in enumerate(frames, start=self._done + 1):
            alignment = self.aligner.align(frame.pixels)
            if number == 1 and self._finer is None:
                _warn_of_plate(self._plate, frame, alignment)
            is_last = self._every is not None and number % self._every == 0
            yield frame, alignment, self.aligner.state() if is_last else None

    def _develop(self, aligned: Iterable[tuple[Frame, Alignment, dict[str, Any] | None]]) -> Iterator[_Developed]:
        usual = self._lab.matter
        for number, (frame, alignment, state) in enumerate(aligned, start=self._done):
            if self._finer is not None:
                finer, spans = self._finer
                self._lab.matter = finer if any(number in span for span in spans) else usual
            pictures, observation = self._lab(frame, alignment)
            yield _Developed(frame, pictures, observation, state)


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
        self.start = math.nan  # of the clip, in seconds; unknown before its first frame
        self.inspector: Inspector | None = None

    @torch.inference_mode()
    def __call__(self, frame: Frame, alignment: Alignment) -> tuple[dict[str, np.ndarray], Observation | None]:
        """Return the pictures by their roles, and what the inspector saw."""
        # A clip need not begin at zero, but its backdrop begins with it.
        self.start = frame.seconds if math.isnan(self.start) else self.start
        matte, view = self._matte(frame, alignment)
        to_integers = compose.to_uint16 if frame.pixels.dtype == np.uint16 else compose.to_uint8
        observation = None
        if self.inspector is not None:
            observation = self.inspector(view.src, matte, alignment, view.seconds)
        pictures = (to_integers(self._picture(role, matte, view)) for role in self.roles)
        return dict(zip(self.roles, (x.squeeze(-1).cpu().numpy() for x in pictures), strict=True)), observation

    @torch.inference_mode()
    def prime(self, frame: Frame, alignment: Alignment) -> None:
        """Let the inspector see the frame before the next one."""
        assert self.inspector is not None
        matte, view = self._matte(frame, alignment)
        self.inspector.prime(view.src, matte)

    def _matte(self, frame: Frame, alignment: Alignment) -> tuple[Matte, _View]:
        bgr, covered = place_plate_and_cover(self.bgr, alignment)
        src = compose.from_integers(frame.pixels, device=self.matter.device)[None]
        seen = self.matter.matte(src, plate=bgr)
        view = _View(src, bgr, covered, seen.pha, frame.seconds - self.start)
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
