"""Signs: what the looks at a clip mean, as findings. Each function looks for one kind of trouble.

The thresholds were set on pairs that are good and pairs that were spoiled on purpose; `tools/measure_doctor.py` makes
both and counts what is found and what is a false alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from bgmv2 import compose
from bgmv2.config import AlignMode
from bgmv2.doctor.findings import Finding
from bgmv2.doctor.looks import Look, burnt
from bgmv2.doctor.regions import Region
from bgmv2.plate.check import WHAT_A_PLATE_IS, emptiness
from bgmv2.plate.geometry import is_identity, movement
from bgmv2.plate.shape import bars_of
from bgmv2.types import Plate

# Share of the plate that is burnt out where the frames are not; and by how much the plate is burnt out more.
_BURNT = 0.15
# The plate has so much less of a picture's width than the clip.
_SMALL = 0.75
# How much sharper or softer the plate may be than the clip before it shows; from where on nothing helps.
_SOFT, _HOPELESS, _CRISP = 0.6, 0.3, 1.8
# Noise, as a standard deviation in 0..1.
_NOISY = 0.03
# Stops and white balance that alignment makes up for without a word; from where on it no longer quite does.
_STOPS, _MANY_STOPS, _WARMER, _MUCH_WARMER = 0.15, 1.2, 1.08, 1.5
# Where the plate's details are found in the frames, but less than this of it looks like them, its light is beyond help.
_LIT_ALIKE = 0.1
# How much the light may differ from place to place, as a root mean square of its logarithm.
_UNEVEN = 0.08
# How far, in pixels of a picture 1000 wide, squares of the background are off where depth is at work.
_PARALLAX = 2.0
# Coverage: parts of the frame that the plate does not show.
_COVERED, _HARDLY_COVERED = 0.97, 0.6
# Something of this size on the plate is not a forgotten cup.
_GHOST = 0.01
# A region is part of a subject if so much of what is around it differs from the plate, too; what is on the plate alone,
# if it is most of it, or some of it if it is small. A thing is told from a subject only if there is another subject, of
# this share at least.
_STIR, _STIR_OF_GHOSTS, _STIR_OF_PATCHES, _SUBJECT = 0.25, 0.6, 0.2, 0.01
# Less than this share of a picture is nobody.
_NOBODY = 0.008
# What the network expects of its error, and how good that is. On the benchmark, half of all pictures had less than
# 0.7 %; what it expected and what it got went together (rank correlation 0.89 over 46 pictures).
_QUALITIES = ((0.007, "high"), (0.02, "good"), (0.03, "middling"), (float("inf"), "low"))
_UNSURE = 0.03
# Alpha in places where clip and plate agree.
_STRAY = 0.02


@dataclass(frozen=True, eq=False)
class Evidence:
    """All that is known when findings are made.

    Args:
        plate: ``(h, w, 3)`` float32, the reduced plate.
        size: of the frames, ``(width, height)``.
        plate_size: of the plate's own file, before it was brought to the clip's size.
        plate_noise: as a standard deviation in 0..1; None if unknown.
        scale: how many of the plate's pixels one of the reduced plate stands for, in width.
        looks: at frames, in order.
        cuts: when other scenes begin, in seconds.
        regions: where clip and plate disagree from beginning to end.
        turned: how the plate was turned by mistake, as `bgmv2.plate.check.how_turned` says it.
        align: how the clip will be matted.
    """

    plate: np.ndarray
    size: tuple[int, int]
    plate_size: tuple[int, int]
    scale: float
    looks: Sequence[Look]
    plate_noise: float | None = None
    cuts: Sequence[float] = ()
    regions: Sequence[Region] = field(default_factory=list)
    turned: str | None = None
    align: AlignMode = "every"

    @property
    def is_mosaic(self) -> bool:
        """Tell a plate that shows more than a frame does."""
        return round(self.plate.shape[1] * self.scale) != self.size[0]

    @property
    def is_strangely_lit(self) -> bool:
        """Tell a plate that shows the scene, but in light that cannot be evened out."""
        found = [look for look in self.good if look.alignment.inliers > 0]
        return bool(found) and float(np.median([look.share for look in found])) < _LIT_ALIKE

    @property
    def telling(self) -> list[Look]:
        """Looks at frames that show something."""
        return [look for look in self.looks if not look.blank]

    @property
    def good(self) -> list[Look]:
        """Looks at frames to which the plate belongs."""
        return [look for look in self.telling if look.belongs]


def plate_alone(e: Evidence) -> Iterator[Finding]:
    """What is wrong with the plate whatever the clip."""
    empty = emptiness(Plate(torch.from_numpy(e.plate).permute(2, 0, 1)))
    if empty is not None and not e.good:
        yield Finding(
            "empty-plate",
            "reshoot",
            f"the plate is {empty} and shows nothing of the clip",
            f"take another frame; {WHAT_A_PLATE_IS}",
            {"brightness": float(e.plate.mean())},
        )
        return
    clipped = float(np.median([look.clipped for look in e.good])) if e.good else 0.0
    own = burnt(e.plate)
    if own > _BURNT + clipped:
        yield Finding(
            "clipped-plate",
            "reshoot" if own > 0.5 + clipped else "warning",
            f"{own:.0%} of the plate is burnt out, of the clip only {clipped:.0%}",
            "film the plate with the exposure of the clip, locked; or take one from the clip (--plate auto)",
            {"plate": own, "clip": clipped},
        )
    bars = max(bars_of(e.plate))
    if bars and not any(max(bars_of(look.frame)) for look in e.telling if look.inside.mean() > 0.9):
        yield Finding(
            "bars",
            "reshoot",
            f"the plate has black bars ({bars:.0%} of its size), the clip has none",
            "crop the bars off: plate and clip must show the same part of the scene",
            {"share": bars},
        )
    if e.plate_size[0] < _SMALL * e.size[0]:
        yield Finding(
            "small-plate",
            "warning",
            f"the plate has {e.plate_size[0]}x{e.plate_size[1]} pixels, the clip {e.size[0]}x{e.size[1]}",
            "film the plate in the clip's own resolution: enlarged, it lacks the detail that the clip has",
            {"share": e.plate_size[0] / e.size[0]},
        )


def scene(e: Evidence) -> Iterator[Finding]:
    """Whether the plate shows the scene of the clip, and all of it."""
    telling, good = e.telling, e.good
    if not telling:
        yield Finding(
            "blank-clip", "warning", "no frame that was looked at shows anything", "look at more: --samples 30"
        )
        return
    if e.turned is not None:
        yield Finding("turned-plate", "reshoot", f"the plate {e.turned}", "", {})
        return
    share = float(np.median([look.share for look in telling]))
    numbers = {"share": share, "frames": len(telling), "fitting": len(good)}
    if not good:
        yield Finding(
            "other-scene",
            "reshoot",
            f"the plate seems to show another scene: only {share:.0%} of it matches the clip",
            WHAT_A_PLATE_IS,
            numbers,
        )
        return
    if len(good) == len(telling):
        return
    parts = _parts(e)
    if len(parts) > 1:
        said = ", ".join(f"{'fits' if fits else 'does not fit'} from {start:.2f} s on" for start, fits in parts)
        yield Finding(
            "cut",
            "warning",
            f"the clip cuts to another scene at {parts[1][0]:.2f} s: the plate {said}",
            f"matte each scene by itself with its own plate: --end {parts[1][0]:.2f}, then --start {parts[1][0]:.2f}",
            {**numbers, "seconds": parts[1][0]},
        )
        return
    at = next(look.seconds for look in telling if not look.belongs)
    yield Finding(
        "strange-frames",
        "warning",
        f"{len(telling) - len(good)} of {len(telling)} frames that were looked at do not fit the plate, such as that "
        f"at {at:.2f} s",
        "something hides the scene there, or it is another one: look at it (bgmv2 check --pictures FOLDER), and leave "
        "it out with --start and --end",
        {**numbers, "seconds": at},
    )


def camera(e: Evidence) -> Iterator[Finding]:
    """How the camera moved, and whether it could be followed."""
    found = [look for look in e.good if look.alignment.status != "held"]
    lost = [look for look in e.good if look.alignment.status == "held"]
    if lost and found:
        yield Finding(
            "lost",
            "warning",
            f"in {len(lost)} of {len(e.good)} frames the plate could not be found, such as at {lost[0].seconds:.2f} s",
            "the last good alignment is used there; with a still camera that does no harm, else keep more of the "
            "background in view",
            {"lost": len(lost), "frames": len(e.good)},
        )
    if lost and not found:
        yield Finding(
            "plain",
            "note",
            "the plate has too little detail in view to follow the camera by",
            "that does no harm if the camera stood still; if not, hang or stand something with detail into the "
            "background",
            {"lost": len(lost)},
        )
    moved = [look for look in found if not is_identity(look.alignment.homography)]
    if not moved or e.is_mosaic:
        return
    most = max(look.moved for look in found)
    size = e.size[::-1]
    spread = max(movement(look.alignment.homography, found[0].alignment.homography, size) for look in found)
    numbers = {"moved": most, "spread": spread}
    stood = len(found) > 1 and spread < max(0.75, 0.0006 * max(size))
    if e.align == "off" or (e.align == "first" and not stood):
        yield Finding(
            "unaligned",
            "warning",
            f"the plate lies up to {most:.1f} px from where it was filmed, and --align {e.align} leaves that so",
            "take --align first" if stood else "take --align every",
            numbers,
        )
    elif stood:
        yield Finding(
            "moved-once",
            "note",
            f"the camera stood {most:.1f} px elsewhere when the plate was filmed, and stands still in the clip",
            "--align first is enough, and steadier; put the camera back to its place before you film the plate",
            numbers,
        )
    else:
        yield Finding(
            "moving-camera",
            "note",
            f"the camera moves: the plate lies up to {most:.1f} px from where it was filmed",
            "keep --align every, which is the default; a tripod is better",
            numbers,
        )


def parallax(e: Evidence) -> Iterator[Finding]:
    """What no shift, turn or zoom of the plate explains."""
    shifts = [look.shifts for look in e.good if len(look.shifts) >= 4]
    if not shifts:
        return
    off = np.linalg.norm(np.concatenate(shifts), axis=1)
    limit = _PARALLAX * max(e.size) / 1000
    median, high = float(np.median(off)), float(np.quantile(off, 0.9))
    if median > limit / 2 or high > limit:
        yield Finding(
            "parallax",
            "warning",
            f"parts of the background are off by {median:.1f} px, some by {high:.1f} px, after the plate was aligned",
            "the camera stood elsewhere, so near things hide other parts of the far ones; film the plate from the very "
            "place of the clip",
            {"median": median, "high": high},
        )


def light(e: Evidence) -> Iterator[Finding]:
    """Exposure and white balance."""
    good = e.good
    if not good:
        return
    if e.is_strangely_lit:
        share = float(np.median([look.share for look in good]))
        brighter = np.mean([look.frame[look.inside].mean() for look in good if look.inside.any()]) > e.plate.mean()
        yield Finding(
            "strange-light",
            "reshoot",
            f"the clip is so much {'brighter' if brighter else 'darker'} than the plate that only {share:.0%} of it "
            f"looks like it, whatever is done to the light",
            "film the plate with the exposure of the clip, locked; or take one from the clip (--plate auto)",
            {"share": share},
        )
        return
    stops, warmth = (np.array([getattr(look, name) for look in good]) for name in ("stops", "warmth"))
    middle, tint = float(np.median(stops)), float(np.median(warmth))
    drift = float(np.ptp(stops)) if len(good) > 1 else 0.0
    numbers = {"stops": middle, "warmth": tint, "drift": drift}
    said = []
    if abs(middle) > _STOPS:
        said.append(f"{abs(middle):.1f} stops {'brighter' if middle > 0 else 'darker'}")
    if max(tint, 1 / tint) > _WARMER:
        said.append(f"{'warmer (redder)' if tint > 1 else 'cooler (bluer)'} by {max(tint, 1 / tint) - 1:.0%}")
    if said:
        is_much = abs(middle) > _MANY_STOPS or max(tint, 1 / tint) > _MUCH_WARMER
        yield Finding(
            "other-light",
            "warning" if is_much or e.align == "off" else "note",
            f"the clip is {' and '.join(said)} than the plate",
            "this is evened out, but what is lost in the dark or burnt out is not: lock exposure and white balance "
            "before you film both"
            if e.align != "off"
            else "--align off leaves it so: take --align first or every, which even it out",
            numbers,
        )
    uneven = float(np.median([look.alignment.light.unevenness for look in good]))
    if uneven > _UNEVEN:
        yield Finding(
            "uneven-light",
            "note" if e.align != "off" else "warning",
            f"the light changed in one part of the picture more than in another, by some {uneven:.0%}",
            "this is evened out, unless it is --align off; a lamp that was switched, a window or a vignette can be the "
            "cause",
            {"unevenness": uneven},
        )
    if drift > _STOPS * 1.5:
        yield Finding(
            "drifting-light",
            "note",
            f"the exposure of the clip drifts by {drift:.1f} stops",
            "keep --align every, which is the default; lock the exposure next time",
            numbers,
        )


def focus(e: Evidence) -> Iterator[Finding]:
    """The plate sharper or softer than the clip's background."""
    known = [look.focus for look in e.good if look.focus is not None]
    if not known:
        return
    ratio = float(np.median(known))
    if ratio < _SOFT:
        yield Finding(
            "soft-plate",
            "reshoot" if ratio < _HOPELESS else "warning",
            f"the plate is out of focus: it has {ratio:.0%} of the fine detail of the clip's background",
            "film it with the focus locked where it is in the clip, or take one from the clip (--plate auto)",
            {"ratio": ratio},
        )
    elif ratio > _CRISP:
        yield Finding(
            "soft-clip",
            "warning",
            f"the plate is sharper than the clip's background: it has {ratio:.1f} times the fine detail",
            "lock the focus on the subject's place before you film both, or take a plate from the clip (--plate auto)",
            {"ratio": ratio},
        )


