"""The static metadata of HDR10: read from decoded frames, and told to encoders that take it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import av

from bgmv2.types import LightInfo


def light_of(frame: av.VideoFrame) -> LightInfo | None:
    """Read what a frame says of the display it was graded on and of its clip's brightness.

    Args:
        frame: as decoded.

    Returns:
        None if it says nothing.
    """
    display, content = (frame.side_data.get(name) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"))
    primaries = luminance = None
    if display is not None:
        # FFmpeg's AVMasteringDisplayMetadata: red, green, blue and white as x and y, then black and white luminance,
        # all of them fractions, and two flags that say which of it counts.
        *numbers, has_primaries, has_luminance = struct.unpack("<22i", bytes(display))  # type: ignore[call-overload]
        values = [top / max(1, bottom) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
        primaries = tuple(zip(values[:8:2], values[1:8:2], strict=True)) if has_primaries else None
        luminance = (values[8], values[9]) if has_luminance else None
    levels = None if content is None else struct.unpack("<2I", bytes(content))  # type: ignore[call-overload]
    if primaries is None and luminance is None and levels is None:
        return None
    return LightInfo(primaries, luminance, levels)


@dataclass(frozen=True)
class _Words:
    """How an encoder wants to be told."""

    option: str
    display: str
    content: str
    # Steps of a chromaticity and of a luminance; None takes plain decimals.
    steps: tuple[int, int] | None


_WORDS = {
    "libx265": _Words("x265-params", "master-display", "max-cll", (50_000, 10_000)),
    "libsvtav1": _Words("svtav1-params", "mastering-display", "content-light", None),
}


def with_light(options: dict[str, str], encoder: str, light: LightInfo | None) -> dict[str, str]:
    """Add the metadata to what an encoder is told.

    Args:
        options: for the encoder.
        encoder: FFmpeg's name; those that take no such metadata get none.
        light: what the clip says; None if nothing.

    Returns:
        New options.
    """
    words = _WORDS.get(encoder)
    if words is None or light is None:
        return options
    parts = [options[words.option]] if words.option in options else []
    if light.primaries is not None and light.luminance is not None:
        points, levels = light.primaries, light.luminance
        one, candela = words.steps or (1, 1)
        red, green, blue, white = (",".join(_number(value, one) for value in point) for point in points)
        black, top = (_number(level, candela) for level in levels)
        parts.append(f"{words.display}=G({green})B({blue})R({red})WP({white})L({top},{black})")
    if light.content is not None:
        parts.append(f"{words.content}={light.content[0]},{light.content[1]}")
    return {**options, words.option: ":".join(parts)} if parts else options


def _number(value: float, steps: int) -> str:
    return f"{value:.6f}" if steps == 1 else str(round(value * steps))
