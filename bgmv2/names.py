"""What may be written where: all that can be refused is refused before work starts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bgmv2.config import CheckConfig, CompositeConfig, EncodeConfig
from bgmv2.errors import OutputError, VideoError
from bgmv2.types import StrPath, VideoInfo
from bgmv2.video import images
from bgmv2.video.formats import CONTAINERS, PICTURES, RAW
from bgmv2.video.images import check_image, list_images
from bgmv2.video.open import holds_layers, is_rereadable, is_sequence
from bgmv2.video.probe import shown
from bgmv2.video.sequence import Pattern, is_pattern
from bgmv2.video.sink import check_folder

_HDR = (16, 18)  # PQ and HLG by ITU-T H.273


def chosen(**outputs: StrPath | None) -> dict[str, StrPath]:
    """What was ordered.

    Raises:
        OutputError: nothing, the same name twice, or one result inside of another.
    """
    chosen = {role: path for role, path in outputs.items() if path is not None}
    if not chosen:
        raise OutputError(f"there is nothing to write: name at least one of {', '.join(outputs)}")
    for role, path in chosen.items():
        if not os.fspath(path):
            raise OutputError(f"the name of {role} is empty: give it one")
    seen: dict[Path, str] = {}
    for role, path in chosen.items():
        other = seen.setdefault(Path(path).resolve(), role)
        if other != role and not holds_layers(path):
            raise OutputError(f"{other} and {role} would both be written to {path}: give each a name of its own")
    for inner, folder in itertools.permutations(seen, 2):
        if folder in inner.parents:
            raise OutputError(f"{seen[inner]} would be written into the folder of {seen[folder]}: put it elsewhere")
    return chosen


def keep_inputs(outputs: Iterable[StrPath], *inputs: StrPath) -> None:
    """Refuse to replace what is read, or a folder that holds it, whatever else may be overwritten.

    Raises:
        OutputError: names the two.
    """
    numbered = [Pattern.of(Path(given)).found() for given in inputs if is_sequence(given) and is_pattern(given)]
    firsts = [min(found.items())[1] for found in numbered if found]
    for output, given in itertools.product(map(Path, outputs), map(Path, filter(os.path.exists, (*inputs, *firsts)))):
        if output.exists():
            is_read = output.samefile(given) or output.resolve() in given.resolve().parents
        else:
            is_read = output.suffix.lower() in PICTURES and is_pattern(output) and Pattern.of(output).holds(given)
        if is_read:
            raise OutputError(f"{given} is read, so {output} cannot be written over it: choose another name")


def is_repeatable(clip: StrPath, outputs: Mapping[str, StrPath]) -> bool:
    """Tell whether a run can be gone on with: the clip can be read again, and results can be taken up."""
    return is_rereadable(clip) and RAW not in (os.fspath(path) for path in outputs.values())


def check_repeatable(clip: StrPath, outputs: Mapping[str, StrPath], encode: EncodeConfig, check: CheckConfig) -> None:
    """Refuse what needs a second look at what can be read or written only once.

    Raises:
        OutputError: names it.
    """
    if not is_repeatable(clip, outputs):
        wanted = {"resume": encode.resume, "repair": check.repair, "verify": check.verify}
        for name in (name for name, is_wanted in wanted.items() if is_wanted):
            raise OutputError(
                f"--{name} needs a clip that can be read again and results that are files, but {shown(clip)} or a "
                f"result passes only once; save it first"
            )


def picture_jobs(src: Path, outputs: Mapping[str, StrPath], *, overwrite: bool) -> list[tuple[Path, dict[str, Path]]]:
    """Each picture with what is to be written of it; refuses now what could not be written later.

    Raises:
        VideoError: there is no picture.
        OutputError: a result cannot be written, or two pictures would share one.
    """
    if not src.is_dir():
        targets = {role: Path(path) for role, path in outputs.items()}
        for role, target in targets.items():
            if target.is_dir() or os.fspath(outputs[role]).endswith(("/", os.sep)):
                raise OutputError(
                    f"one picture gives one file, such as {target / src.stem}.png, but {target} is a folder"
                )
            check_image(target, alpha=role == "rgba", overwrite=overwrite)
        return [(src, targets)]
    pictures = list_images(src)
    folders = {role: Path(path) for role, path in outputs.items()}
    for folder in folders.values():
        _check_picture_folder(folder, src)
    stems = {picture.stem: picture for picture in pictures}
    for picture in pictures:
        if stems[picture.stem] != picture:
            raise OutputError(f"{picture} and {stems[picture.stem]} would get one result: rename one of them")
    jobs = [
        (picture, {role: folder / f"{picture.stem}.png" for role, folder in folders.items()}) for picture in pictures
    ]
    for _, targets in jobs:
        for target in targets.values():
            if target.parent.exists():
                check_image(target, overwrite=overwrite)
    return jobs


def _check_picture_folder(folder: Path, src: Path) -> None:
    """Say now that results cannot go into a folder; it need not be there yet.

    Raises:
        OutputError: it cannot be made, is a file, or is where the pictures come from.
    """
    check_folder(folder)
    if folder.is_dir() and folder.samefile(src):
        raise OutputError(f"{src} is read, so results need another folder: name one that is new or empty")
    is_named_like_a_file = folder.suffix.lower() in (*images.SUFFIXES, *CONTAINERS)
    if folder.is_file() or (is_named_like_a_file and not folder.is_dir()):
        raise OutputError(f"{src} is a folder, so its results go into a folder, too, but {folder} names a file")


def check_shadow(clip: StrPath, info: VideoInfo, outputs: Mapping[str, StrPath]) -> None:
    """Refuse to store HDR's shadow as linear light: a ratio of code values is none of light there.

    Raises:
        VideoError: the clip is in PQ or HLG, and the shadow should go into EXR.
    """
    if "shadow" in outputs and holds_layers(outputs["shadow"]) and info.color.transfer in _HDR:
        raise VideoError(
            f"{shown(clip)} is HDR (PQ or HLG), of which EXR cannot hold a shadow to multiply by: write the shadow as "
            f"a video or as .png"
        )


def check_blend(clip: StrPath, info: VideoInfo, composite: CompositeConfig) -> None:
    """Refuse to take HDR's code values for those of sRGB.

    Raises:
        VideoError: light should be mixed, but the clip is in PQ or HLG.
    """
    if composite.blend == "linear" and info.color.transfer in _HDR:
        raise VideoError(f"{shown(clip)} is HDR (PQ or HLG), of which light cannot be mixed: take --blend video")
