"""Pack cut-outs and pictures of rooms into tar shards to train from, small enough to be carried to another machine.

    python tools/prepare_data.py data/shards --people data/people --renders data/renders --rooms ROOMS \
        --backgrounds data/backgrounds

A cut-out is cropped to its subject and becomes two pictures: its colours, lossy, and its alpha, exact. A room becomes
one lossy picture. Every split (train, val, test) has shards of its own, in which all kinds and sources are mixed.
`manifest.json` names the shards with their checksums, and says of each picture what it is and where it comes from.

A folder of pictures may hold a `manifest.json` of its own: `{"pictures": [{"file": ..., "kind": "person", "thing" or
"room", "source": ..., "author": ..., "licence": ..., "split": ...}]}`, where all but `file` may be left out. What it
lists but is not there yet is passed over.

The result is the same for the same pictures and versions of the libraries.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import re
import shutil
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from bgmv2.errors import Bgmv2Error, OutputError, OutputExistsError
from bgmv2.training.data import MANIFEST, RENDERER, SPLITS
from bgmv2.video.sink import beside, check_folder

SHARD_BYTES = 48 * 2**20
LONG_SIDE = 900  # of a cut-out, in pixels
SHORT_SIDE = 540  # of a room, in pixels
KINDS = {"person": "people", "thing": "things", "room": "rooms"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
NOT_STATED = "not stated"
# What is not said by a manifest of their own.
PEOPLE = {"source": "clothing-co-parsing (Yang, Luo and Lin 2014)", "licence": "Apache-2.0"}
RENDERS = {"source": RENDERER, "licence": "made from CC0 material"}
ROOMS = {"source": "Houses-dataset (Ahmed and Moustafa 2016)", "licence": "none stated, to be cited"}
# Colours under an alpha below this (of 255) are not to be relied on: division by it has blown up their rounding.
FAINT = 8


@dataclass(frozen=True)
class Picture:
    """A picture that is to be packed.

    Args:
        path: of the file.
        name: unique among all pictures of its kind.
        kind: `people`, `things` or `rooms`.
        split: `train`, `val` or `test`.
        source: the data set or package that it is from.
        author: who made it, where that is known of the single picture.
        licence: under which terms.
    """

    path: Path
    name: str
    kind: str
    split: str
    source: str
    author: str
    licence: str


def split_of(name: str) -> str:
    """The split that a subject or a room belongs to, by the first number in its name.

    All pictures of one house carry one number, so no house is in two splits. Of each ten numbers the one ending in 0
    is for the test, the one ending in 5 for validation.

    Raises:
        ValueError: there is no number in the name.
    """
    number = re.search(r"\d+", name)
    if number is None:
        raise ValueError(
            f"{name} has no number that tells its split: put one into the name, or its split into a manifest"
        )
    return {0: "test", 5: "val"}.get(int(number[0]) % 10, "train")


def find_pictures(folder: Path, kind: str, *, source: str | None = None, licence: str = NOT_STATED) -> list[Picture]:
    """Find the pictures of a folder and its sub-folders.

    Args:
        folder: with or without a manifest of its own. If it has one, only the pictures named there count.
        kind: `person`, `thing` or `room`, where the manifest does not say.
        source: the same; default: the folder's name.
        licence: the same.

    Returns:
        At least one, sorted by name.

    Raises:
        ValueError: there are none, or the manifest is of no use.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        try:
            listed = json.loads(manifest.read_text(encoding="utf-8"))["pictures"]
            rows = [row for row in listed if (folder / row["file"]).is_file()]
            paths = [folder / row["file"] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{manifest} has no list `pictures` of rows with a `file`: make it again") from error
    else:
        paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
        rows = [{}] * len(paths)
    if not paths:
        raise ValueError(f"there are no pictures in {folder}: check the name")
    pictures = []
    for path, row in zip(paths, rows, strict=True):
        row = {"kind": kind, "source": source or folder.name, "author": "", "licence": licence} | row
        split = row.get("split") or split_of(path.stem)
        if row["kind"] not in KINDS or split not in SPLITS:
            raise ValueError(f"{manifest} gives {path.name} the kind {row['kind']} and the split {split}: correct it")
        name = f"{folder.resolve().name}-{path.stem}"
        pictures.append(Picture(path, name, KINDS[row["kind"]], split, row["source"], row["author"], row["licence"]))
    return sorted(pictures, key=lambda picture: picture.name)


def encode(picture: Picture, *, quality: int) -> tuple[dict[str, bytes], tuple[int, int]]:
    """Read, crop, scale and compress one picture.

    Args:
        picture: which.
        quality: of the lossy part, 1..100.

    Returns:
        Its files, by suffix, and its height and width in pixels.

    Raises:
        ValueError: it is no picture, or no cut-out where one is needed.
    """
    pixels = cv2.imread(str(picture.path), cv2.IMREAD_COLOR if picture.kind == "rooms" else cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{picture.path} is no picture: delete it, or fetch it again")
    if picture.kind == "rooms":
        pixels = _reduce(pixels, SHORT_SIDE / min(pixels.shape[:2]))
        return {".webp": _webp(pixels, quality)}, pixels.shape[:2]
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (4,):
        raise ValueError(f"{picture.path} is no cut-out: it needs 8 bits and four channels, the last of them alpha")
    if pixels[..., 3].max() < FAINT:
        raise ValueError(f"{picture.path} is transparent everywhere: delete it, or make it again")
    colours, alpha = prepare_cutout(pixels)
    return {".webp": _webp(colours, quality), ".png": cv2.imencode(".png", alpha)[1].tobytes()}, alpha.shape


def prepare_cutout(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crop to the subject, scale to `LONG_SIDE` at most, and carry the colours on beyond the border.

    Args:
        pixels: ``(H, W, 4)`` uint8, straight, not transparent everywhere; the colours in any order.

    Returns:
        ``(h, w, 3)`` and ``(h, w)`` uint8.

    """
    ys, xs = np.nonzero(pixels[..., 3] >= FAINT)
    pixels = pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.float32)
    alpha = pixels[..., 3:] / 255
    premultiplied = _reduce(np.dstack([pixels[..., :3] * alpha, alpha]), LONG_SIDE / max(pixels.shape[:2]))
    alpha = np.rint(premultiplied[..., 3] * 255).astype(np.uint8)
    straight = premultiplied[..., :3] / np.maximum(premultiplied[..., 3:], 1e-3)
    return np.clip(np.rint(_spread(straight, alpha >= FAINT)), 0, 255).astype(np.uint8), alpha


def _reduce(pixels: np.ndarray, factor: float) -> np.ndarray:
    if factor >= 1:
        return pixels
    size = [max(1, round(side * factor)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def _spread(colours: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fill in smoothly what is not known, so that lossy compression sees no edge there to make rings of.

    Source: the pull-push of Gortler et al., The Lumigraph, 1996.
    """
    weight = known.astype(np.float32)[..., None]
    levels = [np.dstack([colours * weight, weight])]
    while max(levels[-1].shape[:2]) > 1:
        height, width = levels[-1].shape[:2]
        size = (max(1, width // 2), max(1, height // 2))
        level = cv2.resize(levels[-1], size, interpolation=cv2.INTER_AREA)
        levels.append(level / np.maximum(level[..., 3:], 1e-6) * np.minimum(1, 2 * level[..., 3:]))
    filled = levels[-1][..., :3] / np.maximum(levels[-1][..., 3:], 1e-6)
    for level in reversed(levels[:-1]):
        filled = cv2.resize(filled, level.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(*level.shape[:2], 3)
        filled = level[..., :3] + (1 - level[..., 3:]) * filled
    return filled


def _webp(pixels: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])[1].tobytes()


class _Tars:
    """Tar files of one split, a new one begun whenever the last would grow beyond `SHARD_BYTES`.

    Args:
        folder: where they are written.
        split: part of their names.
    """

    def __init__(self, folder: Path, split: str):
        self._folder = folder
        self._split = split
        self._members: list[tuple[str, bytes]] = []
        self._size = 0
        self._checksums: dict[str, str] = {}

    @property
    def name(self) -> str:
        """The tar that the last members are in."""
        return f"{self._split}-{len(self._checksums):03}.tar"

    def add(self, members: dict[str, bytes]) -> None:
        """Add the files of one picture, all to the same tar."""
        size = sum(512 + -(-len(data) // 512) * 512 for data in members.values())
        if self._size + size > SHARD_BYTES - tarfile.RECORDSIZE:
            self._write()
        self._members += members.items()
        self._size += size

    def close(self) -> dict[str, str]:
        """Write what is left, and give the names of all tars with their sha256."""
        self._write()
        return self._checksums

    def _write(self) -> None:
        if not self._members:
            return
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, data in self._members:
                header = tarfile.TarInfo(name)
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))
        (self._folder / self.name).write_bytes(buffer.getvalue())
        self._checksums[self.name] = hashlib.sha256(buffer.getvalue()).hexdigest()
        self._members, self._size = [], 0


def check_replaceable(output: Path, *, overwrite: bool) -> None:
    """Say now, not after minutes of work, that the shards cannot be written.

    Args:
        output: the folder to make.
        overwrite: it may replace a folder of shards.

    Raises:
        OutputError: nothing can be written there, or something else than shards is there.
        OutputExistsError: there are shards already.
    """
    check_folder(output)
    if not output.exists():
        return
    if not output.is_dir() or any(p.name != MANIFEST and p.suffix != ".tar" for p in output.iterdir()):
        raise OutputError(f"{output} holds other things than shards: choose another folder")
    if any(output.iterdir()) and not overwrite:
        raise OutputExistsError(f"{output} holds shards already: choose another folder, or allow --overwrite")


def pack(pictures: Iterable[Picture], output: Path, *, quality: int, seed: int, workers: int, overwrite: bool) -> dict:
    """Write shards and manifest under their final name only when all is there.

    Args:
        pictures: of all kinds and splits.
        output: the folder to make.
        quality: of the lossy parts, 1..100.
        seed: of the order in which pictures lie in the shards.
        workers: threads that compress.
        overwrite: replace a folder of shards that is there already; no other folder is ever replaced.

    Returns:
        The manifest.

    Raises:
        ValueError: a picture is of no use, or two have the same name.
        OutputError: nothing can be written there.
    """
    pictures = sorted(pictures, key=lambda picture: (picture.kind, picture.name))
    twice = [name for name, count in Counter((p.kind, p.name) for p in pictures).items() if count > 1]
    if twice:
        raise ValueError(f"two pictures are called {'/'.join(twice[0])}: rename a folder, or one of them")
    output = output.resolve()
    check_replaceable(output, overwrite=overwrite)
    random.Random(seed).shuffle(pictures)
    temporary = beside(output)
    temporary.mkdir()
    try:
        shards: dict[str, str] = {}
        items: list[dict[str, object]] = []
        with ThreadPoolExecutor(workers) as pool, tqdm(total=len(pictures), unit="picture") as progress:
            for split in SPLITS:
                chosen = [picture for picture in pictures if picture.split == split]
                encoded = pool.map(lambda picture: encode(picture, quality=quality), chosen)
                tars = _Tars(temporary, split)
                for picture, (files, size) in zip(chosen, encoded, strict=True):
                    members = {f"{picture.kind}/{picture.name}{suffix}": data for suffix, data in files.items()}
                    tars.add(members)
                    items.append(
                        {
                            "name": picture.name,
                            "kind": picture.kind,
                            "split": split,
                            "shard": tars.name,
                            "source": picture.source,
                            "author": picture.author,
                            "licence": picture.licence,
                            "height": size[0],
                            "width": size[1],
                        }
                    )
                    progress.update()
                shards |= tars.close()
        manifest = {"shards": shards, "items": items}
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        former = beside(output)
        if output.exists():
            os.replace(output, former)
        os.replace(temporary, output)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def summary(manifest: dict, output: Path) -> str:
    """Counts by split, kind and source, and the size of each split, as text of several lines."""
    items = manifest["items"]
    counts = Counter((item["split"], item["kind"], item["source"], item["licence"]) for item in items)
    lines = [
        f"{count:6} {split:5} {kind:6} {source} ({licence})"
        for (split, kind, source, licence), count in sorted(counts.items())
    ]
    for split in SPLITS:
        sizes = [(output / name).stat().st_size for name in manifest["shards"] if name.startswith(split)]
        lines.append(f"{split}: {len(sizes)} shards, {sum(sizes) / 2**20:.1f} MiB")
    return "\n".join(lines)


def main() -> None:
    """Read the flags, find the pictures, pack them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder to make")
    folders = {"type": Path, "nargs": "+", "default": [], "metavar": "FOLDER"}
    parser.add_argument("--people", **folders, help="cut-outs made by tools/prepare_people.py")
    parser.add_argument("--renders", **folders, help="cut-outs made by tools/render_people.py")
    parser.add_argument("--things", **folders, help="cut-outs of what is no person, as RGBA PNG")
    parser.add_argument("--rooms", **folders, help="pictures of the Houses-dataset")
    parser.add_argument("--backgrounds", **folders, help="pictures fetched by tools/fetch_backgrounds.py")
    parser.add_argument("--quality", type=int, default=90, help="of the lossy parts, 1..100; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the order in the shards; default: %(default)s")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads; default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace shards that are there already")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        check_replaceable(args.output.resolve(), overwrite=args.overwrite)
        pictures = [
            *(picture for folder in args.people for picture in find_pictures(folder, "person", **PEOPLE)),
            *(picture for folder in args.renders for picture in find_pictures(folder, "person", **RENDERS)),
            *(picture for folder in args.things for picture in find_pictures(folder, "thing")),
            *(picture for folder in args.rooms for picture in find_pictures(folder, "room", **ROOMS)),
            *(picture for folder in args.backgrounds for picture in find_pictures(folder, "room")),
        ]
        manifest = pack(
            pictures,
            args.output,
            quality=args.quality,
            seed=args.seed,
            workers=args.workers,
            overwrite=args.overwrite,
        )
    except (Bgmv2Error, OSError, ValueError) as error:
        sys.exit(f"prepare_data: {error}")
    print(summary(manifest, args.output))


if __name__ == "__main__":
    main()
