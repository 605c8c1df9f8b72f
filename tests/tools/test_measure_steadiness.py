import json
import sys

import pytest

from bgmv2 import Matter, RunConfig
from bgmv2.evaluate import load_benchmark, predict, score


def test_both_ways_are_measured(monkeypatch, capsys, tmp_path, benchmark_folder, load_tool):
    told = tmp_path / "told.json"
    monkeypatch.setattr(sys, "argv", ["measure_steadiness.py", str(benchmark_folder), "--json", str(told)])
    load_tool("measure_steadiness").main()
    table = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0].strip("| ") for row in table[2:]] == ["c", "c", "mean", "mean"]
    plain, steadied = json.loads(told.read_text())["c"].values()
    # Without steadying it is what `bgmv2 eval` says, but for its 8 bits.
    item = load_benchmark(benchmark_folder).items[-1]
    expected = score(item, predict(item, Matter(device="cpu"), RunConfig())).values
    assert plain["mad"] == pytest.approx(expected["mad"], abs=1 / 255)
    assert plain["dtssd"] == pytest.approx(expected["dtssd"], abs=1 / 255)
    assert steadied != plain


def test_a_benchmark_without_clips_is_told(monkeypatch, benchmark_folder, load_tool):
    index = benchmark_folder / "benchmark.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps({**content, "items": content["items"][:2]}))
    monkeypatch.setattr(sys, "argv", ["measure_steadiness.py", str(benchmark_folder)])
    with pytest.raises(SystemExit, match="holds no clips"):
        load_tool("measure_steadiness").main()
