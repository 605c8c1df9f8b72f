"""The tool that measures a conversion stage by stage: its arithmetic, and that every stage works."""

import argparse

import numpy as np
import pytest

from bgmv2 import Matter


@pytest.fixture
def tool(load_tool):
    return load_tool("benching.pipeline")


def test_the_ratio_is_that_to_the_lower_bound(tool):
    stages = {name: tool.Cost(0.1, 0.1) for name in tool.STAGES} | {"base": tool.Cost(0.5, 1.0)}
    report = tool.Report((1920, 1080), "a network", stages, together=1.0, memory=100.0, cores=2)
    assert report.slowest == "base" and report.bounds == pytest.approx({"slowest": 2.0, "cores": 2 / 1.8})
    assert report.ratio == pytest.approx(0.9)
    assert str(report).startswith("1920x1080, a network")
    assert "| base | 2.0 | 500.0 | 1000.0 |" in str(report) and "ratio to the lower 0.90" in str(report)


def test_every_stage_works_alone_and_all_together(tool, load_tool, tmp_path):
    args = argparse.Namespace(clip=tool.SAMPLE / "clip.mp4", plate=tool.SAMPLE / "plate.jpg")
    clip, plate = tool.enlarged(args.clip, args.plate, (96, 64), 4, tmp_path)
    stages = tool.stages_alone(clip, plate, Matter(device="cpu"))
    assert tuple(stages) == tool.STAGES and all(cost.seconds >= 0 for cost in stages.values())
    held = np.ones(3 << 29, np.uint8)  # the memory of a run is its own, and not that of the bench
    run = load_tool("benching.command").run("convert", clip, "--plate", plate, "-o", tmp_path / "out.mp4")
    assert run.rate > 0 and 2**26 < run.peak < len(held) and (tmp_path / "out.mp4").exists()
    report = tool.Report((96, 64), "a network", stages, run.rate, run.peak / 2**20, 2)
    tool.plot([report], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_what_a_run_is_refused_for_is_told(load_tool, tmp_path):
    with pytest.raises(SystemExit, match="missing.mp4"):
        load_tool("benching.command").run(
            "convert", tmp_path / "missing.mp4", "--plate", "auto", "-o", tmp_path / "a.mp4"
        )
