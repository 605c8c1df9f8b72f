"""The background of a scene in which somebody moves: statistics over time, and a network's votes on who is subject.

Frames are ``(N, H, W, 3)`` integers in one view, votes ``(N, H, W)`` bool: where a frame may show the background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from bgmv2.plate.views import reduced_size

# Colours that differ by less, in code values of 8 bits in each channel, are the same thing seen twice: noise, lossy
# codecs and leaves in the wind lie below.
_ALIKE = 12
# Rows of the picture that are worked on together, as so many pixels.
_TILE = 1 << 18
# Less often than in this share of the frames, and in fewer frames, a colour was hardly seen.
_SELDOM, _FEWEST = 0.06, 2
# A second colour is weighed against the first if it was seen so often.
_RIVAL = 0.08
# Of two colours the one whose patch joins its surroundings with less contrast is background; nearer to each other
# than this nobody can tell.
_CLEARLY = 0.8
# Patches of rivals that are smaller, as a share of the picture, are noise.
_PATCH = 1e-4
# The network looks at pictures of this long side. Alpha and expected error below these say background; around what is
# not, as many pixels are left out, as a share of the picture's diagonal.
_SIDE, _ALPHA, _ERROR, _MARGIN = 640, 0.1, 0.25, 0.012
# How often the network votes at most, each time against the plate that its last votes made; and the share of the
# picture that votes change when they have come to rest.
_ROUNDS, _REST = 4, 0.002
# How many colours are tried on for each hole; below this alpha the network calls a frame that has such a colour
# background, which it must do for this share of the frames that have it. Shares are averaged over so many pixels, as a
# share of the picture's diagonal.
_TRIALS, _FREE, _BELIEVED, _AROUND = 2, 0.2, 0.5, 0.003
# How often each frame is looked at by the network, at most.
LOOKS = _ROUNDS + _TRIALS
# Holes are painted in at this long side.
_PAINT_SIDE, _PAINT_RADIUS = 320, 5

# Takes frame and plate, ``(h, w, 3)`` of integers; returns alpha and its expected error, ``(h, w)`` in 0..1.
Judge = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Mode(NamedTuple):
    """The colour that each pixel has most often.

    Args:
        picture: ``(H, W, 3)``, of the frames' type: the mean of the frames that agree.
        support: ``(H, W)`` how many agree; 0 where no frame has a vote.
    """

    picture: np.ndarray
    support: np.ndarray


@dataclass(frozen=True, eq=False)
class Estimate:
    """A background that was found in frames of a clip.

    Args:
        picture: ``(H, W, 3)`` of the frames' type; made up where it was not seen.
        seen: ``(H, W)`` bool.
        doubtful: share of the picture in which two things were seen for long, and nothing told which is background.
        still: the network saw nobody in any frame.
    """

    picture: np.ndarray
    seen: np.ndarray
    doubtful: float = 0.0
    still: bool = False


def median(pixels: np.ndarray, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the median of each channel over the frames that have a vote.

    Returns:
        ``(H, W, 3)`` of the frames' type, and ``(H, W)`` bool, where any frame had a vote; black elsewhere.
    """
    picture = np.zeros(pixels.shape[1:], pixels.dtype)
    for rows in _tiles(pixels.shape):
        tile, vote = pixels[:, rows], votes[:, rows]
        if vote.all():
            picture[rows] = np.median(tile, axis=0).astype(pixels.dtype)
            continue
        # What has no vote is sorted behind all others.
        order = np.sort(np.where(vote[..., None], tile, np.iinfo(pixels.dtype).max), axis=0)
        middle = np.maximum(np.count_nonzero(vote, axis=0) - 1, 0) // 2
        picture[rows] = np.take_along_axis(order, middle[None, ..., None], axis=0)[0]
    seen: np.ndarray = np.any(votes, axis=0)
    picture[~seen] = 0
    return picture, seen


def mode(pixels: np.ndarray, votes: np.ndarray) -> Mode:
    """Find the colour on which most frames that have a vote agree, however few of all frames those are."""
    picture = np.zeros(pixels.shape[1:], pixels.dtype)
    support = np.zeros(pixels.shape[1:3], np.uint8)
    for rows in _tiles(pixels.shape):
        tile = pixels[:, rows]
        centre = _densest(tile, votes[:, rows])
        total = np.zeros(centre.shape, np.float32)
        for one, vote in zip(tile, votes[:, rows], strict=True):
            agrees = _alike(one, centre, _ALIKE) & vote
            cv2.accumulate(one, total, agrees.astype(np.uint8))
            support[rows] += agrees
        mean = total / np.maximum(support[rows], 1)[..., None]
        picture[rows] = np.rint(mean).astype(pixels.dtype)
    return Mode(picture, support)


