"""One clip with all that belongs to it: the same description for a worker next door and for a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from bgmv2 import fingerprint
from bgmv2.backdrop import is_path
from bgmv2.config import DEFAULT_BACKDROP, CheckConfig, CompositeConfig, EncodeConfig, ReadConfig, RunConfig
from bgmv2.errors import OutputError
from bgmv2.job import name_of
from bgmv2.matter import Matter
from bgmv2.nn.checkpoint import DEFAULT_WEIGHTS
from bgmv2.pipeline import Report, convert
from bgmv2.plate.words import PlateSource
from bgmv2.progress import Progress
from bgmv2.video import formats
from bgmv2.video.sequence import Pattern, is_pattern

# What may differ between two runs of which one goes on with the other.
_NO_MATTER = {"run": ("device",), "encode": ("overwrite", "resume", "segment")}


@dataclass(frozen=True)
class Settings:
    """What is wanted of each clip, as `bgmv2.convert` takes it.

    Args:
        results: by role what follows the clip's name and the role in the result's name: a suffix such as ``.mp4``,
            numbered pictures such as ``.####.exr`` or ``/####.png``, or ``/`` for a folder of PNG.
        backdrop: what goes behind the subject in `com`.
        composite: as of `convert`, as are all that follow.
        read: as said.
        run: as said.
        encode: as said; what an earlier batch began is gone on with, whatever `resume` says.
        check: as said; its `report` is what follows the clip's name and ``.report``, such as ``.json``.
    """

    results: Mapping[str, str] = field(default_factory=lambda: {"com": ".mp4"})
    backdrop: str = DEFAULT_BACKDROP
    composite: CompositeConfig = CompositeConfig()
    read: ReadConfig = ReadConfig()
    run: RunConfig = RunConfig()
    encode: EncodeConfig = EncodeConfig()
    check: CheckConfig = CheckConfig()


_CONFIGS: dict[str, Callable[..., Any]] = {
    "composite": CompositeConfig,
    "read": ReadConfig,
    "run": RunConfig,
    "encode": EncodeConfig,
    "check": CheckConfig,
}


@dataclass(frozen=True)
class Job:
    """A clip and what is made of it.

    Args:
        clip: as `bgmv2.convert` takes it.
        plate: absolute path of a picture of the clean background, or a word as `PlateSource` takes it.
        results: paths by role.
        backdrop: what goes behind the subject in `com`.
        composite: as of `convert`, as are all that follow.
        read: as said.
        run: as said.
        encode: as said.
        check: as said.
    """

    clip: str
    plate: str
    results: Mapping[str, str]
    backdrop: str = DEFAULT_BACKDROP
    composite: CompositeConfig = CompositeConfig()
    read: ReadConfig = ReadConfig()
    run: RunConfig = RunConfig()
    encode: EncodeConfig = EncodeConfig()
    check: CheckConfig = CheckConfig()

    def to_json(self) -> str:
        """Write it down, for another process or machine."""
        return json.dumps(asdict(self), default=str)  # a frame rate is a fraction, and reads as it is printed

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        rate = values["read"]["rate"]
        values["read"]["rate"] = None if rate is None else Fraction(rate)
        return cls(**{name: _CONFIGS[name](**value) if name in _CONFIGS else value for name, value in values.items()})

    def inputs(self) -> list[str]:
        """The paths of all that is read, numbered pictures as they were given."""
        behind = [self.backdrop] if is_path(self.backdrop) else []
        others = (self.composite.garbage, self.composite.holdout, self.run.weights)
        plates = map(str, PlateSource.parse(self.plate).files)
        return [self.clip, *plates, *behind, *(path for path in others if path is not None)]

    def outputs(self) -> dict[str, str]:
        """The paths of all that is written, by role."""
        report = {} if self.check.report is None else {"report": self.check.report}
        return {**self.results, **report}

    def fingerprint(self) -> str:
        """Name what is made of what: two jobs of one name have the same results.

        Where the files lie, and on which device it is computed, does not count; what is in the files does.

        Raises:
            OSError, VideoError: an input cannot be read.
        """
        values = asdict(self)
        for config, names in _NO_MATTER.items():
            for name in names:
                values[config].pop(name, None)
        values["results"] = {role: Path(path).name for role, path in self.results.items()}
        values["check"]["report"] = self.check.report is not None
        for name in ("clip", "backdrop"):
            values[name] = name_of(values[name])
        if PlateSource.parse(self.plate).files:
            values["plate"] = name_of(self.plate)
        for name in ("garbage", "holdout"):
            path = getattr(self.composite, name)
            values["composite"][name] = None if path is None else name_of(path)
        if self.run.weights is not None:
            values["run"]["weights"] = name_of(self.run.weights)
        else:
            with as_file(files("bgmv2.weights") / DEFAULT_WEIGHTS) as default:
                values["run"]["weights"] = name_of(default)
        return fingerprint.of_values(values)


def run_job(job: Job, *, matter: Matter | None = None, watch: Callable[[Progress], None] | None = None) -> Report:
    """Matte one clip; the folders of its results are made.

    Args:
        job: what is to be done.
        matter: a network that is loaded already.
        watch: is called after each frame, and may raise to stop.

    Raises:
        Bgmv2Error: as `bgmv2.convert`; and what `check.verify` found to differ from the clip is an error, too.
    """
    for path in job.outputs().values():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    report = convert(
        job.clip,
        plate=job.plate,
        backdrop=job.backdrop,
        composite=job.composite,
        read=job.read,
        run=job.run,
        encode=job.encode,
        check=job.check,
        matter=matter,
        watch=watch,
        **job.results,  # type: ignore[arg-type]
    )
    if report.differences:
        raise OutputError(f"the results are there, but do not fit the clip: {'; '.join(report.differences)}")
    return report


def is_there(path: str) -> bool:
    """Tell whether a result is there, or one picture of it."""
    return bool(Pattern.of(Path(path)).found()) if is_numbered(path) else os.path.lexists(path)


def is_numbered(path: str | os.PathLike[str]) -> bool:
    """Tell a result that is numbered pictures; a video may be called like a pattern, if its clip was."""
    return is_pattern(path) and Path(path).suffix.lower() in formats.PICTURES
