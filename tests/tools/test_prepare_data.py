"""What is packed can be read again, comes whole or not at all, and says where it is from."""

import json
import sys
import tarfile

import cv2
import numpy as np
import pytest

from bgmv2.errors import OutputError, OutputExistsError
from bgmv2.training.data import load_material


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("prepare_data")


def smooth(height, width):
    ys, xs = np.mgrid[:height, :width]
    return np.dstack([ys * 200 // height + 30, xs * 200 // width + 30, np.full_like(xs, 90)]).astype(np.uint8)


def cutout(height, width):
    """A disc on a transparent ground whose hidden colour is quite another."""
    ys, xs = np.mgrid[:height, :width]
    distance = np.hypot((ys - height / 2) / (height / 2 - 8), (xs - width / 2) / (width / 2 - 6))
    alpha = np.clip((1 - distance) * 20, 0, 1)
    colours = np.where(alpha[..., None] > 0, smooth(height, width), np.uint8([255, 0, 255]))
    return np.dstack([colours, alpha * 255]).astype(np.uint8)


@pytest.fixture
def folders(tmp_path):
    """Twenty people, eleven rooms, and a folder with a manifest of its own."""
    for name in ("people", "rooms", "renders"):
        (tmp_path / name).mkdir()
    for i in range(1, 21):
        cv2.imwrite(str(tmp_path / f"people/{i:04}.png"), cutout(60 + i, 40))
    for i in range(1, 12):
        cv2.imwrite(str(tmp_path / f"rooms/{i}_kitchen.jpg"), smooth(48, 64))
    cv2.imwrite(str(tmp_path / "renders/thing_00003.png"), cutout(50, 50))
    cv2.imwrite(str(tmp_path / "renders/person_00010.png"), cutout(50, 50))
    rows = [
        {"file": "thing_00003.png", "kind": "thing", "source": "a fox", "licence": "CC0"},
        {"file": "person_00010.png", "kind": "person", "split": "train"},
        {"file": "person_00011.png", "kind": "person"},
    ]
    (tmp_path / "renders/manifest.json").write_text(json.dumps({"pictures": rows}))
    return tmp_path


def run(tool, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, arguments)])
    tool.main()


def command(folders):
    return [
        *("--people", folders / "people", "--renders", folders / "renders", "--rooms", folders / "rooms"),
        *("--workers", 2),
    ]


def test_splits_go_by_the_first_number_in_the_name(tool):
    names = ("10_kitchen", "10_frontal.jpg", "0125", "0126", "person_00005")
    assert [tool.split_of(name) for name in names] == ["test", "test", "val", "train", "val"]
    with pytest.raises(ValueError, match="kitchen has no number"):
        tool.split_of("kitchen")


def test_what_is_packed_can_be_loaded(tool, folders, monkeypatch, capsys):
    run(tool, monkeypatch, folders / "shards", *command(folders))
    assert "16 train people clothing-co-parsing" in " ".join(capsys.readouterr().out.split())
    train, val, test = (load_material(folders / "shards", split=split) for split in ("train", "val", "test"))
    assert [len(x) for x in (train.people, train.things, train.rooms)] == [17, 1, 9]
    assert [len(x) for x in (val.people, val.things, val.rooms)] == [2, 0, 1]
    assert [len(x) for x in (test.people, test.things, test.rooms)] == [2, 0, 1]
    items = json.loads((folders / "shards/manifest.json").read_text())["items"]
    fox = next(item for item in items if item["kind"] == "things")
    assert (fox["name"], fox["source"], fox["licence"]) == ("renders-thing_00003", "a fox", "CC0")
    assert {item["licence"] for item in items if item["name"].startswith("people-")} == {"Apache-2.0"}
    assert train.things[0].shape == (4, fox["height"], fox["width"])
    assert all(room.shape == (3, 48, 64) for room in train.rooms)


