"""The bench of the network: what it compares, counts and lays out. No time is judged."""

from __future__ import annotations

import json

import pytest
import torch

from bgmv2.nn.fast import FastMatting


@pytest.fixture
def network(load_tool):
    return load_tool("benching.network")


def test_our_network_is_measured_beside_the_published_one(network, tmp_path, monkeypatch):
    pytest.importorskip("BackgroundMattingV2")
    monkeypatch.setitem(network.SETTINGS, "hd", network.Setting("small", (96, 128), 1 / 4, 640))
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{network.BEGIN}\n{network.END}\nafter\n")
    parser = network.argparse.ArgumentParser()
    network.add_arguments(parser)
    words = ["--sizes", "hd", "--backbones", "mobilenetv2", "resnet50", "--device", "cpu", "--rounds", "2"]
    files = ["--json", tmp_path / "a.json", "--plot", tmp_path / "a.png", "--table", readme]
    network.run(parser.parse_args([*words, *map(str, files)]))
    said = json.loads((tmp_path / "a.json").read_text())
    assert list(said["results"]) == ["small, mobilenetv2", "small, resnet50"]
    published, plain, fast, half = said["results"]["small, mobilenetv2"]
    assert published["ratios"] == [1, 1] and plain["alpha"][0] < 1e-4
    assert fast["alpha"][0] < 1e-3 and fast["same"] > 0.99 and half["alpha"][1] < 0.01
    base, refiner, rest = (fast["parts"][name] for name in (*network.PARTS, network.REST))
    assert base["gflop"] > refiner["gflop"] > rest["gflop"] == 0
    assert (tmp_path / "a.png").stat().st_size > 0
    assert readme.read_text().count("| small, ") == 8 + 4
    assert "| size, backbone | network | base | refiner | resampling and the rest |" in readme.read_text()


def test_bytes_are_those_of_operations_and_not_of_views(network):
    x = torch.zeros(10, 10)
    with network._bytes() as told:
        y = x.view(100)[10:]
        y + 1
    assert told == [2 * 90 * 4]


def test_a_watched_network_is_as_before_afterwards(network):
    answer = FastMatting(network.load_model(backbone_scale=0.25, refine_sample_pixels=160))
    packed = [torch.rand(1, 3, 64, 64) for _ in range(2)]
    parts = network.measure_parts(answer, packed, 1, network.Ceilings({"float32": 100.0}, 10.0))
    assert set(parts) == {"base", "refiner", network.REST}
    assert not {name for names in network.PARTS.values() for name in names} & set(vars(answer))


def test_costs_are_measured_by_size_subject_and_length(load_tool, tmp_path, monkeypatch, capsys):
    cost = load_tool("benching.cost")
    monkeypatch.setattr(cost, "SIZES", {"a": (96, 128), "b": (192, 256)})
    monkeypatch.setattr(cost, "HD", (192, 256))
    done = load_tool("benching.command").Run(
        [{"frames": 1, "seconds": 1.0}, {"frames": 11, "seconds": 3.0}], peak=5 << 20
    )
    monkeypatch.setattr(cost.memory, "repeat", lambda clip, count, target: None)
    monkeypatch.setattr(cost.memory, "convert", lambda *_: done)
    parser = cost.argparse.ArgumentParser()
    cost.add_arguments(parser)
    words = ["--device", "cpu", "--rounds", "1", "--times", "1", "--json", tmp_path / "a.json"]
    args = parser.parse_args([*map(str, words), "--plot", str(tmp_path / "a.png")])
    args.sizes = ["a", "b"]
    cost.run(args)
    told = json.loads((tmp_path / "a.json").read_text())
    assert set(told["by_size"]) == {"float32", "bfloat16"} and all(len(ms) == 2 for ms in told["by_size"].values())
    assert set(told["by_subject"]) == {"--region off", "--region auto"}
    assert told["by_length"] == [[11, 200.0, 5.0]]
    assert "11 frames: 200 ms a frame, 5 MiB" in capsys.readouterr().out
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_command_s_start_is_measured_from_outside(load_tool, monkeypatch):
    start = load_tool("benching.start")
    assert 0 < start.to_help() < start.to_first_frame("cpu")
    monkeypatch.setattr(start, "SAMPLE", start.Path("nowhere"))
    with pytest.raises(SystemExit, match="error"):
        start.to_first_frame("cpu")
