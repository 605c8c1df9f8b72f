"""What the tool spoils is what it says, and the doctor knows all names that it looks for."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from bgmv2.doctor import Diagnosis, Finding, signs


@pytest.fixture
def tool(load_tool):
    return load_tool("measure_doctor")


def test_all_findings_that_are_looked_for_exist(tool):
    source = inspect.getsource(signs)
    names = {name for case in tool.CASES.values() for name in case.names}
    assert names and all(f'"{name}"' in source for name in names)


def test_a_cut_out_is_laid_where_it_was_said(tool):
    picture = np.zeros((90, 160, 3), np.uint8)
    cutout = np.full((40, 20, 4), 255, np.uint8)
    tool._paste(picture, cutout, x=0.25, bottom=1.0, tall=0.5)
    rows, columns = np.nonzero(picture[..., 0])
    assert (rows.min(), rows.max()) == (45, 89) and columns.mean() == pytest.approx(40, abs=1)
    tool._paste(picture, cutout, x=0.99, bottom=0.3, tall=0.5)  # what reaches beyond the picture is cut off


def test_rows_count_what_was_found(tool):
    row = tool.Row(names=("ghost",))
    row.add(Diagnosis((Finding("ghost", "reshoot", "somebody"), Finding("noisy-clip", "note", "noise"))))
    row.add(Diagnosis(()))
    assert (row.count, row.found) == (2, 1)
    assert row.told("a kind").split() == ["a", "kind", "2", "1", "1", "0", "1", "ghost", "1"]
