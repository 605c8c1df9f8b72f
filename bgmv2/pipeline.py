"""From files to files: `convert` for clips, `convert_images` for pictures. Each reads top to bottom as one loop."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from bgmv2 import __version__, fingerprint
from bgmv2.budget import Governor
from bgmv2.config import DEFAULT_BACKDROP, CheckConfig, CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.develop import Developed, Lab, Order, Pass, State, masks_of, open_layers, warn_of_plate
from bgmv2.doctor import Finding, glance
from bgmv2.errors import Bgmv2Warning, DamagedRunError, PlateError
from bgmv2.job import Job, Mark, name_of
from bgmv2.matter import Matter
from bgmv2.memory import Lid
from bgmv2.names import check_blend, check_repeatable, check_shadow, chosen, is_repeatable, keep_inputs, picture_jobs
from bgmv2.plate.align import Aligner
from bgmv2.plate.samples import check_twice_readable, most_frames
from bgmv2.plate.sources import load_plate, make_plate, plate_of, save_plate
from bgmv2.plate.words import PlateSource
from bgmv2.progress import Bar, Pace, Progress, counted
from bgmv2.report import Recorder, better, check_report, check_report_name
from bgmv2.types import Frame, Plate, StrPath, VideoInfo
from bgmv2.verify import verify
from bgmv2.video.carry import Origin
from bgmv2.video.images import read_image, write_image
from bgmv2.video.open import Result, is_sequence, open_sinks, open_source
from bgmv2.video.probe import is_file, shown
from bgmv2.video.sequence import find_sequence
from bgmv2.video.sink import Sink, settle

T = TypeVar("T")
WITH_SOUND = ("com", "fgr", "rgba")  # what is watched; alpha, error and patches are data
# What the results are called inside of EXR pictures.
LAYERS = {
    "com": "composite",
    "pha": "alpha",
    "fgr": "foreground",
    "rgba": "subject",
    "err": "error",
    "ref": "refined",
    "shadow": "shadow",
}


@dataclass(frozen=True)
class Report:
    """What a conversion did.

    Args:
        frames: of each result.
        seconds: of wall time, from the first frame on.
        stages: seconds of work in each stage; they overlap.
        alignment: how the plate was matched to the camera, in a sentence.
        plate: how it was made of the clip, in a sentence; empty if it was given.
        resumed: frames that an earlier run had finished.
        repaired: frames that were matted again.
        differences: from the clip, in a line each, that were found where verifying was asked for.
    """

    frames: int
    seconds: float
    stages: Mapping[str, float]
    alignment: str
    plate: str = ""
    resumed: int = 0
    repaired: int = 0
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.stages.items())
        rate = (self.frames - self.resumed) / max(self.seconds, 1e-9)
        earlier = f", {self.resumed} of them earlier" if self.resumed else ""
        again = f", {self.repaired} of them twice" if self.repaired else ""
        what = f"{self.frames} frames in {self.seconds:.1f} s{earlier}{again} ({rate:.1f} a second; {stages})"
        return "\n".join([what, *filter(None, [self.plate]), self.alignment, *self.differences])


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
    shadow: StrPath | None = None,
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
        plate: a picture of the clean background, filmed without the subject; or a text that says how one is made of
            the clip: ``auto``, ``median``, ``first:2s``, ``last:2s`` or ``at:12.5``, see
            `bgmv2.plate.words.PlateSource`. A picture that is called so is given as a `Path`, or as ``./auto``.
        com: subject over the backdrop.
        pha: alpha, grey.
        fgr: the subject's own colours, without the old background's light at its edges; straight, for use with `pha`.
        rgba: both in one, straight unless `encode` says otherwise; `bgmv2.video.formats` lists what holds it.
        err: the error the base network expected.
        ref: the patches that were refined.
        shadow: how much light the subject's shadow leaves, grey: multiply a backdrop by it, and the shadow falls there.
            White where there is none, also where the plate shows nothing; behind the subject it is continued.
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
        ValueError: the plate begins like one of the words and goes on otherwise.
        Bgmv2Error: in one line, what is wrong and what to do. No half-written result bears its name; what is finished
            is kept in a hidden folder, for a run with `encode.resume`.
    """
    plate_source = PlateSource.parse(plate)
    outputs = chosen(com=com, pha=pha, fgr=fgr, rgba=rgba, err=err, ref=ref, shadow=shadow)
    first = find_sequence(clip)[0] if is_sequence(clip) else clip
    keep_inputs(outputs.values(), clip, first, *plate_source.files, backdrop, *masks_of(composite).values())
    check_repeatable(clip, outputs, encode, check)
    if plate_source.path is None:
        check_twice_readable(clip, plate_source)
    if check.report is not None:
        report = Path(check.report)
        check_report_name(report)
        chosen(**outputs, report=report, **{"the pictures of the report": report.with_suffix("")})
    with ExitStack() as stack:
        source = stack.enter_context(closing(open_source(clip, read)))
        info = source.info
        check_blend(clip, info, composite)
        check_shadow(clip, info, outputs)
        # A picture is read now, so that what is wrong with it is said at once; what takes minutes comes last.
        clean = None if plate_source.path is None else load_plate(plate_source.path, info.width, info.height)
        matter = matter or Matter.from_config(run)
        job = None
        if is_repeatable(clip, outputs):
            inputs = {"clip": clip, "backdrop": backdrop, **masks_of(composite)}
            named = {**{name: name_of(path) for name, path in inputs.items()}, "plate": _name_of(plate_source)}
            settings = _settings(named, outputs, composite, read, run, encode, check, matter)
            paths = [Path(path) for path in outputs.values()]
            how = {"resume": encode.resume, "overwrite": encode.overwrite, "keeps_all": check.repair}
            job = stack.enter_context(Job(paths, settings, **how))
        begin = Mark(0) if job is None else job.last
        if check.report is not None:
            check_report(Path(check.report), overwrite=encode.overwrite or begin.whole)
        results = {
            role: Result(path, role == "rgba", LAYERS[role], _origin(clip, role, read), begin.sinks.get(role))
            for role, path in outputs.items()
        }
        sinks = {role: stack.enter_context(sink) for role, sink in open_sinks(results, info, encode=encode)}
        recorder = _open_recorder(stack, job, begin) if check.report is not None or check.repair else None
        if clean is None:
            clean, begin = _make_plate(clip, plate_source, read, matter, job, begin, info, watch=watch)
        order = Order(clip, clean, backdrop, composite, read, run.align, run.update, tuple(outputs), info)
        aside = stack.enter_context(ThreadPoolExecutor(1))
        glances: list[Future[list[Finding]]] = []
        desk = _Desk(sinks, recorder, job, begin)
        tensors = {} if job is None else job.tensors(begin)
        governor = None if run.fps is None else Governor(run.fps, matter.settings(info.height, info.width))
        forth = stack.enter_context(
            Pass(
                order,
                matter,
                begin,
                tensors,
                source,
                every=encode.segment,
                inspects=recorder is not None,
                governor=governor,
            )
        )
        pace, lid = Pace(info.frames, done=begin.frames), Lid()
        start = warm = time.perf_counter()
        for developed in () if begin.whole else forth:
            desk.put(developed, start=forth.start)
            lid()
            if desk.mark.frames == begin.frames + 1:
                warm = time.perf_counter()
            if desk.mark.frames == 1:  # which has not waited for it
                glances.append(aside.submit(glance, clip, clean, info, read=read, align=run.align))
            elif glances and glances[0].done():
                _warn(glances.pop())
            if watch is not None:
                watch(pace.step({**forth.stages, "encode": desk.busy}))
        for waiting in glances:
            _warn(waiting)
        if not begin.frames and desk.mark.frames and not forth.found_somebody:
            _warn_of_nobody(f"any frame of {shown(clip)}", plate_source)
        if run.fps is not None and desk.mark.frames > begin.frames + 1:
            rate = (desk.mark.frames - begin.frames - 1) / (time.perf_counter() - warm)
            _warn_of_rate(run.fps, rate, {**forth.stages, "encode": desk.busy})
        if not begin.whole:
            desk.save(forth.state(), start=forth.start)
            if recorder is not None and job is not None and check.repair:
                _repair(order, run, matter, job, desk, recorder, every=encode.segment, watch=watch)
            desk.finish()
        if recorder is not None and check.report is not None:
            told = {"plate": str(plate_source), "backdrop": backdrop, "results": outputs, "network": str(matter)}
            configs = {"composite": composite, "read": read, "run": run, "encode": encode, "check": check}
            recorder.publish(
                Path(check.report),
                clip=shown(clip),
                settings={**told, **{name: asdict(config) for name, config in configs.items()}},  # type: ignore[call-overload]
                overwrite=encode.overwrite or begin.whole,
            )
    seconds = time.perf_counter() - start
    return Report(
        desk.mark.frames,
        seconds,
        {**forth.stages, "encode": desk.busy},
        str(forth.aligner.report),
        plate=begin.plate.get("said", ""),
        resumed=begin.frames,
        repaired=desk.mark.repaired_frames,
        differences=_verify(clip, outputs, read) if check.verify else (),
    )


