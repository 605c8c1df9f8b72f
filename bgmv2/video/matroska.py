"""The shape of pixels in Matroska and WebM, for which PyAV has no words.

FFmpeg writes the size at which a picture is shown only for clips whose pixels it was told the shape of, which PyAV
cannot do, or which hold the pictures for two eyes. So bgmv2 asks for the latter and replaces what is written by what is
meant.

Source: RFC 9559, Matroska; RFC 8794, EBML.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.container import OutputContainer
from av.video.stream import VideoStream

_STEREO, _ALPHA = b"\x53\xb8\x81", b"\x53\xc0\x81"
_SHOWN_WIDTH, _SHOWN_HEIGHT = b"\x54\xb0", b"\x54\xba"
# Where the tracks are described; pictures come after it.
_HEAD = 1 << 20


def reserve_aspect(container: OutputContainer, film: VideoStream) -> None:
    """Make room for the shape of pixels; call before the container begins to write.

    Args:
        container: Matroska or WebM.
        film: the stream of the picture.
    """
    film.metadata["stereo_mode"] = "left_right"
    # A checksum would not fit any more.
    container.container_options["write_crc32"] = "0"


def write_aspect(path: Path, width: int, height: int, aspect: Fraction) -> None:
    """Write the shape of pixels into the room that was made.

    Args:
        path: the finished file.
        width: of the stored picture, in pixels.
        height: of the stored picture, in pixels.
        aspect: width of a pixel by its height.

    Raises:
        OSError: the file cannot be written to, or holds no such room.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD)
        size = b"\xb0" + _integer(width) + b"\xba" + _integer(height)
        start = head.find(size + _STEREO) + len(size)
        begin = start + len(_STEREO) + 1
        alpha = head[begin : begin + 4] if head.startswith(_ALPHA, begin) else b""
        end = begin + len(alpha)
        for name in (_SHOWN_WIDTH, _SHOWN_HEIGHT):
            if start < len(size) or not head.startswith(name, end):
                raise OSError(f"there is no room for the shape of pixels in {path.name}")
            end += 3 + (head[end + 2] & 0x7F)
        # Shown at its full height, as FFmpeg does it.
        shown = alpha + _SHOWN_WIDTH + _integer(round(width * aspect), 4) + _SHOWN_HEIGHT
        rest = end - start - len(shown) - 1
        file.seek(start)
        file.write(shown + _integer(height, rest))


def _integer(value: int, length: int | None = None) -> bytes:
    """Write a number as EBML does: its length with the first bit set, then its bytes; zeros make it longer."""
    length = max(1, (value.bit_length() + 7) // 8) if length is None else length
    return bytes([0x80 | length]) + value.to_bytes(length, "big")
