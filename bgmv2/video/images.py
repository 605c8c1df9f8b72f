"""Single pictures."""

from __future__ import annotations

import contextlib
import os
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from bgmv2.errors import OutputError, VideoError
from bgmv2.types import Frame
from bgmv2.video.color import to_bits
from bgmv2.video.exr import read_exr
from bgmv2.video.probe import check_readable, is_boxed_picture, kind_of
from bgmv2.video.quiet import quiet
from bgmv2.video.sink import check_file, replacing

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]
# OpenCV's WebP is lossless and its TIFF is compressed without loss, unless told otherwise.
_WRITTEN: dict[str, list[int]] = {".png": [], ".jpg": _JPEG, ".jpeg": _JPEG, ".tif": [], ".tiff": [], ".webp": []}
_DEEP = (".png", ".tif", ".tiff")
_OPAQUE_ONLY = (".jpg", ".jpeg")
SUFFIXES = tuple(_WRITTEN)
_LISTED = (*_WRITTEN, ".exr", ".bmp", ".avif", ".jp2", ".ppm")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture, upright and in RGB.

    Args:
        path: a picture in any format that OpenCV reads, or an EXR file, as `read_exr` reads it. Its orientation tag is
            obeyed, grey becomes RGB, and transparency is dropped without blending.

    Returns:
        ``(H, W, 3)``, uint8 or uint16, full range.

    Raises:
        VideoError: there is no picture there, or it cannot be read.
    """
    path = Path(path)
    check_readable(path, wanted="picture")
    if path.suffix.lower() == ".exr":
        return read_exr(path)
    try:
        with quiet():
            pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise VideoError(f"{path} cannot be read: {error.err or 'it is too large'}; save it again as PNG") from error
    if pixels is None:
        raise VideoError(f"{path} {_why_no_picture(path)}")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise VideoError(f"{path} holds {pixels.dtype} values; save it as PNG or TIFF with 8 or 16 bits")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def read_opacity(path: str | os.PathLike[str]) -> np.ndarray | None:
    """Read the transparency that `read_image` drops.

    Args:
        path: a picture that `read_image` could read.

    Returns:
        ``(H, W)`` of the picture's type, upright: 0 is transparent. None if the picture is opaque, or EXR, whose
        colours are multiplied by it already.
    """
    if Path(path).suffix.lower() == ".exr":
        return None
    with quiet():
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        return None
    orientation = 1
    with contextlib.suppress(OSError), Image.open(path) as picture:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    opacity = pixels[..., 3].T if orientation > 4 else pixels[..., 3]
    if opacity.min() == (65535 if opacity.dtype == np.uint16 else 255):
        return None
    # Of each four, the columns of the second run backwards, columns and rows of the third, and the rows of the last;
    # Source: EXIF 2.3, Orientation.
    turn = (orientation - 1) % 4
    return np.ascontiguousarray(opacity[:: -1 if turn in (2, 3) else 1, :: -1 if turn in (1, 2) else 1])


def read_text(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the notes in a picture that `write_image` wrote; nothing if it holds none, or is no PNG."""
    with contextlib.suppress(OSError, ValueError, SyntaxError), Image.open(path) as picture:
        return {str(name): value for name, value in picture.info.items() if isinstance(value, str)}
    return {}


def write_image(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    overwrite: bool = False,
    text: Mapping[str, str] | None = None,
) -> None:
    """Write a picture, so that it stands under its name only when whole.

    Args:
        path: .png, .tif and .webp keep every value, .jpg nearly; .png and .tif keep 16 bits, the others round to 8.
        pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` straight RGBA or ``(H, W)`` grey; uint8 or uint16.
        overwrite: replace a picture that is there already.
        text: notes by their names, in ASCII, which only .png keeps.

    Raises:
        ValueError: the array has another shape or type.
        OutputError: the format cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
    """
    path = Path(path)
    pixels = Frame(pixels).pixels
    check_image(path, alpha=pixels.shape[2:] == (4,), overwrite=overwrite)
    if path.suffix.lower() not in _DEEP and pixels.dtype == np.uint16:
        pixels = to_bits(pixels, 8)
    with replacing(path) as temporary:
        data = encode_image(path.suffix.lower(), pixels)
        temporary.write_bytes(_with_text(data, text) if text and path.suffix.lower() == ".png" else data)


