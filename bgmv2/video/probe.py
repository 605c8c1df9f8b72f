"""What is this file or address? Opens anything FFmpeg can read, and says in one line why it cannot."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import av.error
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from bgmv2.errors import VideoError

Kind = Literal["picture", "video", "sound", "folder"]

# Still pictures in the box format of mp4: HEIC, as telephones take, and AVIF.
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
# FFmpeg reads plain text and terminal art as moving pictures; nobody means that.
_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf", "vobsub")

STDIN = "-"
# 16K at 16:9 is just below. A file of some bytes can claim more, and memory would be gone before it is found out.
MAX_PIXELS = 2**27
_LIMITS = {"max_pixels": str(MAX_PIXELS)}
# Seconds without a sign of life after which a server counts as dead.
TIMEOUT = 10.0
# The first PyAV that brings more than the time of a frame along from a device.
_KEEPS_PROPERTIES = 18
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def is_address(source: str | os.PathLike[str]) -> bool:
    """Tell an address, such as ``https://host/clip.mp4`` or ``rtsp://camera/1``, from a path."""
    return _ADDRESS.match(os.fspath(source)) is not None


def shown(source: str | os.PathLike[str]) -> str:
    """Return a path, an address or ``-`` as it may be shown to people: without the password."""
    if os.fspath(source) == STDIN:
        return "the clip on standard input"
    return re.sub(r"(?<=://)[^/@]*@", "", os.fspath(source)) if is_address(source) else os.fspath(source)


def is_file(source: str | os.PathLike[str]) -> bool:
    """Tell a file, which can be read twice, from standard input, an address, a named pipe or a device."""
    return not is_address(source) and os.path.isfile(source)


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
    if not stat.S_ISREG(path.stat().st_mode):
        return  # what is read of a pipe now would be missing later
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if empty:
        raise VideoError(f"{path} is empty (0 bytes); copy or export it again")


def open_input(
    source: str | os.PathLike[str], *, raw: str | None = None, rate: Fraction | None = None, hwaccel: str = "off"
) -> InputContainer:
    """Open a clip with FFmpeg.

    Args:
        source: a file of any kind, an address, or ``-`` for standard input.
        raw: pixel format and size of raw frames, ``rgb24:1280x720``; only for standard input.
        rate: frames per second of raw frames.
        hwaccel: `off`, `auto`, or FFmpeg's name of a kind of device to decode on. What comes in on standard input is
            decoded on the CPU.

    Returns:
        The open container.

    Raises:
        VideoError: it is missing, empty, a folder, damaged, of no known format or size, or no server answers.
    """
    if os.fspath(source) == STDIN:
        container = _open_stdin(raw, rate)
    elif is_address(source):
        container = _open_address(os.fspath(source), device_of(hwaccel))
    else:
        container = _open_file(Path(source), device_of(hwaccel))
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise VideoError(f"{shown(source)} is a text, not a video; give the clip itself")
    try:
        for film in container.streams.video:
            if film.codec_context is not None:
                check_size(source, film.codec_context.width, film.codec_context.height)
                film.codec_context.options = _LIMITS
    except VideoError:
        container.close()
        raise
    return container


def device_of(hwaccel: str) -> HWAccel | None:
    """Find a device to decode on; None is the CPU. What a device cannot decode is decoded on the CPU, too.

    Args:
        hwaccel: as that of `open_input`.

    Raises:
        VideoError: that kind of device is not there.
    """
    if hwaccel == "off":
        return None
    if int(av.__version__.partition(".")[0]) < _KEEPS_PROPERTIES:
        if hwaccel == "auto":
            return None
        raise VideoError(
            f"decoding on a device needs PyAV {_KEEPS_PROPERTIES}, as PyAV {av.__version__} loses rotation and colours "
            f"on the way: update av, or take --hwaccel off"
        )
    known = hwdevices_available()
    for kind in known if hwaccel == "auto" else [hwaccel] if hwaccel in known else []:
        device = HWAccel(kind)
        try:
            # Only a codec makes it look for the device; this one all of them decode.
            device.create(av.Codec("h264", "r"))
        except (av.error.FFmpegError, OSError, ValueError, NotImplementedError):
            continue
        return HWAccel(kind)
    if hwaccel == "auto":
        return None
    raise VideoError(
        f"there is no device to decode on by {hwaccel}: this FFmpeg knows {', '.join(known) or 'none'}, with a "
        f"driver; take --hwaccel auto or off"
    )