def test_alpha_is_exact_and_colours_are_near(tool, folders, monkeypatch):
    run(tool, monkeypatch, folders / "shards", *command(folders))
    thing = load_material(folders / "shards", split="train").things[0].numpy()
    true = cutout(50, 50)
    ys, xs = np.nonzero(true[..., 3] >= tool.FAINT)
    true = true[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    assert (thing[3] == true[..., 3]).all()
    inside = true[..., 3] > 128
    difference = thing[:3].transpose(1, 2, 0)[..., ::-1].astype(int) - true[..., :3]
    assert np.abs(difference[inside]).mean() < 4
    assert np.abs(difference[inside]).max() < 30  # the magenta behind has not bled in


def test_hidden_colours_are_replaced_by_those_of_the_subject(tool):
    colours, alpha = tool.prepare_cutout(cutout(90, 70))
    assert colours.shape == (*alpha.shape, 3)
    hidden = colours[alpha < tool.FAINT].astype(int)
    assert len(hidden) > 100
    assert hidden.max() < 240 and np.abs(hidden[:, 2] - 90).max() < 5


def test_large_pictures_are_reduced(tool, tmp_path):
    colours, alpha = tool.prepare_cutout(cutout(1200, 300))
    assert alpha.shape[0] == tool.LONG_SIDE and alpha.max() == 255
    cv2.imwrite(str(tmp_path / "1.jpg"), smooth(700, 900))
    room = tool.find_pictures(tmp_path, "room")[0]
    assert tool.encode(room, quality=80)[1] == (540, 694)


def test_shards_are_small_mixed_and_the_same_each_time(tool, folders, monkeypatch):
    monkeypatch.setattr(tool, "SHARD_BYTES", 48 * 1024)
    for name in ("a", "b"):
        run(tool, monkeypatch, folders / name, *command(folders))
    tars = sorted((folders / "a").glob("train-*.tar"))
    assert len(tars) > 1 and all(tar.stat().st_size <= 48 * 1024 for tar in tars)
    with tarfile.open(tars[0]) as first:
        assert {name.split("/")[0] for name in first.getnames()} >= {"people", "rooms"}
    assert load_material(folders / "a", split="train").things
    for path in (folders / "a").iterdir():
        assert path.read_bytes() == (folders / "b" / path.name).read_bytes()


def test_nothing_is_replaced_unasked(tool, folders, monkeypatch):
    target = folders / "shards"
    run(tool, monkeypatch, target, *command(folders))
    before = (target / "manifest.json").read_bytes()
    with pytest.raises(SystemExit, match="holds shards already.*--overwrite"):
        run(tool, monkeypatch, target, *command(folders))
    with pytest.raises(OutputExistsError):
        tool.check_replaceable(target, overwrite=False)
    run(tool, monkeypatch, target, *command(folders), "--seed", 1, "--overwrite")
    assert (target / "manifest.json").read_bytes() != before
    link = folders / "link"
    link.symlink_to(target)
    run(tool, monkeypatch, link, *command(folders), "--overwrite")
    assert link.is_symlink() and (target / "manifest.json").read_bytes() == before
    assert sorted(path.name for path in folders.iterdir()) == ["link", "people", "renders", "rooms", "shards"]
    (target / "letter.txt").write_text("mine")
    with pytest.raises(OutputError, match="other things"):
        tool.check_replaceable(target, overwrite=True)


@pytest.mark.parametrize("pixels", [smooth(20, 20), cutout(20, 20) * np.uint8([1, 1, 1, 0])])
def test_what_is_no_cutout_leaves_nothing_behind(tool, folders, monkeypatch, pixels):
    cv2.imwrite(str(folders / "people/0021.png"), pixels)
    with pytest.raises(SystemExit, match=r"prepare_data: .*0021\.png is"):
        run(tool, monkeypatch, folders / "shards", *command(folders))
    assert sorted(path.name for path in folders.iterdir()) == ["people", "renders", "rooms"]


def test_wrong_folders_are_told(tool, folders, monkeypatch):
    (folders / "empty").mkdir()
    with pytest.raises(SystemExit, match="no pictures in .*empty"):
        run(tool, monkeypatch, folders / "shards", "--people", folders / "empty")
    twice = ["--people", folders / "people", folders / "people"]
    with pytest.raises(SystemExit, match="two pictures are called people/people-0001"):
        run(tool, monkeypatch, folders / "shards", *twice)
    (folders / "renders/manifest.json").write_text("{}")
    with pytest.raises(SystemExit, match="make it again"):
        run(tool, monkeypatch, folders / "shards", "--renders", folders / "renders")