def check_image(path: str | os.PathLike[str], *, alpha: bool = False, overwrite: bool = False) -> None:
    """Say now, not after hours of work, that a picture cannot be written.

    Args:
        path: the picture's final name.
        alpha: it will be RGBA; otherwise RGB or grey.
        overwrite: an existing picture may be replaced.

    Raises:
        OutputError: the format cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITTEN:
        raise OutputError(f"{path} has no suffix of a picture; use one of {', '.join(_WRITTEN)}")
    if alpha and suffix in _OPAQUE_ONLY:
        raise OutputError(f"{suffix} holds no transparency; use .png, .tif or .webp for {path.stem}")
    check_file(path, overwrite=overwrite)


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the pictures of a folder as a person counts them: ``2.png`` before ``10.png``.

    Args:
        folder: looked at without its sub-folders; hidden files and other kinds of files are passed over.

    Returns:
        At least one path.

    Raises:
        VideoError: there is no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError(f"there is no folder {folder}; check the name")
    found = [p for p in folder.iterdir() if p.suffix.lower() in _LISTED and p.is_file() and p.name[0] != "."]
    if not found:
        raise VideoError(f"there is no picture in {folder}; put PNG, JPEG, TIFF or WebP files there")
    return sorted(found, key=lambda p: [(int(s), "") if s.isdecimal() else (-1, s) for s in re.split(r"(\d+)", p.name)])


def encode_image(suffix: str, pixels: np.ndarray, *, premultiplied: bool = False) -> bytes:
    """Encode a picture.

    Args:
        suffix: in small letters, of a format that holds this.
        pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA or ``(H, W)`` grey; uint8 or uint16.
        premultiplied: what TIFF says of RGBA; other formats have no words for it.

    Returns:
        What belongs into the file.

    Raises:
        OSError, cv2.error: it cannot be encoded.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    whole, data = cv2.imencode(suffix, pixels, _WRITTEN[suffix])
    if not whole:
        raise OSError(f"OpenCV cannot encode {suffix}")
    if suffix in (".tif", ".tiff") and pixels.shape[2:] == (4,):
        return _with_extra_samples(data.tobytes(), 1 if premultiplied else 2)
    return data.tobytes()


def _with_extra_samples(tiff: bytes, kind: int) -> bytes:
    """Tell readers of a TIFF what its fourth channel is, which OpenCV does not.

    Source: TIFF 6.0, ExtraSamples: 1 is alpha that the colours are multiplied by, 2 alpha of straight colours.
    """
    order = "<" if tiff[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    entries = [tiff[start + 2 + 12 * index :][:12] for index in range(count)]
    # Tag, type (a short), how many, the value, two bytes to spare.
    entries.append(struct.pack(f"{order}HHIHH", 338, 3, 1, kind, 0))
    entries.sort(key=lambda entry: struct.unpack_from(f"{order}H", entry))
    # A longer directory has no room where it was.
    padded = tiff + b"\0" * (len(tiff) % 2)
    directory = struct.pack(f"{order}H", count + 1) + b"".join(entries) + struct.pack(f"{order}I", 0)
    return padded[:4] + struct.pack(f"{order}I", len(padded)) + padded[8:] + directory


def _with_text(png: bytes, text: Mapping[str, str]) -> bytes:
    """Put notes into a PNG, which neither OpenCV can, nor Pillow where there are 16 bits.

    Source: PNG specification, tEXt; the header ends 33 bytes in.
    """
    chunks = b""
    for name, value in text.items():
        body = b"tEXt" + name.encode("ascii") + b"\0" + value.encode("ascii")
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunks + png[33:]


def _why_no_picture(path: Path) -> str:
    """Finish the sentence that begins with the name of a file that is no picture."""
    kind = None
    with contextlib.suppress(VideoError):
        kind = "picture" if is_boxed_picture(path) else kind_of(path)
    if kind == "video":
        return "is a video, but a picture is needed here; save one of its frames as PNG, or take bgmv2 convert"
    if kind == "sound":
        return "is a sound, but a picture is needed here; give a PNG or JPEG"
    return "cannot be read as a picture: it is damaged or of an unknown kind; save it again as PNG or JPEG"