def noise(e: Evidence) -> Iterator[Finding]:
    """Noise of plate and clip."""
    if not e.good:
        return
    clip = float(np.median([look.noise for look in e.good]))
    if clip > _NOISY:
        yield Finding(
            "noisy-clip",
            "note",
            f"the clip is noisy: about {255 * clip:.0f} of 255 steps",
            "more light on the scene, or a lower ISO, gives cleaner edges",
            {"clip": clip},
        )
    if e.plate_noise is not None and e.plate_noise > _NOISY and e.plate_noise > 1.5 * clip:
        yield Finding(
            "noisy-plate",
            "note",
            f"the plate is noisy: about {255 * e.plate_noise:.0f} of 255 steps",
            "film a second of the empty scene and make one picture of it: bgmv2 plate EMPTY -o PLATE.png --from median",
            {"plate": e.plate_noise},
        )


def coverage(e: Evidence) -> Iterator[Finding]:
    """How much of the frames the plate shows."""
    if not e.good:
        return
    least = min(e.good, key=lambda look: look.coverage)
    if least.coverage < _COVERED:
        hardly = float(np.median([look.coverage for look in e.good])) < _HARDLY_COVERED
        yield Finding(
            "uncovered",
            "warning" if least.coverage < 0.9 or hardly else "note",
            f"the plate shows only {least.coverage:.0%} of the frame at {least.seconds:.2f} s",
            "what it never saw is guessed: film the plate wider, or as a sweep (bgmv2 plate SWEEP --mosaic)",
            {"least": least.coverage},
        )


