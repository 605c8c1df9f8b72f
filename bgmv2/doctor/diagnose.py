"""The plate doctor: `diagnose` looks at a clip and its plate and says what will come of them; `glance` in short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from bgmv2.config import DEFAULT_SAMPLES, AlignMode, ReadConfig
from bgmv2.doctor.findings import Diagnosis, Finding, sorted_findings
from bgmv2.doctor.looks import Look, Looker
from bgmv2.doctor.regions import settled_regions
from bgmv2.doctor.samples import Sample, bisect, is_short, seek_samples, walk_samples
from bgmv2.doctor.signs import SIGNS, Evidence, facts, summary
from bgmv2.matter import Matter
from bgmv2.plate.check import how_turned, is_blank
from bgmv2.types import Frame, Plate, StrPath, VideoInfo
from bgmv2.video.open import is_rereadable, open_source

# The network takes longer than all the rest, so it is shown only so many of the samples.
_ASKED = 3
# While a conversion begins, so many frames are looked at; what means another plate is told, and these warnings.
_GLANCES = 5
_TOLD_AT_ONCE = ("clipped-plate", "bars", "blank-clip", "strange-frames", "uncovered")
# A plate that has one of the first shows no scene, of course; one that has one of the others differs from the clip in
# many places, so that smaller ones are not told, and no larger one is held against it.
_EMPTY = ("empty-plate", "turned-plate")
_UNEVEN = ("parallax", "soft-plate", "soft-clip", "clipped-plate", "bars")
_LARGE = 0.04


@dataclass(frozen=True, eq=False)
class Examination:
    """A diagnosis, and what it rests on.

    Args:
        diagnosis: what was found.
        evidence: what was looked at.
    """

    diagnosis: Diagnosis
    evidence: Evidence


def diagnose(
    clip: StrPath,
    plate: Plate | Callable[[VideoInfo], Plate],
    *,
    read: ReadConfig = ReadConfig(),
    align: AlignMode = "every",
    samples: int = DEFAULT_SAMPLES,
    matter: Matter | None = None,
    plate_size: tuple[int, int] | None = None,
    progress: bool = False,
) -> Examination:
    """Examine a plate and a clip.

    Args:
        clip: the video of the subject, as `bgmv2.video.open_source` takes it.
        plate: the clean background, or what makes it once the clip's size is known.
        read: which part of the clip is looked at.
        align: how it will be matted.
        samples: how many frames are looked at closely.
        matter: the network, which is shown some of them; None does without.
        plate_size: of the plate's own file, ``(width, height)``; None if it is that of the clip.
        progress: show a bar.

    Raises:
        ValueError: `samples` is not positive.
        Bgmv2Error: clip or plate cannot be read, in one line.
    """
    if samples < 1:
        raise ValueError(f"at least one frame is looked at, got {samples = }")
    with closing(open_source(clip, read)) as source:
        info = source.info
        size = info.width, info.height
        clean = plate if isinstance(plate, Plate) else plate(info)
        is_sought = is_rereadable(clip) and not is_short(info)
        if not is_sought:
            chosen, cuts = walk_samples(source, info, read, samples, progress=progress)
    if is_sought:
        chosen = seek_samples(clip, read, info, samples, progress=progress)
        cuts = _cuts_between(clip, read, chosen, Looker(clean, size=size))
    return examine(clean, chosen, size=size, cuts=cuts, align=align, matter=matter, plate_size=plate_size)


def examine(
    plate: Plate,
    samples: Sequence[Sample],
    *,
    size: tuple[int, int],
    cuts: Sequence[float] = (),
    align: AlignMode = "every",
    matter: Matter | None = None,
    plate_size: tuple[int, int] | None = None,
) -> Examination:
    """Examine a plate and frames of a clip.

    Args:
        plate: the clean background.
        samples: frames that are spread over the clip, in order.
        size: of the frames, ``(width, height)``.
        cuts: when other scenes begin, in seconds.
        align: how the clip will be matted.
        matter: the network, which is shown some of them; None does without.
        plate_size: of the plate's own file, ``(width, height)``; None if it is that of the clip.
    """
    looker = Looker(plate, size=size)
    looks = [looker(sample.frame, seconds=sample.seconds) for sample in samples]
    if matter is not None:
        looks = _shown_to(matter, looker, looks, samples)
    evidence = Evidence(
        plate=looker.picture,
        size=size,
        plate_size=plate_size or size,
        scale=looker.scale,
        plate_noise=None if looker.detail is None else looker.detail.noise,
        looks=looks,
        cuts=cuts,
        regions=settled_regions([look for look in looks if look.belongs and not look.blank]),
        turned=_turned(plate, looks, samples),
        align=align,
    )
    findings = _told([finding for sign in SIGNS for finding in sign(evidence)])
    hopeless = any(finding.severity == "reshoot" for finding in findings)
    diagnosis = Diagnosis(
        findings, summary(evidence), tuple(look.numbers for look in looks), facts(evidence, hopeless=hopeless)
    )
    return Examination(diagnosis, evidence)


def glance(clip: StrPath, plate: Plate, info: VideoInfo, *, read: ReadConfig, align: AlignMode) -> list[Finding]:
    """Look at a few frames of a clip that is matted, and say what spoils the result.

    Nothing is said of a clip that can be read only once, as no frame of it may be lost; nor of what `check_plate` says
    of the first frame.

    Args:
        clip: the video of the subject.
        plate: the clean background.
        info: of the clip.
        read: which part of it is matted.
        align: how.

    Returns:
        The findings that are worth an interruption, the worst first.
    """
    if not is_rereadable(clip):
        return []
    chosen = seek_samples(clip, read, info, _GLANCES)
    if not chosen:
        return []
    found = examine(plate, chosen, size=(info.width, info.height), align=align)
    first = found.evidence.looks[0]
    if not (first.blank or first.belongs):
        return []
    return [
        finding
        for finding in found.diagnosis.findings
        if finding.severity == "reshoot" or (finding.severity == "warning" and finding.name in _TOLD_AT_ONCE)
    ]


def _cuts_between(clip: StrPath, read: ReadConfig, samples: Sequence[Sample], looker: Looker) -> list[float]:
    """Seek the cuts between frames of which the plate fits only one."""
    telling = [sample for sample in samples if not is_blank(sample.frame.pixels)]
    fits = [looker.belongs(sample.frame) for sample in telling]
    found = []
    for one, two, before, after in zip(telling, telling[1:], fits, fits[1:], strict=False):
        if before != after:

            def is_same(frame: Frame, before: bool = before) -> bool:
                return looker.belongs(frame) == before

            found.append(bisect(clip, read, one.seconds, two.seconds, is_same))
    return found


def _told(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings that are worth telling, the worst first; what follows from others is not."""
    is_empty, is_uneven = (
        any(f.name in names and f.severity != "note" for f in findings) for names in (_EMPTY, _UNEVEN)
    )
    told = []
    for finding in findings:
        if is_empty and finding.name == "other-scene":
            continue
        if is_uneven and finding.name == "moved-object":
            continue
        if is_uneven and finding.name == "ghost":
            if finding.numbers["largest"] < _LARGE:
                continue
            finding = replace(finding, severity="warning")
        told.append(finding)
    return sorted_findings(told)


def _turned(plate: Plate, looks: Sequence[Look], samples: Sequence[Sample]) -> str | None:
    """Tell how the plate was turned by mistake, if it was found in no frame as it is."""
    telling = [index for index, look in enumerate(looks) if not look.blank]
    if not telling or any(looks[index].alignment.inliers for index in telling):
        return None
    # The frame in which most of the background is in view is not known; two are tried.
    for index in {telling[0], telling[len(telling) // 2]}:
        turned = how_turned(plate, samples[index].frame.pixels)
        if turned is not None:
            return turned
    return None


def _shown_to(matter: Matter, looker: Looker, looks: Sequence[Look], samples: Sequence[Sample]) -> list[Look]:
    """Show the network some of the frames to which the plate belongs, and add what it said."""
    good = [index for index, look in enumerate(looks) if look.belongs and not look.blank]
    chosen = {good[round(i * (len(good) - 1) / max(1, _ASKED - 1))] for i in range(_ASKED)} if good else set()
    return [
        looker.ask(matter, look, sample.frame) if index in chosen else look
        for index, (look, sample) in enumerate(zip(looks, samples, strict=True))
    ]
