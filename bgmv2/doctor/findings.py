"""What the doctor says: findings, each with its advice, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["note", "warning", "reshoot"]
Verdict = Literal["good", "usable", "reshoot"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "reshoot")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        name: for machines, such as `soft-plate`.
        severity: a `note` does no harm or is met by itself, a `warning` costs quality, with `reshoot` no flag helps.
        sentence: what was found, for a person; without its full stop.
        advice: what to do; may be empty.
        numbers: that it rests on.
        boxes: where in the plate, as ``(x, y, width, height)`` in its pixels.
    """

    name: str
    severity: Severity
    sentence: str
    advice: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.sentence}; {self.advice}" if self.advice else self.sentence


@dataclass(frozen=True)
class Diagnosis:
    """All that was found of a plate and a clip.

    Args:
        findings: the worst first.
        numbers: all that was measured of the whole; what could not be told is None.
        samples: what was measured of each frame that was looked at, in order.
        facts: the most important numbers in words.
    """

    findings: tuple[Finding, ...]
    numbers: Mapping[str, float | str | None] = field(default_factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`good`, `usable`, or `reshoot` if some finding says so."""
        worst = max((SEVERITIES.index(finding.severity) for finding in self.findings), default=0)
        return ("good", "usable", "reshoot")[worst]

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "verdict": self.verdict,
            "findings": [asdict(finding) for finding in self.findings],
            "numbers": dict(self.numbers),
            "samples": [dict(sample) for sample in self.samples],
        }

    def __str__(self) -> str:
        """The verdict, facts and findings, with a line for each sentence and each advice."""
        lines = [f"{self.verdict}: {_SAID[self.verdict]}", *(f"    {fact}" for fact in self.facts)]
        for finding in self.findings:
            lines.append(f"  {_MARKS[finding.severity]} {finding.sentence}")
            lines += [f"      {finding.advice}"] if finding.advice else []
        return "\n".join(lines)


_MARKS = {"note": "-", "warning": "!", "reshoot": "X"}
_SAID = {
    "good": "plate and clip belong together",
    "usable": "it works, but read on",
    "reshoot": "no good matte will come of this plate and this clip as they are",
}


def sorted_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Put the worst first; equals stay in order."""
    return tuple(sorted(findings, key=lambda finding: -SEVERITIES.index(finding.severity)))
