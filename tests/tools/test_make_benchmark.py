"""The benchmark's maker."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bgmv2.evaluate import load_benchmark
from bgmv2.training.data import Material
from bgmv2.video import read_image


@pytest.fixture
def make(load_tool, monkeypatch):
    make_benchmark = load_tool("make_benchmark")
    for kind in ("CATEGORIES", "EASY"):
        few = {
            name: replace(category, count=2 if name == "static" else 1, frames=min(category.frames, 2), draws=1)
            for name, category in getattr(make_benchmark, kind).items()
        }
        monkeypatch.setattr(make_benchmark, kind, few)
    monkeypatch.setattr(make_benchmark, "load_material", lambda folder, split, rendered: material(rendered))
    return make_benchmark


def material(rendered=True):
    generator = np.random.default_rng(1 if rendered else 2)

    def person():
        rgba = generator.integers(40, 220, (4, 60, 24), dtype=np.uint8)
        rgba[3] = 255
        rgba[3, :, :2] = 128
        return torch.from_numpy(rgba)

    rooms = [torch.from_numpy(generator.integers(0, 255, (3, 40, 60), dtype=np.uint8)) for _ in range(5)]
    return Material([person() for _ in range(12)], [], rooms)


def run(make, monkeypatch, folder, *words):
    monkeypatch.setattr(sys, "argv", ["make_benchmark.py", "shards", str(folder), "--size", "96", "64", *words])
    make.main()
    return load_benchmark(folder)


def test_a_benchmark_has_all_categories_and_one_seed_gives_one(make, monkeypatch, tmp_path, capsys):
    first = run(make, monkeypatch, tmp_path / "a")
    assert "10 items" in capsys.readouterr().out
    assert list(dict.fromkeys(item.category for item in first.items)) == list(make.CATEGORIES)
    assert [len(item.srcs) for item in first.items if "clip" in item.category] == [2, 2]
    for item in first.items:
        truth = item.truth()
        assert truth.shape[1:] == (64, 96)
        assert (truth.mean(axis=(1, 2)) > 0.02).all() and truth[:, 0].max() < 0.51  # rounded to 8 bits
        assert read_image(item.plate).shape == (64, 96, 3)
    again, other = run(make, monkeypatch, tmp_path / "b"), run(make, monkeypatch, tmp_path / "c", "--seed", "1")
    assert first.sha256 == again.sha256 != other.sha256
    entry = json.loads((tmp_path / "a" / "benchmark.json").read_text())["items"][0]
    fgr, src, pha = (read_image(tmp_path / "a" / entry["frames"][0][role]) for role in ("fgr", "src", "pha"))
    inside = (pha == 255).all(axis=2)
    assert np.abs(fgr.astype(int) - src)[inside].mean() < 25  # but for noise and compression
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_the_easy_benchmark_has_photographed_people_alone_and_pictures_of_its_own(make, monkeypatch, tmp_path):
    assert make.EASY["static"].config.group == make.EASY["handheld"].config.objects == 0
    easy = run(make, monkeypatch, tmp_path / "a", "--easy")
    assert [item.category for item in easy.items] == ["static", "static", "handheld"]
    monkeypatch.setattr(make, "load_material", lambda folder, split, rendered: material(rendered=False))
    hard = run(make, monkeypatch, tmp_path / "b")
    assert not np.array_equal(easy.items[0].truth(), hard.items[0].truth())


def test_a_folder_that_is_there_is_left_alone(make, monkeypatch, tmp_path):
    with pytest.raises(SystemExit):
        run(make, monkeypatch, tmp_path)


def test_nothing_is_seen_in_two_items_if_there_is_enough(make):
    pictures = [torch.full((4, 2, 2), i, dtype=torch.uint8) for i in range(20)]
    whole = Material(pictures, [], pictures[:6])
    shares = [make.deal(whole, number, 5) for number in range(5)]
    assert sorted(int(p[0, 0, 0]) for share in shares for p in share.people) == list(range(20))
    assert all(len(share.rooms) == 6 for share in shares)
    assert all(len(make.deal(whole, number, 5, enough=1).rooms) < 3 for number in range(5))


def test_people_with_hair_are_told_by_their_soft_edges(make):
    smooth, hairy = torch.full((2, 4, 100, 60), 255, dtype=torch.uint8)
    hairy[3, :30] = 128
    chosen = make.hairiest(Material([smooth] * 4 + [hairy] + [smooth] * 4, [], []))
    assert len(chosen.people) == 1 and chosen.people[0] is hairy