def check_size(source: str | os.PathLike[str], width: int, height: int) -> None:
    """Refuse, before memory is taken, pictures that no computer could matte.

    Args:
        source: where they come from, for the message.
        width: in pixels.
        height: in pixels.

    Raises:
        VideoError: they are too large.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(f"{shown(source)} claims {width}x{height} pixels: it is damaged, or too large for bgmv2")


def _open(file: str | BinaryIO, *, options: dict[str, str] | None = None, **arguments: Any) -> InputContainer:
    return av.open(file, metadata_errors="replace", options={**_LIMITS, **(options or {})}, **arguments)


def _open_file(path: Path, device: HWAccel | None) -> InputContainer:
    check_readable(path)
    try:
        # Without the protocol, FFmpeg would take a colon in the name for one.
        return _open(f"file:{path}", hwaccel=device)
    except (av.error.FFmpegError, OSError) as error:
        if is_file(path) and _magic(path)[4:8] in (b"ftyp", b"moov", b"mdat"):
            raise VideoError(
                f"{path} was cut short: the index of its frames is missing; copy or export it again, "
                f"or let the camera that recorded it repair it"
            ) from error
        raise VideoError(
            f"{path} cannot be read: it is damaged or no video; copy or export it again as H.264 in .mp4"
        ) from error


def _open_address(address: str, device: HWAccel | None) -> InputContainer:
    protocol = address.partition(":")[0].lower()
    # Over UDP, which is FFmpeg's first choice, cameras lose packets and with them half of their pictures.
    options = {"rtsp_transport": "tcp"} if protocol in ("rtsp", "rtsps") else {}
    begun = time.monotonic()
    try:
        return _open(address, options=options, timeout=TIMEOUT, hwaccel=device)
    except av.error.ProtocolNotFoundError as error:
        raise VideoError(f"{shown(address)} cannot be read: FFmpeg does not know {protocol}://") from error
    except (av.error.FFmpegError, OSError) as error:
        # RTSP, once interrupted, calls it something else.
        if isinstance(error, av.error.ExitError) or time.monotonic() - begun >= TIMEOUT:
            raise VideoError(f"{shown(address)} did not answer within {TIMEOUT:g} s; check the address") from error
        reason = (error.strerror or "it is no video").lower()
        raise VideoError(f"{shown(address)} cannot be read: {reason}; check the address and the server") from error


def _open_stdin(raw: str | None, rate: Fraction | None) -> InputContainer:
    if sys.stdin is None or sys.stdin.buffer.isatty():
        raise VideoError("- reads the clip from standard input, but nothing is piped in there: COMMAND | bgmv2 ... -")
    options, container_format = {}, None
    if raw is not None:
        pixel_format, size = raw.split(":")
        width, height = size.split("x")
        check_size(STDIN, int(width), int(height))
        options = {"pixel_format": pixel_format, "video_size": size, "framerate": str(rate)}
        container_format = "rawvideo"
        try:
            av.VideoFormat(pixel_format)
        except ValueError as error:
            raise VideoError(f"FFmpeg knows no pixel format {pixel_format}; common ones are rgb24 and rgba") from error
    try:
        return _open(sys.stdin.buffer, format=container_format, options=options)
    except (av.error.FFmpegError, OSError) as error:
        advice = (
            "an .mp4 must have its index in front (-movflags frag_keyframe or +faststart), .mkv and .ts need nothing"
        )
        raise VideoError(f"what comes in on standard input is damaged or no video; {advice}") from error


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
        True if it is an mp4, mov, Matroska or AVI file that runs past its end; False if not, or if it promises none.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        magic = file.read(4)
        if magic == b"\x1aE\xdf\xa3":
            return _matroska_end(file) > size
        if magic == b"RIFF":
            return _riff_end(file, size) > size
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


def _riff_end(file: BinaryIO, size: int) -> int:
    """Return where the last chunk of an AVI ends, of which large ones have several; some leave out its padding."""
    end = 0
    while end + 8 <= size:
        file.seek(end)
        header = file.read(8)
        if header[:4] != b"RIFF":
            break
        length = int.from_bytes(header[4:], "little")
        end += 8 + length - length % 2
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
