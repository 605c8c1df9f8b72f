"""Where plates come from: a picture of the clean background, or a clip in which the background can be found."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from bgmv2.config import ReadConfig
from bgmv2.errors import Bgmv2Warning, PlateError, VideoError
from bgmv2.plate import temporal
from bgmv2.plate.samples import check_twice_readable, length_of, spread, together
from bgmv2.plate.shape import why_shaped
from bgmv2.plate.views import as_floats
from bgmv2.plate.words import WORDS, PlateSource
from bgmv2.progress import Pace, Progress
from bgmv2.types import Frame, Matte, Plate, StrPath
from bgmv2.video.images import read_image, read_opacity, read_text, write_image
from bgmv2.video.probe import kind_of, shown

# Cameras crop a little between photograph and video; by more than this, the plate shows another part of the scene.
ASPECT_TOLERANCE = 0.01
# The note in a PNG that says how large the frames were of which a larger plate was put together.
FRAME_SIZE = "bgmv2 frame size"
# Who takes plates for one must be told of so large a share of the picture that is made up.
_WORTH_A_WORD = 0.001
# Somebody whom the network takes for two frames' mistake is no subject.
_LEAST_FRAMES = 3

# Takes frame and plate as `Matter.matte` does.
Network = Callable[..., Matte]


@dataclass(frozen=True, eq=False)
class MadePlate:
    """A plate that was made of a clip.

    Args:
        pixels: ``(H, W, 3)`` RGB, uint8 or uint16 as the clip's.
        seen: ``(H, W)`` bool, where the scene was seen; elsewhere the colours are painted in from the rim.
        frames: of which it was made.
        left_out: frames that do not show its view.
        moved: the camera moved, and frames were brought to one view.
        doubtful: share of the picture in which two things were seen for long, and nothing told which is background.
        still: the network was asked for a subject and found none.
        frame_size: width and height of the clip, if the plate is larger than its frames; else None.
    """

    pixels: np.ndarray
    seen: np.ndarray
    frames: int
    left_out: int = 0
    moved: bool = False
    doubtful: float = 0.0
    still: bool = False
    frame_size: tuple[int, int] | None = None

    @property
    def holes(self) -> float:
        """The share of the picture that was never seen, 0..1."""
        return float(1 - self.seen.mean())

    @property
    def plate(self) -> Plate:
        """As the network needs it."""
        seen = None if self.seen.all() else torch.from_numpy(self.seen)[None]
        return Plate(torch.from_numpy(as_floats(self.pixels)).permute(2, 0, 1).contiguous(), seen)

    def __str__(self) -> str:
        """Say it in one line."""
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        how = ", brought to one view" if self.moved else ""
        out = f" ({self.left_out} more did not show it)" if self.left_out else ""
        holes = f"; {100 * self.holes:.1f} % never seen and painted in" if self.holes else ""
        return f"plate made of {frames}{how}{out}{holes}"


def load_plate(path: StrPath, width: int, height: int) -> Plate:
    """Read the clean background that was filmed without the subject, at the size of the clip.

    Args:
        path: a picture. Where it is transparent, it does not show the scene, as `save_plate` writes it.
        width: of the clip, in pixels.
        height: of the clip, in pixels.

    Returns:
        The plate; a picture of another size but of the same shape, within 1 %, is scaled. One that `bgmv2 plate
        --mosaic` made is larger than the clip by as much as it shows more.

    Raises:
        ValueError: the size is not positive.
        PlateError: it is a video or a folder, it is transparent everywhere, or its shape differs from the clip's.
        VideoError: it is missing or cannot be read.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a clip has pixels, got {width = }, {height = }")
    path = Path(path)
    try:
        pixels = read_image(path)
    except VideoError as error:
        _refuse_motion(path)
        if not path.exists() and path == Path(path.name) and not path.suffix:  # a word was meant
            raise VideoError(f"{error}; a plate is a picture, or one of {WORDS}") from None
        raise
    size = _wanted_size(pixels, width, height, path)
    opacity = read_opacity(path)
    seen = None
    if opacity is not None:
        share = cv2.resize((opacity > np.iinfo(opacity.dtype).max // 2).astype(np.float32), size)
        seen = torch.from_numpy(share > 0.99)[None]
        if not seen.any():
            raise PlateError(f"the plate {path} is transparent everywhere, so it shows nothing; save it without that")
    return Plate(torch.from_numpy(_sized(pixels, size)).permute(2, 0, 1).contiguous(), seen)


def save_plate(path: StrPath, made: MadePlate, *, overwrite: bool = False) -> None:
    """Write a plate so that `load_plate` reads the same: what was never seen is transparent, with colours beneath.

    Args:
        path: of a .png.
        made: the plate.
        overwrite: replace a picture that is there already.

    Raises:
        OutputError: the format cannot hold this, or nothing can be written there.
        OutputExistsError: the file is there already.
    """
    pixels = made.pixels
    if made.holes:
        pixels = np.dstack([pixels, made.seen.astype(pixels.dtype) * np.iinfo(pixels.dtype).max])
    text = {} if made.frame_size is None else {FRAME_SIZE: "{}x{}".format(*made.frame_size)}
    write_image(path, pixels, overwrite=overwrite, text=text)


def make_plate(
    clip: StrPath,
    source: PlateSource,
    *,
    read: ReadConfig = ReadConfig(),
    network: Network | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> MadePlate:
    """Make a plate of a clip in which a subject moves, or whose beginning or end shows the scene without it.

    A camera that moves is followed: frames are brought to the view of the first that is taken, for `auto` and `median`
    to that of the middle one. At most 48 frames are kept, fewer where they are large, so that they take a gibibyte, and
    two while they are put together.

    Args:
        clip: that can be read twice, as `bgmv2.video.open.open_source` takes it.
        source: how; not a picture.
        read: how the clip is read, and which part of it `auto` and `median` look at; the others count from the
            beginning of the whole clip.
        network: `Matter.matte`, which `auto` asks who is subject.
        watch: is called with each step that is done; what it raises ends the work.

    Raises:
        ValueError: the source is a picture, or `auto` has no network.
        PlateError: the clip cannot be read twice, is shorter than what was asked for, or shows no background.
        VideoError: it cannot be read.
    """
    if source.way == "picture" or (source.way == "auto" and network is None):
        raise ValueError(f"a plate is made by {WORDS}, auto with a network, got {source}, {network = }")
    check_twice_readable(clip, source)
    frames = list(spread(clip, _part(clip, source, read), watch=watch))
    return plate_of(frames, source, name=clip, network=network, watch=watch)


def plate_of(
    frames: Sequence[Frame],
    source: PlateSource,
    *,
    name: StrPath,
    network: Network | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> MadePlate:
    """Make a plate of frames of one scene, as `make_plate` does.

    Args:
        frames: all of one size and type, at least one.
        source: as for `make_plate`, as are `network` and `watch`.
        name: of where they come from, for messages.
        network: as said.
        watch: as said.

    Raises:
        PlateError: there are too few frames, or they show no background.
    """
    if source.way == "auto" and len(frames) < _LEAST_FRAMES:
        raise PlateError(f"--plate auto compares frames, but {shown(name)} has only {len(frames)}; give a picture")
    pace = Pace(len(frames) * (1 + temporal.LOOKS * (source.way == "auto")), doing="making the plate")

    def tell() -> None:
        if watch is not None:
            watch(pace.step({}))

    samples = together(frames, middle=source.way in ("auto", "median"), name=name, tell=tell)
    facts = {"frames": len(samples.pixels), "left_out": samples.left_out, "moved": samples.moved}
    if source.way != "auto":
        return MadePlate(*temporal.median(samples.pixels, samples.inside), **facts)  # type: ignore[arg-type]
    assert network is not None
    found = temporal.background(samples.pixels, samples.inside, _judge(network), tell=tell)
    if not found.seen.any():
        raise PlateError(f"{shown(name)} shows no background that stands still: film the scene without the subject")
    made = MadePlate(found.picture, found.seen, doubtful=found.doubtful, still=found.still, **facts)  # type: ignore[arg-type]
    for warning in _doubts(made, shown(name)):
        warnings.warn(warning, Bgmv2Warning, stacklevel=2)
    return made


def _part(clip: StrPath, source: PlateSource, read: ReadConfig) -> ReadConfig:
    """Say which part of a clip a plate is made of.

    Raises:
        PlateError: the clip is shorter.
    """
    if source.seconds is None:
        return read
    length, last = length_of(clip, read)
    if source.seconds > length + 0.001:
        raise PlateError(
            f"{source} asks for more than there is of {shown(clip)}, which lasts {length:.3g} s; take less, or auto"
        )
    if source.way == "at":
        return replace(read, start=min(source.seconds, last), end=None, frames=1)
    if source.way == "first":
        return replace(read, start=None, end=source.seconds, frames=None)
    return replace(read, start=min(max(0.0, length - source.seconds), last), end=None, frames=None)


def _judge(network: Network) -> temporal.Judge:
    """Ask the network for alpha and its expected error, as arrays of the frame's size."""

    def judge(frame: np.ndarray, plate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        matte = network(frame, plate=plate)
        error = cv2.resize(matte.err[0, 0].cpu().numpy(), frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return matte.pha[0, 0].cpu().numpy(), error

    return judge


def _doubts(made: MadePlate, name: str) -> list[str]:
    """Say in a line each what speaks against a plate that was made by `auto`."""
    lines = []
    if made.still:
        lines.append(
            f"nobody moves in {name} that could be told from the background: who stands still all the time is on the "
            f"plate, and will be missing in the result"
        )
    if made.holes >= _WORTH_A_WORD:
        lines.append(
            f"{100 * made.holes:.1f} % of {name} never shows the background, so it is painted in on the plate: look "
            f"closely there, or film the scene without the subject"
        )
    if made.doubtful >= _WORTH_A_WORD:
        lines.append(
            f"in {100 * made.doubtful:.1f} % of {name} two things were seen for long, and nothing tells which is "
            f"background: look at the plate (bgmv2 plate)"
        )
    return lines


def _refuse_motion(path: Path) -> None:
    """Say why a video or a folder is no plate; does nothing if the path is neither."""
    try:
        kind = kind_of(path)
    except VideoError:  # missing or damaged: what `read_image` said of it is the better message
        return
    if kind in ("video", "folder"):
        raise PlateError(
            f"{path} is a {kind}, but --plate takes one picture of the scene without the subject: if that is what it "
            f"shows, make one of it (bgmv2 plate {path} -o plate.png --from median); if it should be seen behind the "
            f"subject, give it as --backdrop"
        ) from None


def _wanted_size(pixels: np.ndarray, width: int, height: int, path: Path) -> tuple[int, int]:
    """Return the width and height to which a plate is scaled so that it suits a clip.

    Raises:
        PlateError: its shape, or that of the frames of which it was put together, is another.
    """
    old_height, old_width = pixels.shape[:2]
    size = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", read_text(path).get(FRAME_SIZE, ""), re.ASCII)
    of_frame = (old_width, old_height) if size is None else (int(size[1]), int(size[2]))
    if abs(of_frame[0] * height / (of_frame[1] * width) - 1) > ASPECT_TOLERANCE:
        what = "the plate {} has {}x{} pixels" if size is None else "the plate {} was made of frames of {}x{} pixels"
        raise PlateError(
            f"{what.format(path, *of_frame)}, the clip {width}x{height}, which is another shape; "
            f"{why_shaped(pixels, width, height)}"
        )
    if size is None:
        return width, height
    return max(1, round(old_width * width / of_frame[0])), max(1, round(old_height * height / of_frame[1]))


def _sized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a picture ``(h, w, 3)`` of integers to a width and height; float32, 0..1."""
    picture = as_floats(pixels)
    if pixels.shape[1::-1] == size:
        return picture
    way = cv2.INTER_AREA if size[0] < pixels.shape[1] else cv2.INTER_CUBIC
    return np.clip(cv2.resize(picture, size, interpolation=way), 0, 1)
