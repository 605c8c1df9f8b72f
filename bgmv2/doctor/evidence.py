"""Pictures of the evidence, for people: frames beside the plate as it lies on them, and where the two differ."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from bgmv2.doctor.diagnose import Examination
from bgmv2.doctor.looks import Look
from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.plate.views import as_integers
from bgmv2.sheets import DIM, canvas, grid, label, write
from bgmv2.video.images import write_image
from bgmv2.video.sink import check_folder

# Sizes in pixels: of a line of text, and of a picture's long side.
_LINE, _SIDE = 20, 480
# A difference of this much, in 0..1, is drawn brightest.
_BRIGHTEST = 0.3
_COLORS = {"ghost": (255, 84, 72), "moved-object": (255, 190, 60), "still-subject": (110, 200, 255)}


NAMES = ("samples.png", "plate.png")


def check_pictures(folder: Path) -> None:
    """Say now, not after the work, that pictures cannot be written.

    Args:
        folder: for the pictures; made if it is missing.

    Raises:
        OutputError: it cannot be made, or is a file.
        OutputExistsError: it holds something.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OutputExistsError(f"{folder} holds something already; choose a new or an empty folder")
    elif folder.exists():
        raise OutputError(f"{folder} is a file, but pictures go into a folder; choose another name")
    check_folder(folder)


def write_pictures(folder: Path, examination: Examination) -> None:
    """Write `NAMES` into a folder that `check_pictures` allowed.

    Raises:
        OutputError: nothing can be written there.
    """
    folder.mkdir(exist_ok=True)
    for name, picture in zip(NAMES, (sheet(examination), plate_map(examination)), strict=True):
        write_image(folder / name, picture)


def sheet(examination: Examination) -> np.ndarray:
    """Each frame that was looked at, the plate as it lies on it, and maps of how they differ, ``(h, w, 3)`` uint8."""
    evidence = examination.evidence
    asked = any(look.pha is not None for look in evidence.looks)
    cells = [_row(look, with_alpha=asked) for look in evidence.looks]
    return grid(cells, columns=1)


def plate_map(examination: Examination) -> np.ndarray:
    """The plate with those places boxed of which findings speak, ``(h, w, 3)`` uint8."""
    evidence, diagnosis = examination.evidence, examination.diagnosis
    picture = _to_pixels(evidence.plate, 2 * _SIDE)
    scale = picture.shape[1] / (evidence.plate.shape[1] * evidence.scale)
    for finding in diagnosis.findings:
        for x, y, width, height in finding.boxes:
            corners = [round(scale * value) for value in (x, y, x + width, y + height)]
            color = _COLORS.get(finding.name, (255, 255, 255))
            cv2.rectangle(picture, (corners[0], corners[1]), (corners[2], corners[3]), color, 2)
            part = picture[max(0, corners[1]) :, max(0, corners[0]) :]
            if min(part.shape[:2]) > _LINE:
                label(part, finding.name)
    return picture


def _row(look: Look, *, with_alpha: bool) -> np.ndarray:
    names = ["frame", "plate, in its place and light", "difference"]
    pictures = [_to_pixels(look.frame, _SIDE), _to_pixels(look.plate, _SIDE), _heat(look)]
    if look.sharpness is not None:
        names.append("plate's focus; blue: softer than the frame, red: sharper")
        pictures.append(_focus(look.sharpness, pictures[0].shape[:2]))
    if with_alpha:
        names.append("alpha" if look.pha is not None else "")
        pictures.append(_to_pixels(np.dstack([look.differs * 0.0 if look.pha is None else look.pha] * 3), _SIDE))
    height, width = pictures[0].shape[:2]
    row = canvas(height + 2 * _LINE, len(pictures) * width)
    for index, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        write(row, name, index * width + 4, 14, color=DIM)
        row[_LINE : _LINE + height, index * width : (index + 1) * width] = picture
    fits = "nothing to be seen" if look.blank else "fits" if look.belongs else "does not fit"
    said = [
        f"{look.seconds:.2f} s: {fits}",
        f"{look.share:.0%} agrees",
        f"plate {look.alignment.status}, moved {look.moved:.1f} px",
        f"{look.stops:+.2f} stops",
        f"covers {look.coverage:.0%}",
    ]
    said += [] if look.focus is None else [f"sharpness {look.focus:.2f}"]
    said += [] if look.error is None else [f"expected error {look.error:.2%}"]
    write(row, "   ".join(said), 4, height + _LINE + 15)
    return row


def _heat(look: Look) -> np.ndarray:
    """How much frame and plate differ, and in full where that is more than edges explain."""
    difference = np.abs(look.difference).max(axis=2)
    bright = np.rint(255 * np.minimum(difference / _BRIGHTEST, 1)).astype(np.uint8)
    heat = cv2.applyColorMap(bright, cv2.COLORMAP_INFERNO)[..., ::-1]
    heat = np.where(look.differs[..., None], heat, heat // 3)
    grey = np.uint8(70)
    return _to_pixels(np.where(look.inside[..., None], heat, grey).astype(np.float32) / 255, _SIDE)


def _focus(sharpness: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """How sharp the plate is against the frame, ``(h, w, 3)`` uint8 of a size; grey where that cannot be told."""
    # Twice and half as sharp are drawn in full red and blue.
    octaves = np.clip(np.log2(np.nan_to_num(sharpness, nan=1.0)), -1, 1)[..., None]
    red, blue, white = (np.array(color, np.float32) for color in ((230, 60, 50), (60, 120, 240), (225, 225, 225)))
    colors = np.where(octaves > 0, white + octaves * (red - white), white - octaves * (blue - white))
    colors = np.where(np.isnan(sharpness)[..., None], 60, colors)
    return cv2.resize(np.rint(colors).astype(np.uint8), (size[1], size[0]), interpolation=cv2.INTER_NEAREST)


def _to_pixels(picture: np.ndarray, side: int) -> np.ndarray:
    """Bring ``(h, w, 3)`` in 0..1 to a long side, uint8."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(
        as_integers(picture, np.dtype(np.uint8)), size, interpolation=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    )
