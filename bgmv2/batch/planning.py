"""What a batch will do: every result has its name, and what cannot be done is said before work starts."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from bgmv2.batch.job import Job, Settings, is_numbered, is_there
from bgmv2.batch.ledger import Ledger
from bgmv2.batch.sources import Found, anchored, find_clips, find_plates, several
from bgmv2.errors import Bgmv2Error, OutputError, OutputExistsError
from bgmv2.plate.words import PlateSource
from bgmv2.types import VideoInfo
from bgmv2.video import formats
from bgmv2.video.open import is_sequence
from bgmv2.video.sequence import Pattern, is_pattern

_ENDINGS = (
    f"give what follows the name of each clip, {', '.join(formats.CONTAINERS)}, .####.png or .####.exr for numbered "
    f"pictures, or / for a folder of PNG"
)
_ANY = VideoInfo(1920, 1080, rate=Fraction(25), time_base=Fraction(1, 25))


@dataclass(frozen=True)
class Task:
    """A job of a batch.

    Args:
        name: the folders that are kept and the clip's stem, with slashes; it is the only one of this name.
        job: what is to be done.
        fingerprint: of the job; empty if an input cannot be read, which the job itself will tell.
        size: of the clip in bytes; the larger, the longer it takes.
    """

    name: str
    job: Job
    fingerprint: str
    size: int


@dataclass(frozen=True)
class Plan:
    """What a batch will do.

    Args:
        out: the folder of all results.
        todo: the longest first.
        finished: by an earlier run, with the same settings and inputs.
    """

    out: Path
    todo: tuple[Task, ...]
    finished: tuple[Task, ...] = ()


def plan(
    sources: Iterable[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    plate: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    parse: Callable[[Sequence[str]], Settings] | None = None,
) -> Plan:
    """Find clips and plates, and name the results; nothing is written.

    Args:
        sources: clips, folders, globs and manifests, as `bgmv2.batch.sources.find_clips` takes them.
        out: folder of the results, each ``<sub-folders kept>/<clip>.<role><suffix>``.
        plate: for the clips that have none of their own; see `bgmv2.batch.sources.find_plates`.
        settings: for all clips; None takes the defaults.
        parse: reads the flags of manifests.

    Raises:
        Bgmv2Error: what is missing, or which results would collide with each other, with inputs, or with what is there
            already; of several of a kind, the message has a line for each.
    """
    folder = Path(os.path.abspath(out))
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{out} is a file, but results go into a folder; name another")
    chosen = anchored(settings or Settings(), Path.cwd())
    ledger = Ledger.read(folder)
    clips = find_clips(sources, settings=chosen, parse=parse, out=folder, results=ledger.results())
    plates = find_plates(clips, fallback=plate)
    jobs = [_job(clip, plate, clip.settings or chosen, folder) for clip, plate in zip(clips, plates, strict=True)]
    for _, job in jobs:
        _check_kinds(job)
    _check_apart(jobs, clips)
    _check_inputs([job for _, job in jobs])
    todo, finished, taken = [], [], []
    for name, job in jobs:
        task = Task(name, job, _fingerprint(job), _size(job.clip))
        if ledger.is_finished(task.name, task.fingerprint):
            finished.append(task)
            continue
        ours = ledger.may_replace(task.name, task.fingerprint)
        there = [path for path in job.outputs().values() if is_there(path)]
        if there and not ours and not job.encode.overwrite:
            why = "of other settings or inputs, or changed since" if ledger.knows(name) else "not of this batch"
            taken.append(f"{there[0]} is there already, {why}; choose another folder, or allow --overwrite")
        # Who has earlier results replaced wants nothing of an unfinished run of other settings either.
        resume = ledger.is_of(name, task.fingerprint) or not job.encode.overwrite
        encode = replace(job.encode, resume=resume, overwrite=job.encode.overwrite or bool(ours and there))
        todo.append(replace(task, job=replace(job, encode=encode)))
    if taken:
        raise OutputExistsError("\n".join(several(taken, "results that are there already")))
    return Plan(folder, tuple(sorted(todo, key=lambda task: -task.size)), tuple(finished))


def _job(clip: Found, plate: PlateSource, settings: Settings, out: Path) -> tuple[str, Job]:
    base = out / clip.name
    report = settings.check.report
    endings = [*settings.results.values(), *([] if report is None else [report])]
    for ending in endings:
        if not ending.startswith((".", "/")) or ".." in ending:
            raise OutputError(f"results are called after their clips, so '{ending}' says too much: {_ENDINGS}")
    if not settings.results:
        raise OutputError("there is nothing to write: name at least one result")
    job = Job(
        clip=str(clip.clip),
        plate=str(plate),
        results={role: f"{base}.{role}{ending}" for role, ending in settings.results.items()},
        backdrop=settings.backdrop,
        composite=settings.composite,
        read=settings.read,
        run=settings.run,
        encode=settings.encode,
        check=replace(settings.check, report=None if report is None else f"{base}.report{report}"),
    )
    return clip.name.as_posix(), job


def _check_kinds(job: Job) -> None:
    """Say now that a result cannot be what its name says.

    Raises:
        OutputError: says why.
    """
    for role, path in job.results.items():
        suffix = Path(path).suffix.lower()
        if is_numbered(path) or path.endswith("/"):
            continue
        if suffix not in formats.CONTAINERS:
            raise OutputError(f"{path} would be no result: {_ENDINGS}")
        formats.choose(Path(path), _ANY, alpha=role == "rgba", encode=job.encode)


def _check_apart(jobs: Sequence[tuple[str, Job]], clips: Sequence[Found]) -> None:
    """Refuse two clips with one result, or a result inside of another, on any file system.

    Raises:
        OutputError: a line for each.
    """
    owners: dict[str, int] = {}
    wrong = []
    for index, (_, job) in enumerate(jobs):
        for path in job.outputs().values():
            other = owners.setdefault(_folded(path), index)
            if other != index:
                wrong.append(f"{clips[other].clip} and {clips[index].clip} would both be written to {path}")
                break
    for _, job in jobs:
        for path in job.outputs().values():
            above = next((str(folder) for folder in Path(path).parents if _folded(folder) in owners), None)
            if above is not None:
                wrong.append(f"{path} would be written into {above}, which is a result itself")
    if wrong:
        advice = "rename one of them, or give the folder above both as the source: its sub-folders are kept"
        raise OutputError("\n".join([*several(wrong, "collisions"), advice]))


def _check_inputs(jobs: Sequence[Job]) -> None:
    """Refuse to replace what any clip needs, whatever else may be overwritten.

    Raises:
        OutputError: a line for each.
    """
    inputs: dict[str, str] = {}
    files: dict[tuple[int, int], str] = {}
    above: dict[str, str] = {}
    beside: dict[str, list[str]] = {}
    for given in dict.fromkeys(itertools.chain.from_iterable(job.inputs() for job in jobs)):
        path = Path(os.path.realpath(given))
        inputs.setdefault(_folded(path), given)
        beside.setdefault(_folded(path.parent), []).append(path.name)
        for folder in path.parents:
            above.setdefault(_folded(folder), given)
        if path.exists():
            stat = path.stat()
            files.setdefault((stat.st_dev, stat.st_ino), given)
    wrong = []
    for output in itertools.chain.from_iterable(job.outputs().values() for job in jobs):
        path = Path(os.path.realpath(output))
        key = _folded(path)
        read = inputs.get(key) or above.get(key)
        if read is None and path.exists():
            stat = path.stat()
            read = files.get((stat.st_dev, stat.st_ino))
        if read is None and is_numbered(path):
            pattern = Pattern.of(path)
            read = next(
                (name for name in beside.get(_folded(path.parent), []) if pattern.number(name) is not None), None
            )
        if read is not None:
            wrong.append(f"{read} is read, so {output} cannot be written over it: choose another folder")
    if wrong:
        raise OutputError("\n".join(several(wrong, "results that would replace what is read")))


def _folded(path: str | os.PathLike[str]) -> str:
    """One name for all that some file systems take for one: large and small letters, accents in one piece or two."""
    return unicodedata.normalize("NFC", os.path.abspath(path)).casefold()


def _fingerprint(job: Job) -> str:
    try:
        return job.fingerprint()
    except (OSError, Bgmv2Error):
        return ""


def _size(clip: str) -> int:
    """Bytes of a clip; nothing if it cannot be looked at."""
    try:
        if not is_sequence(clip):
            return os.path.getsize(clip)
        files = Pattern.of(Path(clip)).found().values() if is_pattern(clip) else Path(clip).iterdir()
        return sum(file.stat().st_size for file in files)
    except (OSError, Bgmv2Error):
        return 0