def settled(e: Evidence) -> Iterator[Finding]:
    """Things that are on the plate alone, or in the clip from beginning to end."""
    if not e.regions:
        return
    ghosts = [region for region in e.regions if region.side == "plate" and region.stir <= _STIR_OF_GHOSTS]
    if sum(region.area for region in ghosts) < _GHOST:
        ghosts = [region for region in ghosts if region.stir <= _STIR_OF_PATCHES]
    others = [region for region in e.regions if region not in ghosts]
    things = [region for region in others if region.stir <= _STIR] if _is_somebody_else(e) else []
    if ghosts:
        area = sum(region.area for region in ghosts)
        boxes = tuple(_enlarged(region.box, e.scale) for region in ghosts)
        large = [region for region in ghosts if region.area > _GHOST]
        is_person = any(region.box[3] > 0.8 * region.box[2] for region in large)
        what = "somebody or something" if is_person else "something"
        yield Finding(
            "ghost",
            "reshoot" if large else "warning",
            f"{what} stood {_where(ghosts[0], e)} when the plate was filmed, and is not there in the clip"
            + (f" (and in {len(ghosts) - 1} more places)" if len(ghosts) > 1 else ""),
            "the subject, or a thing that was moved, is on the plate: film the scene without it, or take a plate from "
            "the clip (--plate auto)"
            if large
            else "if it is taken for subject, paint it white in a picture and give that as --garbage",
            {"area": area, "largest": ghosts[0].area, "regions": len(ghosts)},
            boxes,
        )
    for name, severity, said, advice, regions in (
        (
            "moved-object",
            "warning",
            "something stands {} from beginning to end that is not on the plate, and nothing stirs there",
            "it will be matted as subject: if it is not, film the plate with it, or paint it white for --garbage",
            things,
        ),
        (
            "still-subject",
            "note",
            "somebody or something is {} from beginning to end, and moves little",
            "if that is your subject, all is well; if it is a thing that came later, film the plate with it",
            [region for region in others if region not in things and region.area > _GHOST],
        ),
    ):
        if regions:
            yield Finding(
                name,
                severity,  # type: ignore[arg-type]
                said.format(_where(regions[0], e)),
                advice,
                {"area": sum(region.area for region in regions), "regions": len(regions)},
                tuple(_enlarged(region.box, e.scale) for region in regions),
            )


