"""`bgmv2 export`."""

from __future__ import annotations

import pytest

from bgmv2.cli import main


def test_torchscript_is_written_and_told(tmp_path, capsys):
    out = tmp_path / "net.torchscript"
    assert main(["export", "torchscript", "-o", str(out), "--scale", "0.5", "--pixels", "1600"]) == 0
    said = capsys.readouterr().out
    assert "320x180: differs by 0 at most" in said and "at scale 1/2" in said and out.stat().st_size > 10_000_000
    assert main(["export", "torchscript", "-o", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_a_kind_that_is_not_there_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["export", "tflite", "-o", str(tmp_path / "net.tflite")])
    assert "torchscript" in capsys.readouterr().err
