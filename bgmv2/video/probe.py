"""What is this file? Opens anything FFmpeg can read, and says in one line why it cannot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Literal

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from bgmv2.errors import VideoError

Kind = Literal["picture", "video", "sound", "folder"]

# Still pictures in the box format of mp4: HEIC, as telephones take, and AVIF.
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
# FFmpeg reads plain text and terminal art as moving pictures; nobody means that.
_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf", "vobsub")


def check_readable(path: Path, *, wanted: str = "file") -> None:
    """Check that a path leads to a file with something in it.

    Args:
        path: what was given.
        wanted: what is needed, for the message.

    Raises:
        VideoError: it is missing, a folder, empty or may not be read.
    """
    if not path.exists():
        raise VideoError(f"there is no {wanted} {path}; check the name and the folder")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, but a {wanted} is needed; give the file itself")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if empty:
        raise VideoError(f"{path} is empty (0 bytes); copy or export it again")


def open_input(path: Path) -> InputContainer:
    """Open a file with FFmpeg.

    Args:
        path: a file of any kind.

    Returns:
        The open container.

    Raises:
        VideoError: it is missing, empty, a folder, damaged or of no known format.
    """
    check_readable(path)
    try:
        # Without the protocol, FFmpeg would take a colon in the name for one.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        if _magic(path)[4:8] in (b"ftyp", b"moov", b"mdat"):
            raise VideoError(
                f"{path} was cut short: the index of its frames is missing; copy or export it again, "
                f"or let the camera that recorded it repair it"
            ) from error
        raise VideoError(
            f"{path} cannot be read: it is damaged or no video; copy or export it again as H.264 in .mp4"
        ) from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise VideoError(f"{path} is a text, not a video; give the clip itself")
    return container


def film_of(container: InputContainer) -> VideoStream | None:
    """Return the first stream of moving pictures, or None; the cover of a song is not one."""
    films = (stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic)
    return next(films, None)


def kind_of(path: str | os.PathLike[str]) -> Kind:
    """Tell by its content, not by its name, what a file is.

    Args:
        path: any file or folder.

    Returns:
        ``picture``, ``video``, ``sound`` or ``folder``. A GIF is a video.

    Raises:
        VideoError: it is missing, empty, damaged or none of these.
    """
    path = Path(path)
    if path.is_dir():
        return "folder"
    check_readable(path)
    if is_boxed_picture(path):
        return "picture"
    with open_input(path) as container:
        if container.format.name.endswith("_pipe") or container.format.name == "image2":
            return "picture"
        return "sound" if film_of(container) is None else "video"


def is_boxed_picture(path: Path) -> bool:
    """Tell whether a file is HEIC or AVIF, pictures that FFmpeg takes for an mp4."""
    magic = _magic(path)
    return magic[4:8] == b"ftyp" and magic[8:12] in _PICTURE_BRANDS


def is_cut_short(path: Path) -> bool:
    """Tell whether a container promises more bytes than its file has, as after a broken copy or a full card.

    FFmpeg ends such clips silently. Counting frames against the header instead would blame good clips whose header is
    wrong, which is far more common.

    Args:
        path: a file of any kind.

    Returns:
        True if it is an mp4, mov or Matroska file whose frames run past its end; False if not, or if it promises none.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) == b"\x1aE\xdf\xa3":
            return _matroska_end(file) > size
        return _frames_end(file, size) > size


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def _frames_end(file: BinaryIO, size: int) -> int:
    """Return where the last `mdat` among the top-level boxes of an mp4 ends; 0 if there is none."""
    end = position = 0
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        # A length of 0 means *to the end of the file*; less than a header is no box at all.
        if length < 8:
            break
        position += length
        if header[4:8] == b"mdat":
            end = position
    return end


def _matroska_end(file: BinaryIO) -> int:
    """Return where the segment of a Matroska file ends; 0 if it does not say, as in live recordings."""
    file.seek(4)
    header = _matroska_length(file)
    if header is None:
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18S\x80g":
        return 0
    length = _matroska_length(file)
    return 0 if length is None else file.tell() + length


def _matroska_length(file: BinaryIO) -> int | None:
    """Read a length as Matroska stores it: the leading zeros tell how many bytes follow, all ones mean unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    length = int.from_bytes(first + file.read(more), "big")
    mask = (1 << 7 * (more + 1)) - 1
    return None if length & mask == mask else length & mask