def nobody(e: Evidence) -> Iterator[Finding]:
    """No subject to be seen."""
    if not e.good:
        return
    most = max(float(look.differs.mean()) for look in e.good)
    if any(look.pha is not None for look in e.good):
        most = max(most, max(float(look.pha.mean()) for look in e.good if look.pha is not None))
    if most < _NOBODY:
        yield Finding(
            "nobody",
            "warning",
            f"no subject was found in {len(e.good)} frames: clip and plate are alike",
            "if there is one, it stands on the plate, too: film the scene without it, or take a plate from the clip "
            "(--plate auto)",
            {"most": most},
        )


def shadows(e: Evidence) -> Iterator[Finding]:
    """The subject's shadow on the background."""
    shares = []
    for look in e.good:
        if look.pha is None:
            continue
        src, bgr = (torch.from_numpy(np.ascontiguousarray(x)).permute(2, 0, 1)[None] for x in (look.frame, look.plate))
        pha, inside = (torch.from_numpy(x.astype(np.float32))[None, None] for x in (look.pha, look.inside))
        shares.append(float((compose.shade(src, bgr, pha, covered=inside) < 0.9).float().mean()))
    share = float(np.median(shares)) if shares else 0.0
    if share > 0.01:
        yield Finding(
            "shadow",
            "note",
            f"the subject casts a shadow on {share:.0%} of the picture",
            "it counts as background; --keep-shadow 1 lays it onto the backdrop, too",
            {"share": share},
        )


