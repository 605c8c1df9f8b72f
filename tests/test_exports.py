"""What the package promises to its users: names, version, and the examples of the README."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import bgmv2
from bgmv2.cli import main
from bgmv2.cli.options import LIVE
from bgmv2.video import write_image

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_names_are_listed_once_in_order_and_are_there():
    assert bgmv2.__all__ == sorted(set(bgmv2.__all__))
    for name in bgmv2.__all__:
        assert getattr(bgmv2, name) is not None


def test_nothing_else_is_public():
    others = {name for name, value in vars(bgmv2).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert others <= set(bgmv2.__all__)


def test_every_error_has_one_base_and_a_class_that_python_knows():
    errors = [value for value in vars(bgmv2).values() if inspect.isclass(value) and issubclass(value, Exception)]
    for error in errors:
        assert error in (bgmv2.Bgmv2Error, bgmv2.Bgmv2Warning) or issubclass(error, bgmv2.Bgmv2Error)
    assert issubclass(bgmv2.VideoError, ValueError) and issubclass(bgmv2.OutputExistsError, OSError)
    assert issubclass(bgmv2.DeviceError, RuntimeError) and issubclass(bgmv2.Bgmv2Warning, UserWarning)


def test_the_version_is_the_installed_one():
    assert re.fullmatch(r"\d+\.\d+\.\d+", bgmv2.__version__)
    assert importlib.metadata.version("bgmv2") == bgmv2.__version__


def test_public_functions_are_documented_and_take_one_thing_by_place():
    for function in (bgmv2.convert, bgmv2.convert_images):
        assert inspect.getdoc(function)
        kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
        assert kinds[0] is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.filterwarnings("ignore::bgmv2.Bgmv2Warning")
def test_the_readme_s_python_runs(tmp_path, monkeypatch, make_clip, picture):
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    if not torch.cuda.is_available():
        code = code.replace('device="cuda"', 'device="cpu"')
    monkeypatch.chdir(tmp_path)
    make_clip("clip.mp4", count=4)
    for index, name in enumerate(("plate.png", "plate.jpg", "photo.jpg", "beach.jpg")):
        write_image(tmp_path / name, picture(index, 64, 48))
    names = {
        "frame": picture(0, 64, 48),
        "plate": picture(1, 64, 48),
        "src": torch.rand(1, 3, 48, 64),
        "bgr": torch.rand(1, 3, 48, 64),
    }
    with torch.inference_mode():
        exec(compile(code, "README.md", "exec"), names)
    assert names["pha"].shape == (1, 1, 48, 64) and names["fgr"].shape == (1, 3, 48, 64)
    results = re.findall(r'(?:com|pha|rgba)="(\S+?)"', code)
    assert len(results) >= 4 and all((tmp_path / name).exists() for name in results)


def flags(text):
    return set(re.findall(r"--[a-z]+(?:-[a-z]+)*", text))


def table_of(section):
    """The first column of the tables in a section of the README."""
    return "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))


def test_the_readme_s_table_names_every_flag_of_webcam_alone():
    section = README.split("## In a meeting")[1].split("\n## ")[0]
    assert flags(table_of(section)) == {"--plate", *(f"--{name.replace('_', '-')}" for name in LIVE)}


def test_the_readme_s_table_names_every_flag_and_no_other(capsys):
    table = table_of(README.split("## In a meeting")[0])
    with pytest.raises(SystemExit, match="0"):
        main(["convert", "--help"])
    usage = capsys.readouterr().out
    assert flags(table) == flags(usage.split("examples:")[0]) - {"--help"}


def test_the_package_s_docstring_shows_what_there_is():
    for name in re.findall(r"bgmv2\.(\w+)", bgmv2.__doc__):
        assert name in bgmv2.__all__


def test_frames_are_checked():
    with pytest.raises(ValueError, match="uint8 or uint16"):
        bgmv2.Frame(np.zeros((2, 2, 3), np.float32))
    with pytest.raises(ValueError, match="a plate is a float tensor"):
        bgmv2.Plate(torch.zeros(1, 3, 2, 2))