def without(pixels: np.ndarray, votes: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Return the votes less those for a picture's colours."""
    return np.stack([vote & ~_alike(one, picture, 2 * _ALIKE) for one, vote in zip(pixels, votes, strict=True)])


def background(
    pixels: np.ndarray, inside: np.ndarray, judge: Judge, *, tell: Callable[[], None] = lambda: None
) -> Estimate:
    """Find the background behind a subject that moves.

    The draft is the colour that each pixel has most often; where a second one was seen often, too, the one that joins
    its surroundings without an edge. Then the network says for each frame who is subject, if the draft is the plate,
    and the draft is made anew of what is left; and so again. Where nothing was left, it is a hole, which is painted in:
    so the network sees a difference there, and who stands still is found out from what of him moves. The same makes it
    take the room for subject where that is behind a hole. So at last the holes get back the colours that they have most
    often, and then those that come next: it is background if the network agrees that nobody is there when it shows.

    Args:
        pixels: ``(N, H, W, 3)`` frames in one view.
        inside: ``(N, H, W)`` bool, where they show something.
        judge: the network.
        tell: is called whenever the network has looked at a frame.
    """
    draft = mode(pixels, inside)
    picture, doubtful = _settled(pixels, inside, draft)
    seen = draft.support > 0
    picture = filled(picture, seen)
    least = max(_FEWEST, round(_SELDOM * len(pixels)))
    still = True
    for _ in range(_ROUNDS):
        before = seen
        votes = inside.copy()
        for vote, (alpha, error) in zip(votes, _judged(pixels, inside, judge, picture, tell), strict=True):
            subject = _widened((alpha > _ALPHA) | (error > _ERROR))
            still = still and not subject.any()
            vote &= cv2.resize(subject, vote.shape[::-1], interpolation=cv2.INTER_NEAREST) == 0
        draft = mode(pixels, votes)
        seen = _tidied(draft.support >= least)
        picture = filled(draft.picture, seen)
        if np.mean(seen != before) < _REST:
            break
    picture, seen = _tried(pixels, inside, judge, picture, seen, least=least, tell=tell)
    return Estimate(filled(picture, seen), seen, doubtful, still)


def _tried(
    pixels: np.ndarray,
    inside: np.ndarray,
    judge: Judge,
    picture: np.ndarray,
    seen: np.ndarray,
    *,
    least: int,
    tell: Callable[[], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Try on for holes the colours that they have most often; return the picture and where it was seen."""
    left = inside
    side = 2 * max(1, round(_AROUND * float(np.hypot(*seen.shape)))) + 1
    for _ in range(_TRIALS):
        if seen.all():
            break
        trial = mode(pixels, left)
        plate = np.where(seen[..., None], picture, trial.picture)
        agreeing, free = np.zeros(seen.shape, np.float32), np.zeros(seen.shape, np.float32)
        looks = _judged(pixels, inside, judge, plate, tell)
        for one, vote, (alpha, _) in zip(pixels, inside, looks, strict=True):
            alike = _alike(one, plate, _ALIKE) & vote
            agreeing += alike
            free += alike & (cv2.resize(alpha, seen.shape[::-1], interpolation=cv2.INTER_LINEAR) < _FREE)
        share = cv2.blur(free, (side, side)) / np.maximum(cv2.blur(agreeing, (side, side)), 1e-3)
        believed = ~seen & (trial.support > 0) & (free >= least) & (share > _BELIEVED)
        picture = np.where(believed[..., None], trial.picture, picture)
        seen = _tidied(seen | believed)
        left = without(pixels, left, trial.picture)
    return picture, seen


def filled(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Paint holes in from their rims, smoothly: at reduced size, which is all that may be said of what nobody saw.

    Source: Telea, *An Image Inpainting Technique Based on the Fast Marching Method*, 2004, as OpenCV has it.

    Args:
        picture: ``(H, W, 3)`` of integers.
        seen: ``(H, W)`` bool; nothing at all seen leaves the picture as it is.
    """
    if seen.all() or not seen.any():
        return picture
    height, width = seen.shape
    scale = min(1.0, _PAINT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Colours of holes must not bleed into the reduced rim.
    weight = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    whole = np.where(seen[..., None], picture, 0).astype(np.float32)
    known = cv2.resize(whole, size, interpolation=cv2.INTER_AREA) / np.maximum(weight, 1e-3)[..., None]
    top = np.iinfo(picture.dtype).max
    holes = (weight < 0.5).astype(np.uint8)
    small = np.clip(np.rint(known * (255 / top)), 0, 255).astype(np.uint8)
    painted = cv2.inpaint(small, holes, _PAINT_RADIUS, cv2.INPAINT_TELEA).astype(np.float32) * (top / 255)
    blurred = cv2.GaussianBlur(painted, (0, 0), 2)
    painted = np.where(holes[..., None] > 0, blurred, known)
    large = cv2.resize(painted, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(seen[..., None], picture, np.clip(np.rint(large), 0, top).astype(picture.dtype))


def _tiles(shape: tuple[int, ...]) -> list[slice]:
    """Cut the rows of frames into pieces of which a working copy of each frame is small."""
    rows = max(1, _TILE // shape[2])
    return [slice(start, start + rows) for start in range(0, shape[1], rows)]


def _eight(pixels: np.ndarray) -> np.ndarray:
    """Round to 8 bits what is only compared."""
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def _alike(a: np.ndarray, b: np.ndarray, tolerance: int) -> np.ndarray:
    """Tell where two pictures ``(H, W, 3)`` have the same colours."""
    difference = cv2.absdiff(_eight(a), _eight(b))
    return cv2.inRange(difference, (0, 0, 0), (tolerance,) * 3) > 0


def _densest(tile: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Return at each pixel that frame's colour with which most others agree, of those with a vote."""
    eight = [_eight(one) for one in tile]
    masks = [vote.astype(np.uint8) for vote in votes]
    counts = np.stack(masks)
    limit = (_ALIKE,) * 3
    for index, one in enumerate(eight):
        for other in range(index):
            same = cv2.inRange(cv2.absdiff(one, eight[other]), (0, 0, 0), limit)
            agrees = np.asarray(same) & masks[index] & masks[other]
            counts[index] += agrees
            counts[other] += agrees
    best = counts.argmax(axis=0)
    return np.take_along_axis(tile, best[None, ..., None], axis=0)[0]


def _settled(pixels: np.ndarray, inside: np.ndarray, draft: Mode) -> tuple[np.ndarray, float]:
    """Choose between the two colours that were seen for longest, patch by patch.

    Who stood in one place for most of the time is what most frames agree on there. But his outline is an edge that
    crosses whatever the room has there, while the room goes on across it.

    Returns:
        ``(H, W, 3)``, and the share of the picture where nothing told them apart.
    """
    rival = mode(pixels, without(pixels, inside, draft.picture))
    often = rival.support >= max(_FEWEST, round(_RIVAL * len(pixels)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    patches = cv2.morphologyEx(often.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    patches = cv2.morphologyEx(patches, cv2.MORPH_CLOSE, kernel)
    number, labels, stats, _ = cv2.connectedComponentsWithStats(patches)
    picture = draft.picture.copy()
    doubtful = 0
    for label in range(1, number):
        x, y, width, height, area = stats[label]
        if area < _PATCH * often.size:
            continue
        rows, columns = slice(max(0, y - 4), y + height + 4), slice(max(0, x - 4), x + width + 4)
        patch = labels[rows, columns] == label
        first = draft.picture[rows, columns]
        other = np.where((patch & (rival.support[rows, columns] > 0))[..., None], rival.picture[rows, columns], first)
        ours, theirs = _edge(first, patch), _edge(other, patch)
        if theirs < _CLEARLY * ours:
            picture[rows, columns] = other
        elif theirs * _CLEARLY < ours:
            doubtful += int(area)
    return picture, doubtful / often.size


def _edge(picture: np.ndarray, patch: np.ndarray) -> float:
    """Measure the contrast of a picture along the outline of a patch."""
    grey = cv2.GaussianBlur(_eight(picture), (0, 0), 1).astype(np.float32)
    across = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).max(axis=2)
    mask = patch.astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    rim = cv2.dilate(mask, kernel) - cv2.erode(mask, kernel)
    return float(across[rim > 0].mean()) if rim.any() else 0.0


def _reduced(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, reduced_size(picture.shape[:2], _SIDE)[::-1], interpolation=cv2.INTER_AREA)


def _judged(
    pixels: np.ndarray, inside: np.ndarray, judge: Judge, plate: np.ndarray, tell: Callable[[], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ask the network of each frame, at reduced size; yield alpha and its expected error, ``(h, w)``."""
    small = _reduced(plate)
    for one, where in zip(pixels, inside, strict=True):
        # Beyond its edges a frame has no say, and should not seem to differ there.
        shown = one if where.all() else np.where(where[..., None], one, plate)
        yield judge(_reduced(shown), small)
        tell()


def _widened(subject: np.ndarray) -> np.ndarray:
    """Widen a mask ``(h, w)`` by the margin; single pixels, which are noise, are left out; uint8."""
    kept = cv2.morphologyEx(subject.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    radius = max(1, round(_MARGIN * float(np.hypot(*subject.shape))))
    return cv2.dilate(kept, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))


def _tidied(seen: np.ndarray) -> np.ndarray:
    """Leave out crumbs that were seen inside of holes; they are mistakes of the votes."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    return cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0