def expected(e: Evidence) -> Iterator[Finding]:
    """What the network makes of the frames."""
    asked = [look for look in e.good if look.stray is not None]
    if not asked:
        return
    error = float(np.median([look.error or 0 for look in asked]))
    if error > _UNSURE:
        yield Finding(
            "unsure",
            "warning",
            f"the network expects its alpha to be off by {error:.1%} on average, which is much",
            "what stands above may be the cause; if not, a plainer background, more light, or --mirror helps",
            {"error": error},
        )
    stray = float(np.median([look.stray or 0 for look in asked]))
    if stray > _STRAY:
        yield Finding(
            "stray",
            "warning",
            f"where clip and plate agree, {stray:.1%} of the picture is taken for subject",
            "look at the pictures (--pictures); --mirror makes it steadier, and --garbage removes what stays away from "
            "the subject",
            {"stray": stray},
        )


SIGNS = (
    plate_alone,
    scene,
    settled,
    nobody,
    focus,
    parallax,
    coverage,
    camera,
    light,
    noise,
    shadows,
    expected,
)


def summary(e: Evidence) -> dict[str, float | str | None]:
    """The whole in numbers: medians over the frames to which the plate belongs."""

    def median(name: str) -> float | None:
        values = [look.numbers[name] for look in e.good]
        known = [float(value) for value in values if value is not None]
        return round(float(np.median(known)), 5) if known else None

    names = ("share", "coverage", "differs", "stops", "warmth", "noise", "focus", "shift", "residual", "error", "stray")
    unknown = ("stops", "warmth") if e.is_strangely_lit else ()
    return {
        "frames": len(e.looks),
        "fitting": len(e.good),
        "moved": round(max((look.moved for look in e.good), default=0.0), 2),
        **{name: None if name in unknown else median(name) for name in names},
        "plate_noise": None if e.plate_noise is None else round(e.plate_noise, 5),
        "cuts": len(e.cuts),
        "regions": len(e.regions),
    }


