"""The nouns that travel between the rooms: `Frame`, `VideoInfo`, `Plate`, `Matte`, and what a source and a sink are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import NamedTuple, Protocol

import numpy as np
import torch

StrPath = str | PathLike[str]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a clip and the instant at which it is shown.

    Args:
        pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA with straight alpha, or ``(H, W)`` grey; uint8 or uint16, full
            range.
        pts: presentation timestamp, in units of `time_base`.
        time_base: seconds per tick.

    Raises:
        ValueError: the array has another shape or type.
    """

    pixels: np.ndarray
    pts: int = 0
    time_base: Fraction = Fraction(1, 1)

    def __post_init__(self) -> None:
        if self.pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a frame holds uint8 or uint16, got {self.pixels.dtype = }")
        if self.pixels.ndim != 2 and not (self.pixels.ndim == 3 and self.pixels.shape[2] in (3, 4)):
            raise ValueError(f"a frame is (H, W, 3), (H, W, 4) or (H, W), got {self.pixels.shape = }")

    @property
    def seconds(self) -> float:
        """When the picture is shown, in seconds from the clip's zero."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class LightInfo:
    """On what display an HDR clip was graded, and how bright it gets: the static metadata of HDR10.

    Args:
        primaries: chromaticities (x, y) of that display's red, green, blue and white; None if unknown.
        luminance: of its black and white, in candela per square metre; None if unknown.
        content: the brightest pixel of the clip, and the brightest average of a frame, in candela per square metre;
            None if unknown.
    """

    primaries: tuple[tuple[float, float], ...] | None = None
    luminance: tuple[float, float] | None = None
    content: tuple[int, int] | None = None


@dataclass(frozen=True)
class ColorInfo:
    """How a clip's code values mean colours; the numbers are those of ITU-T H.273, 2 is *unspecified*.

    Args:
        matrix: matrix coefficients, 1 is BT.709, 5 and 6 BT.601, 9 BT.2020.
        primaries: colour primaries.
        transfer: transfer characteristics.
        full_range: True for 0..255, False for 16..235.
        light: what an HDR clip says of brightness; None if nothing.
    """

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False
    light: LightInfo | None = None


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a clip before its first frame is decoded.

    Args:
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        rate: average frames per second.
        time_base: seconds per tick of the frames' timestamps.
        rotation: degrees counter-clockwise by which the stored picture was turned to stand upright; frames are
            delivered upright, so this is for the record.
        aspect: width of a pixel of the upright picture by its height; 1 for square ones, and if the clip does not say.
        color: what the clip's colour tags say; untagged clips are told by their height, as players do.
        bits: of each component as stored; more than 8 come as uint16, whose white is always 65535.
        start: instant of the clip, in seconds, from which on it was asked for; None from its beginning on.
        end: instant of the clip, in seconds, before which what was asked for ends; None if that is the clip's end, or
            if a number of frames was asked for.
        frames: a hint for progress bars, never a loop bound; None if unknown.
        number: of the first frame where frames are numbered pictures; numbered results count from it, too.
    """

    width: int
    height: int
    rate: Fraction = Fraction(30)
    time_base: Fraction = Fraction(1, 30)
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    color: ColorInfo = ColorInfo()
    bits: int = 8
    start: Fraction | None = None
    end: Fraction | None = None
    frames: int | None = None
    number: int = 0


@dataclass(frozen=True, eq=False)
class Plate:
    """The clean background that was filmed without the subject.

    Args:
        bgr: ``(3, H, W)`` float32 in 0..1, RGB, sized like the clip; larger if it was made of a sweep over the scene.
        seen: ``(1, H, W)`` bool, where the plate shows the scene; elsewhere its colours are made up. None: everywhere.

    Raises:
        ValueError: a tensor has another shape or type.
    """

    bgr: torch.Tensor
    seen: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.bgr.ndim != 3 or self.bgr.shape[0] != 3 or not self.bgr.is_floating_point():
            raise ValueError(f"a plate is a float tensor (3, H, W), got {self.bgr.shape = }, {self.bgr.dtype = }")
        if self.seen is not None and (self.seen.shape != (1, *self.bgr.shape[1:]) or self.seen.dtype != torch.bool):
            raise ValueError(f"what was seen is bool (1, H, W), got {self.seen.shape = }, {self.seen.dtype = }")

    def to(self, device: torch.device) -> Plate:
        """Return the same plate on a device."""
        return Plate(self.bgr.to(device), None if self.seen is None else self.seen.to(device))


class Matte(NamedTuple):
    """What the network says of a batch of frames; all in 0..1.

    Args:
        pha: ``(B, 1, H, W)`` alpha.
        fgr: ``(B, 3, H, W)`` foreground colours, straight (not multiplied by alpha).
        err: ``(B, 1, h, w)`` error the base network predicts for its own alpha, coarse.
        ref: ``(B, 1, ceil(H / 4), ceil(W / 4))`` 1 where a 4x4 patch was refined.
    """

    pha: torch.Tensor
    fgr: torch.Tensor
    err: torch.Tensor
    ref: torch.Tensor


class FrameSource(Protocol):
    """Frames in order of presentation; iterate once, then close."""

    @property
    def info(self) -> VideoInfo:
        """What is known before the first frame."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def skip(self, count: int) -> None:
        """Pass over the next frames, which takes less time than looking at them."""
        ...

    def close(self) -> None:
        """Release the file or device; may be called twice."""
        ...


class FrameSink(Protocol):
    """Takes frames in order of presentation; nothing stands under the final name before `close`."""

    def write(self, frame: Frame) -> None:
        """Add one frame."""
        ...

    def close(self) -> None:
        """Finish, and give the result its final name."""
        ...

    def discard(self) -> None:
        """Remove what was written so far; does nothing after `close`."""
        ...
