import re
import sys

import numpy as np

from bgmv2.video.images import read_image


def test_what_is_made_up_is_filled_with_the_nearest_colours(load_tool):
    plate = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    seen = np.ones((5, 6), bool)
    seen[:, :2] = False
    filled = load_tool("measure_unseen").extended(plate, seen)
    assert np.array_equal(filled[:, 2:], plate[:, 2:]) and np.array_equal(filled[:, :2], plate[:, [2, 2]])


def test_every_way_is_measured(monkeypatch, capsys, tmp_path, benchmark_folder, load_tool):
    sheet = tmp_path / "sheet.png"
    words = ["measure_unseen.py", str(benchmark_folder), "--every", "1", "--sheet", str(sheet)]
    monkeypatch.setattr(sys, "argv", words)
    load_tool("measure_unseen").main()
    told = dict(re.findall(r"^((?:band|hole), [a-z, ]+?) {2,}(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    ways = ("whole plate", "frame copied", "extended", "extended, continued")
    assert set(told) == {f"{kind}, {way}" for kind in ("band", "hole") for way in ways}
    # Nothing is taken away where the plate has pixels.
    for kind in ("band", "hole"):
        assert told[f"{kind}, extended"].split()[-2:] == told[f"{kind}, extended, continued"].split()[-2:]
    # Two stills, two kinds of area: a row of four pictures each.
    assert read_image(sheet).shape == (4 * 180, 4 * 320, 3)
