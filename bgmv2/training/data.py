"""What there is to train on: cut-outs of subjects and pictures of rooms, held in memory as uint8.

Nothing is needed to read them but PyTorch and what comes with torchvision, so that a rented GPU machine will do.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

KINDS = ("people", "things", "rooms")
SPLITS = ("train", "val", "test")
MANIFEST = "manifest.json"
RENDERER = "tools/render_people.py"  # a source that a manifest names


@dataclass(frozen=True, eq=False)
class Material:
    """Cut-outs and rooms of one split.

    Args:
        people: ``(4, h, w)`` uint8 straight RGBA each.
        things: the same; subjects that are no people, such as animals, furniture and props. May be empty.
        rooms: ``(3, h, w)`` uint8 RGB each; anything that stands behind a subject, outdoors too.
    """

    people: list[Tensor]
    things: list[Tensor]
    rooms: list[Tensor]


def load_material(
    folder: str | PathLike[str],
    *,
    split: str,
    device: torch.device | str = "cpu",
    limit: int | None = None,
    rendered: bool = True,
) -> Material:
    """Read one split into the memory of a device.

    Args:
        folder: what `tools/prepare_data.py` wrote: a manifest and tar shards.
        split: `train`, `val` or `test`.
        device: where the tensors are to lie.
        limit: keep so many of each kind at most, for trials on a few.
        rendered: False leaves out what `tools/render_people.py` made.

    Raises:
        FileNotFoundError: the manifest or a shard is not there.
        ValueError: the manifest or a shard is damaged, or the split holds no people or no rooms.
    """
    if split not in SPLITS:
        raise ValueError(f"{split = } is none of {', '.join(SPLITS)}")
    folder = Path(folder)
    manifest = _read_manifest(folder / MANIFEST)
    of_split = [item for item in manifest["items"] if item["split"] == split]
    of_split = [item for item in of_split if rendered or item.get("source") != RENDERER]
    wanted = [item for kind in KINDS for item in [i for i in of_split if i["kind"] == kind][:limit]]
    missing = sorted({item["shard"] for item in wanted if not (folder / item["shard"]).is_file()})
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}, which its {MANIFEST} names: copy what is missing there, "
            "or make the folder again with tools/prepare_data.py"
        )
    found: dict[str, list[Tensor]] = {kind: [] for kind in KINDS}
    # Shards are read one after another, so that no more than one of them lies in memory beside the decoded pictures.
    with ThreadPoolExecutor() as pool, tqdm(total=len(wanted), unit="picture", desc=split) as progress:
        for shard in sorted({item["shard"] for item in wanted}):
            members = _read_shard(folder / shard, manifest["shards"][shard])
            items = [item for item in wanted if item["shard"] == shard]
            for item, picture in zip(items, pool.map(_decode, items, repeat(members)), strict=True):
                found[item["kind"]].append(picture.to(device))
                progress.update()
    for kind in ("people", "rooms"):
        if not found[kind]:
            raise ValueError(f"{folder} holds no {kind} of the split {split}: give tools/prepare_data.py more of them")
    return Material(**found)


def _read_manifest(path: Path) -> dict[str, Any]:
    """What `tools/prepare_data.py` says of its shards: `shards` (name to sha256) and `items`."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(manifest["shards"], dict) and isinstance(manifest["items"], list)):
            raise TypeError("shards and items are of other types")
        for item in manifest["items"]:
            if not all(isinstance(item[key], str) for key in ("split", "kind", "name", "shard")):
                raise TypeError("an item is of another kind")
            manifest["shards"][item["shard"]]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {path}: make that folder with tools/prepare_data.py") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no manifest of tools/prepare_data.py: make that folder again") from error
    return manifest


def _read_shard(path: Path, sha256: str) -> dict[str, bytes]:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ValueError(f"{path} is damaged or of another {MANIFEST}: copy both again")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def _decode(item: dict[str, Any], members: dict[str, bytes]) -> Tensor:
    """One picture: RGB from a lossy file, and alpha of its own beside it if it is a cut-out."""
    stem = f"{item['kind']}/{item['name']}"
    rgb = _decode_image(members[f"{stem}.webp"], "RGB")
    if item["kind"] == "rooms":
        return rgb
    return torch.cat([rgb, _decode_image(members[f"{stem}.png"], "L")])


def _decode_image(data: bytes, mode: str) -> Tensor:
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert(mode))
    return torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())
