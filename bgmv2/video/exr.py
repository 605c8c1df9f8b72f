"""OpenEXR: linear light on disk, sRGB-coded integers in here, and the curve between the two.

Everything else in bgmv2 works on coded values, as clips hold them. An EXR's light from 0 to 1 becomes 0 to 65535 along
the curve of sRGB, and back; only clips in PQ and HLG are written along their own curves.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np

from bgmv2.errors import Bgmv2Error, Bgmv2Warning, OutputError, VideoError
from bgmv2.types import ColorInfo
from bgmv2.video.probe import check_readable, check_size
from bgmv2.video.quiet import quiet

# Candela per square metre of the white of paper in HDR; Source: ITU-R BT.2408.
HDR_WHITE = 203

# x and y of red, green, blue and white by the number of the primaries; Source: ITU-T H.273, table 2.
_CHROMATICITIES = {
    1: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, 0.3127, 0.3290),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
}


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Bring linear light to the coded values of sRGB.

    Args:
        linear: any shape; 0 is black, 1 is white; what lies outside is clipped, what is no number is black.

    Returns:
        float64 of the same shape, 0..1.

    Source: IEC 61966-2-1. The curve is piecewise, not a power of 2.2.
    """
    light = np.clip(np.nan_to_num(linear.astype(np.float64), nan=0), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def decode_srgb(coded: np.ndarray) -> np.ndarray:
    """Bring coded values of sRGB to linear light; undoes `encode_srgb`.

    Args:
        coded: any shape, 0..1.

    Returns:
        float64 of the same shape, 0..1.

    Source: IEC 61966-2-1.
    """
    values = coded.astype(np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def from_linear(linear: np.ndarray) -> np.ndarray:
    """Bring linear light to sRGB-coded integers, rounded.

    Args:
        linear: floats of any shape and precision; 0 is black, 1 is white; what lies outside is clipped.

    Returns:
        uint16 of the same shape.
    """
    if linear.dtype == np.float16:
        return _halves_to_integers()[linear.view(np.uint16)]
    return np.rint(encode_srgb(linear) * 65535).astype(np.uint16)


def decode_pq(coded: np.ndarray) -> np.ndarray:
    """Bring coded values of PQ to linear light.

    Args:
        coded: any shape, 0..1.

    Returns:
        float64 of the same shape; 1 is `HDR_WHITE`, the brightest about 49.

    Source: ITU-R BT.2100, table 4.
    """
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = coded.astype(np.float64) ** (1 / m2)
    return (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 10_000 / HDR_WHITE


def decode_hlg(coded: np.ndarray) -> np.ndarray:
    """Bring coded values of HLG to linear light of the scene.

    Args:
        coded: any shape, 0..1.

    Returns:
        float64 of the same shape; 1 is what is coded as 0.75, the white of paper, and the brightest about 3.8.

    Source: ITU-R BT.2100, table 5, and BT.2408 for the white.
    """

    def scene(signal: np.ndarray) -> np.ndarray:
        return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)

    return scene(coded.astype(np.float64)) / scene(np.array(0.75))


def to_linear(pixels: np.ndarray, *, transfer: int = 13) -> np.ndarray:
    """Bring coded integers to linear light; undoes `from_linear`. Alpha is no light: leave it out.

    Args:
        pixels: uint8 or uint16 of any shape, full range.
        transfer: characteristics in ITU-T H.273; 16 is PQ, 18 HLG, all others are taken for sRGB.

    Returns:
        float32 of the same shape; 0 is black, 1 is white, only PQ and HLG go beyond.
    """
    return _integers_to_light(np.iinfo(pixels.dtype).max, transfer)[pixels]


def read_exr(path: str | os.PathLike[str], warn: Callable[[str], None] | None = None) -> np.ndarray:
    """Read the picture of an EXR file, at the size of its display window.

    Args:
        path: an EXR file; of several parts the first. Its channels R, G and B count, or Y for a grey picture; alpha and
            layers are passed over. What the data window leaves open is black.
        warn: told if there is light above 1; None gives a `Bgmv2Warning`.

    Returns:
        ``(H, W, 3)`` uint16, full range, sRGB-coded; light above 1 is white.

    Raises:
        VideoError: there is no such file, it is damaged or too large, it holds no picture, or the package is missing.
    """
    path = Path(path)
    check_readable(path, wanted="picture")
    openexr = import_openexr(path, VideoError)
    with _reading(path):
        width, height = _size(path, openexr.File(str(path), header_only=True).header())
        part = openexr.File(str(path), separate_channels=True)
        header, channels = part.header(), part.channels()
        names = ["R", "G", "B"] if {"R", "G", "B"} <= channels.keys() else ["Y"]
        pixels = [channels[name].pixels for name in names if name in channels]
        if not pixels or any(plane.dtype not in (np.float16, np.float32) for plane in pixels):
            held = ", ".join(sorted(channels)) or "nothing"
            raise VideoError(f"{path} holds no light in channels R, G and B, only {held}; export it so")
        linear = np.stack(pixels, axis=-1)
    if (linear > 1).any():
        message = f"{path} holds light above 1, which becomes plain white; grade it down first to keep what is in there"
        if warn is None:
            warnings.warn(message, Bgmv2Warning, stacklevel=3)
        else:
            warn(message)
    return _placed(from_linear(linear), header, width, height)


def exr_tags(path: str | os.PathLike[str]) -> tuple[Fraction, int]:
    """Read what an EXR file says of its pixels.

    Args:
        path: an EXR file.

    Returns:
        Their width by their height, 1 if it says nothing that makes sense; and its primaries as a number of ITU-T
        H.273: those of BT.709 if it says nothing, 2 if they are none of those.

    Raises:
        VideoError: as `read_exr`.
    """
    path = Path(path)
    check_readable(path, wanted="picture")
    with _reading(path):
        header = import_openexr(path, VideoError).File(str(path), header_only=True).header()
    ratio, points = header.get("pixelAspectRatio", 1.0), header.get("chromaticities")
    known = (number for number, theirs in _CHROMATICITIES.items() if np.allclose(theirs, points, atol=1e-3))
    return (
        Fraction(ratio).limit_denominator(1000) if 0.01 < ratio < 100 else Fraction(1),
        1 if points is None else next(known, 2),
    )


def write_exr(
    path: str | os.PathLike[str],
    layers: Mapping[str, np.ndarray],
    *,
    color: ColorInfo,
    aspect: Fraction,
    premultiply: bool,
) -> None:
    """Write an EXR file: half floats, linear light, compressed without loss (ZIP). It replaces what is there.

    Args:
        path: the file.
        layers: name to ``(H, W, 3)`` RGB, ``(H, W, 4)`` straight RGBA or ``(H, W)`` grey; uint8 or uint16. The layer
            without a name is the picture itself. Colours become light; grey layers are data, as alpha is: 0..1.
        color: what the colours mean.
        aspect: width of a pixel by its height.
        premultiply: multiply the light of RGBA by its alpha, as is the custom in EXR.

    Raises:
        OutputError: the package is missing.
        OSError: the disk is full or fails.
    """
    path = Path(path)
    openexr = import_openexr(path, OutputError)
    channels: dict[str, np.ndarray] = {}
    for name, pixels in layers.items():
        values = pixels / np.float32(np.iinfo(pixels.dtype).max)
        if pixels.ndim == 3:
            values[..., :3] = to_linear(pixels[..., :3], transfer=color.transfer)
        if premultiply and pixels.shape[2:] == (4,):
            values[..., :3] *= values[..., 3:]
        planes = {"Y": values} if pixels.ndim == 2 else dict(zip("RGBA", np.moveaxis(values, 2, 0), strict=False))
        for channel, plane in planes.items():
            channels[f"{name}.{channel}" if name else channel] = np.ascontiguousarray(plane, np.float16)
    header = {
        "compression": openexr.ZIP_COMPRESSION,
        "type": openexr.scanlineimage,
        "pixelAspectRatio": float(aspect),
    }
    if color.primaries in _CHROMATICITIES:
        header["chromaticities"] = _CHROMATICITIES[color.primaries]
    try:
        with quiet():
            openexr.File(header, channels).write(str(path))
    except RuntimeError as error:
        numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        number = next((number for number in numbers if os.strerror(number) in str(error)), errno.EIO)
        raise OSError(number, os.strerror(number)) from error


def import_openexr(path: Path, error: type[Bgmv2Error]) -> ModuleType:
    """Import the package that reads and writes EXR.

    Args:
        path: of the picture, for the message.
        error: what to raise if the package is missing.

    Returns:
        The module.
    """
    try:
        import OpenEXR
    except ImportError as missing:
        raise error(f"{path} needs the package OpenEXR: pip install 'bgmv2[exr]'") from missing
    return OpenEXR


def _size(path: Path, header: dict) -> tuple[int, int]:
    """Return width and height of the display window; refuse what is too large, before memory is taken."""
    windows = {name: np.asarray(header[name], np.int64) for name in ("displayWindow", "dataWindow")}
    for low, high in windows.values():
        width, height = high - low + 1
        if min(width, height) < 1:
            raise ValueError(f"a window holds pixels, got {width = }, {height = }")
        check_size(path, int(width), int(height))
    low, high = windows["displayWindow"]
    width, height = high - low + 1
    return int(width), int(height)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what OpenEXR says of damage into one line; it speaks to stdout by Python and to stderr by C."""
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            yield
    except VideoError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise VideoError(f"{path} cannot be read: the EXR file is damaged; export it again") from error


def _placed(pixels: np.ndarray, header: dict, width: int, height: int) -> np.ndarray:
    """Lay what the data window holds into the display window; both count from the same zero."""
    left, top = (header["dataWindow"][0] - header["displayWindow"][0]).tolist()
    h, w = pixels.shape[:2]
    picture = np.zeros((height, width, 3), np.uint16)
    rows = slice(max(0, top), max(0, min(height, top + h)))
    columns = slice(max(0, left), max(0, min(width, left + w)))
    picture[rows, columns] = pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return picture


@functools.cache
def _halves_to_integers() -> np.ndarray:
    """The coded integer of each of the 65536 half floats, by its bits."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    with np.errstate(invalid="ignore"):  # some of them are no numbers
        return from_linear(halves.astype(np.float32))


@functools.cache
def _integers_to_light(top: int, transfer: int) -> np.ndarray:
    decode = {16: decode_pq, 18: decode_hlg}.get(transfer, decode_srgb)
    return decode(np.arange(top + 1) / top).astype(np.float32)