def _warn_of_rate(wanted: float, rate: float, stages: Mapping[str, float]) -> None:
    """Say if frames came more slowly than was wanted, and in which stage most time was spent."""
    if rate >= wanted:
        return
    slowest = max(stages, key=lambda stage: stages[stage])
    why = (
        "matted less and less closely" if slowest == "matte" else f"held up by {slowest}, which --fps does not quicken"
    )
    warnings.warn(
        f"{wanted:g} frames a second were not held: {rate:.3g} came, {why}",
        Bgmv2Warning,
        stacklevel=3,
    )


def _warn_of_nobody(where: object, plate: PlateSource) -> None:
    warnings.warn(
        f"nobody was found in {where}: does the plate ({plate}) show the scene without the subject?",
        Bgmv2Warning,
        stacklevel=3,
    )


def _warn(findings: Future[list[Finding]]) -> None:
    for finding in findings.result():
        warnings.warn(str(finding), Bgmv2Warning, stacklevel=3)


class _Desk:
    """Where frames end up: in the results and the report, with marks from which the run can be gone on with.

    Args:
        sinks: of the results, by role.
        recorder: of the numbers of each frame; None if nobody asked.
        job: keeps the marks; None if the run cannot be gone on with.
        begin: what an earlier run has done.

    Attributes:
        mark: how far all has come.
        busy: seconds of work.
    """

    def __init__(self, sinks: Mapping[str, Sink], recorder: Recorder | None, job: Job | None, begin: Mark):
        self._sinks, self._recorder, self._job = sinks, recorder, job
        self.mark = begin
        self.busy = 0.0

    def put(self, developed: Developed, *, start: float) -> None:
        """Write the next frame."""
        begun = time.perf_counter()
        self._write(developed)
        if self._recorder is not None and developed.observation is not None:
            self._recorder.add(developed.observation)
        self.mark = replace(self.mark, frames=self.mark.frames + 1)
        if developed.state is not None:
            self.save(developed.state, start=start)
        self.busy += time.perf_counter() - begun

    def rewrite(self, segment: int, first: int, again: Iterable[Developed], *, recorded: Callable[[int], bool]) -> None:
        """Write a segment anew.

        Args:
            segment: its number.
            first: number of its first frame.
            again: its frames.
            recorded: tells of a frame's number whether its numbers are new, too.
        """
        for sink in self._sinks.values():
            sink.rewrite(segment, first)
        for number, developed in enumerate(again, first):
            self._write(developed)
            if self._recorder is not None and developed.observation is not None and recorded(number):
                self._recorder.replace(developed.observation)

    def save(self, state: State | None = None, **news: Any) -> None:
        """Bring all to the disk and mark it.

        Args:
            state: of the pass; None if it is that of the mark before.
            news: fields of the mark.
        """
        if self._job is None or not self.mark.frames:
            return
        repaired = 0
        if self._recorder is not None:
            self._recorder.flush()
            repaired = self._recorder.repaired
        sinks = {role: sink.checkpoint() for role, sink in self._sinks.items()}
        news |= {"sinks": sinks, "repaired_frames": repaired}
        if state is not None:
            news["aligner"] = state.aligner
        self.mark = self._job.mark(replace(self.mark, **news), None if state is None else state.tensors)

    def finish(self) -> None:
        """Make all results whole, in all but their names, before the first of them gets its own."""
        if self._job is not None and self.mark.frames:
            sinks = {role: sink.finish() for role, sink in self._sinks.items()}
            self.mark = self._job.mark(replace(self.mark, sinks=sinks, whole=True))

    def _write(self, developed: Developed) -> None:
        frame = developed.frame
        for role, sink in self._sinks.items():
            sink.write(Frame(developed.pictures[role], frame.pts, frame.time_base))


