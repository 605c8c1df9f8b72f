"""Shards are read whole or refused with a word of what to do."""

import hashlib
import io
import json
import tarfile

import pytest
import torch
from PIL import Image

from bgmv2.training.data import RENDERER, load_material


def write_shard(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def encoded(mode, color, suffix):
    buffer = io.BytesIO()
    Image.new(mode, (12, 8), color).save(buffer, suffix, lossless=True)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Two shards of three people, a thing and two rooms, each of one colour."""
    shards, items = {}, []
    layout = {
        "train-000.tar": [("people", "a", 10), ("rooms", "b", 20), ("people", "c", 30)],
        "train-001.tar": [("things", "d", 40), ("people", "e", 50), ("rooms", "f", 60)],
    }
    for shard, rows in layout.items():
        members = {}
        for kind, name, value in rows:
            members[f"{kind}/{name}.webp"] = encoded("RGB", (value, value, value), "WEBP")
            if kind != "rooms":
                members[f"{kind}/{name}.png"] = encoded("L", value + 1, "PNG")
            items.append({"name": name, "kind": kind, "split": "train", "shard": shard})
        shards[shard] = write_shard(tmp_path / shard, members)
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": shards, "items": items}))
    return tmp_path


def values(tensors):
    return [[int(channel.float().mean().round()) for channel in tensor] for tensor in tensors]


def test_a_split_is_read_in_the_order_of_the_manifest(folder):
    material = load_material(folder, split="train")
    assert values(material.people) == [[10, 10, 10, 11], [30, 30, 30, 31], [50, 50, 50, 51]]
    assert values(material.things) == [[40, 40, 40, 41]]
    assert values(material.rooms) == [[20, 20, 20], [60, 60, 60]]
    assert {(x.dtype, x.shape[1:]) for x in material.people + material.rooms} == {(torch.uint8, (8, 12))}


def test_what_was_rendered_can_be_left_out(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["items"][0]["source"] = RENDERER
    manifest["items"][1]["source"] = "another"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    material = load_material(folder, split="train", rendered=False)
    assert values(material.people) == [[30, 30, 30, 31], [50, 50, 50, 51]]
    assert len(material.rooms) == 2 and len(load_material(folder, split="train").people) == 3


def test_a_limit_keeps_the_first_of_each_kind_and_needs_no_further_shards(folder):
    (folder / "train-001.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks train-001\.tar.*copy.*tools/prepare_data\.py"):
        load_material(folder, split="train")
    items = json.loads((folder / "manifest.json").read_text())
    items["items"] = [item for item in items["items"] if item["kind"] != "things"]
    (folder / "manifest.json").write_text(json.dumps(items))
    material = load_material(folder, split="train", limit=1)
    assert values(material.people) == [[10, 10, 10, 11]]
    assert material.things == [] and len(material.rooms) == 1


def test_a_damaged_shard_is_refused(folder):
    data = bytearray((folder / "train-000.tar").read_bytes())
    data[700] ^= 1
    (folder / "train-000.tar").write_bytes(data)
    with pytest.raises(ValueError, match=r"train-000\.tar is damaged.*copy both again"):
        load_material(folder, split="train")


def test_a_folder_without_a_manifest_is_refused(folder):
    (folder / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="no manifest of tools/prepare_data.py"):
        load_material(folder, split="train")
    for wrong in ({"split": None}, {"shard": "train-999.tar"}):
        item = {"name": "a", "kind": "people", "split": "train", "shard": "train-000.tar", **wrong}
        (folder / "manifest.json").write_text(json.dumps({"shards": {"train-000.tar": ""}, "items": [item]}))
        with pytest.raises(ValueError, match="no manifest of tools/prepare_data.py"):
            load_material(folder, split="train")
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="make that folder with tools/prepare_data.py"):
        load_material(folder, split="train")


def test_a_split_without_people_is_refused(folder):
    with pytest.raises(ValueError, match="holds no people of the split val"):
        load_material(folder, split="val")
    with pytest.raises(ValueError, match="split = 'all' is none of train, val, test"):
        load_material(folder, split="all")