def facts(e: Evidence, *, hopeless: bool) -> tuple[str, ...]:
    """The whole in words, a line each; of a `hopeless` pair, what the network expects is no promise."""
    if not e.good:
        return ()
    numbers = summary(e)
    moved, error, focus = numbers["moved"], numbers["error"], numbers["focus"]
    words = [
        f"the plate fits {len(e.good)} of {len(e.looks)} frames that were looked at",
        f"on average, {numbers['share']:.0%} of a frame looks like it",
        "the camera did not move" if not moved else f"the camera moved by up to {moved:.1f} px",
    ]
    lines = ["; ".join(words)]
    lines += [f"fine detail of the plate against the clip's: {focus:.2f} (1 is alike)"] if focus is not None else []
    if isinstance(error, float) and not hopeless:
        word = next(word for limit, word in _QUALITIES if error <= limit)
        lines.append(f"expected quality: {word} (the network expects its alpha to be off by {error:.1%} on average)")
    return tuple(lines)


def _parts(e: Evidence) -> list[tuple[float, bool]]:
    """The scenes of a clip that fit and do not, as instants from which on that is so; neighbours differ."""
    starts = [0.0, *e.cuts]
    parts: list[tuple[float, bool]] = []
    for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
        within = [look.belongs for look in e.telling if start <= look.seconds < end]
        if not within:
            continue
        fits = sum(within) * 2 > len(within)
        if not parts or parts[-1][1] != fits:
            parts.append((start, fits))
    return parts


def _is_somebody_else(e: Evidence) -> bool:
    """Tell whether more differs from the plate than what has settled."""
    settled = np.any([region.mask for region in e.regions], axis=0)
    near = cv2.dilate(settled.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    return bool(np.mean([(look.differs & ~near).mean() for look in e.good]) > _SUBJECT)


def _where(region: Region, e: Evidence) -> str:
    """Where a region is, in words."""
    x, y, width, height = region.box
    across = (x + width / 2) / e.plate.shape[1]
    down = (y + height / 2) / e.plate.shape[0]
    side = "on the left" if across < 0.35 else "on the right" if across > 0.65 else "in the middle"
    level = " at the top" if down < 0.25 else " at the bottom" if down > 0.75 else ""
    return f"{side}{level} ({region.area:.1%} of the picture)"


def _enlarged(box: tuple[int, int, int, int], scale: float) -> tuple[int, int, int, int]:
    x, y, width, height = (round(value * scale) for value in box)
    return x, y, width, height