def _repair(
    order: Order,
    run: RunConfig,
    matter: Matter,
    job: Job,
    desk: _Desk,
    recorder: Recorder,
    *,
    every: int,
    watch: Callable[[Progress], None] | None,
) -> None:
    """Matte bad spans again with more effort, and write the segments that hold them anew."""
    done = desk.mark.repaired
    spans = recorder.bad_spans()
    segments = sorted({frame // every for span in spans for frame in (*span[::every], span[-1])})
    if done == len(segments):
        return
    finer = Matter.from_config(better(run))
    frames = [range(segment * every, min((segment + 1) * every, recorder.frames)) for segment in segments]
    pace = Pace(recorder.frames + sum(map(len, frames)), done=recorder.frames + sum(map(len, frames[:done])))
    for number in range(done, len(segments)):
        segment = segments[number]
        mark = job.after(segment)
        with (
            closing(open_source(order.clip, order.read)) as source,
            Pass(order, matter, mark, job.tensors(mark), source, inspects=True, finer=(finer, spans)) as back,
        ):
            again = _watched(itertools.islice(back, len(frames[number])), pace, back, watch)
            desk.rewrite(segment, frames[number].start, again, recorded=lambda n: any(n in span for span in spans))
        desk.save(repaired=number + 1)


def _watched(
    developed: Iterable[Developed], pace: Pace, stages: Pass, watch: Callable[[Progress], None] | None
) -> Iterator[Developed]:
    for one in developed:
        yield one
        if watch is not None:
            watch(pace.step(stages.stages))


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
    shadow: StrPath | None = None,
    backdrop: StrPath = DEFAULT_BACKDROP,
    composite: CompositeConfig = CompositeConfig(),
    run: RunConfig = RunConfig(),
    overwrite: bool = False,
    matter: Matter | None = None,
    progress: bool = False,
) -> list[Path]:
    """Matte one picture, or every picture of a folder; all arguments as in `convert`.

    A folder's results are folders too, made where they are missing, with the pictures' own names and the suffix .png.
    A garbage or holdout matte that is a folder holds one of the same name for each picture. The plate of a folder of
    pictures that one camera took can be made of them: ``auto`` or ``median``.

    Returns:
        What was written.

    Raises:
        Bgmv2Error: in one line, what is wrong and what to do.
    """
    plate_source = PlateSource.parse(plate)
    outputs = chosen(com=com, pha=pha, fgr=fgr, rgba=rgba, err=err, ref=ref, shadow=shadow)
    jobs = picture_jobs(Path(src), outputs, overwrite=overwrite)
    overruled = [masks_of(composite, picture=path) for path, _ in jobs]
    for (path, targets), given in zip(jobs, overruled, strict=True):
        keep_inputs(targets.values(), path, *plate_source.files, backdrop, *given.values())
    if plate_source.seconds is not None or (plate_source.path is None and not Path(src).is_dir()):
        raise PlateError(
            f"--plate {plate_source} is for clips: pictures have no time, and one alone shows no background behind its "
            f"subject; give a picture, or auto or median for a folder of pictures that one camera took"
        )
    matter = matter or Matter.from_config(run)
    plates: dict[tuple[int, int], Plate] = {}
    if plate_source.path is None:
        with Bar() as bar_of_plate:
            watch = bar_of_plate if progress else None
            plates = _plate_of_folder(Path(src), plate_source, [path for path, _ in jobs], matter, watch=watch)
    written = []
    for (path, targets), given in counted(list(zip(jobs, overruled, strict=True)), shown=progress, unit="picture"):
        frame = Frame(read_image(path))
        height, width = frame.pixels.shape[:2]
        if (height, width) not in plates:
            if plate_source.path is None:
                raise _of_another_camera(path, Path(src))
            plates = {(height, width): load_plate(plate_source.path, width, height)}
        clean = plates[height, width]
        alignment = Aligner(clean, mode=run.align, size=(height, width)).align(frame.pixels)
        warn_of_plate(clean, frame, alignment)
        with ExitStack() as stack:
            behind, masks = open_layers(stack, backdrop, given, composite, width=width, height=height)
            lab = Lab(matter, clean, behind, tuple(outputs), composite, masks)
            pictures, _ = lab(frame, alignment)
        if not lab.found_somebody:
            _warn_of_nobody(path, plate_source)
        for role, target in targets.items():
            target.parent.mkdir(exist_ok=True)
            write_image(target, pictures[role], overwrite=overwrite)
            written.append(target)
    return written


def _plate_of_folder(
    folder: Path,
    source: PlateSource,
    pictures: Sequence[Path],
    matter: Matter,
    *,
    watch: Callable[[Progress], None] | None,
) -> dict[tuple[int, int], Plate]:
    """Make the plate of pictures that one camera took, by its height and width.

    Raises:
        PlateError: they differ in size, or do not show one scene.
    """
    first = read_image(pictures[0])
    height, width = first.shape[:2]
    most = most_frames(height, width, first.itemsize)
    frames = []
    for path in pictures[:: math.ceil(len(pictures) / most)]:
        frames.append(Frame(read_image(path)))
        if (frames[-1].pixels.shape, frames[-1].pixels.dtype) != (first.shape, first.dtype):
            raise _of_another_camera(path, folder)
    return {(height, width): plate_of(frames, source, name=folder, network=matter.matte, watch=watch).plate}


def _of_another_camera(picture: Path, folder: Path) -> PlateError:
    return PlateError(
        f"{picture} differs from others in {folder} in size or bits, so no plate can be made of all; sort them, or "
        f"give a picture as --plate"
    )


def _make_plate(
    clip: StrPath,
    source: PlateSource,
    read: ReadConfig,
    matter: Matter,
    job: Job | None,
    begin: Mark,
    info: VideoInfo,
    *,
    watch: Callable[[Progress], None] | None,
) -> tuple[Plate, Mark]:
    """Make a plate of the clip, or take that of the unfinished run that is gone on with; also the mark that knows it.

    Raises:
        DamagedRunError: that one is gone or damaged.
        Bgmv2Error: as `make_plate`.
    """
    kept = None if job is None else job.folder / "plate.png"
    if kept is not None and begin.frames:
        if not kept.is_file() or fingerprint.of_file(kept) != begin.plate.get("content"):
            raise DamagedRunError(f"the unfinished run in {kept.parent} is damaged; start anew with --overwrite")
        return load_plate(kept, info.width, info.height), begin
    made = make_plate(clip, source, read=read, network=matter.matte, watch=watch)
    told = {"said": str(made)}
    if kept is not None:
        save_plate(kept, made, overwrite=True)
        settle(kept)
        told["content"] = fingerprint.of_file(kept)
    return made.plate, replace(begin, plate=told)


def _name_of(source: PlateSource) -> str:
    """Name the content of a picture, or how a plate is made."""
    return str(source) if source.path is None else name_of(source.path)


def _settings(
    named: Mapping[str, str],
    outputs: Mapping[str, StrPath],
    composite: CompositeConfig,
    read: ReadConfig,
    run: RunConfig,
    encode: EncodeConfig,
    check: CheckConfig,
    matter: Matter,
) -> dict[str, Any]:
    """Tell all that results depend on, by what a person calls it; files by their content, which is `named`."""
    plain = {
        **vars(composite),
        **vars(read),
        **vars(encode),
        "align": run.align,
        "update": run.update,
        "fps": run.fps,
        "repair": check.repair,
    }
    for name in ("garbage", "holdout", "overwrite", "resume"):
        del plain[name]
    return {
        **plain,
        **named,
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


def _verify(clip: StrPath, outputs: Mapping[str, StrPath], read: ReadConfig) -> tuple[str, ...]:
    """Compare each result with the clip; return what differs, in a line each."""
    found = {path: verify(clip, path, read=read, sound=role in WITH_SOUND) for role, path in outputs.items()}
    return tuple(f"{path}: {difference}" for path, one in found.items() for difference in one.differences)


def _origin(clip: StrPath, role: str, read: ReadConfig) -> Origin | None:
    """Say what of the clip is carried over into a result; what can be read only once has no more to give."""
    if not is_file(clip):
        return None
    return Origin(Path(clip), tracks=role in WITH_SOUND, ends_with_film=read.frames is not None)
