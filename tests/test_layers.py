"""Imports run downward only: walks the source, so that imports inside functions count, too."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    {"errors", "types", "config", "lazy", "memory", "device", "resample"},
    {"nn", "budget", "video", "compose", "stream", "metrics", "fingerprint", "progress", "sheets"},
    {
        "plate",
        "backdrop",
        "masks",
        "matter",
        "doctor",
        "export",
        "training",
        "job",
        "report",
        "verify",
        "develop",
        "names",
    },
    {"pipeline", "evaluate", "live"},
    {"batch"},
    {"bgmv2"},  # the package itself: what it exports comes from below, and who imports from it stands above
    {"cli", "tools"},
)
SIBLINGS_APART = 1
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(path for folder in ("bgmv2", "tools") for path in (ROOT / folder).rglob("*.py"))


def room_of(path):
    """``bgmv2/nn/refiner.py`` is of ``nn``, ``bgmv2/types.py`` of ``types``, ``tools/train.py`` of ``tools``."""
    top, *rest = path.with_suffix("").parts
    return top if top == "tools" or rest == ["__init__"] else rest[0]


def imported(tree, path):
    """Yield ``(line, dotted name)`` of all that is imported from bgmv2, relative imports resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.parts[: len(path.parts) - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "bgmv2" and name != "bgmv2.__version__":
                yield node.lineno, name


def violations(source, path):
    here = room_of(path)
    for line, name in imported(ast.parse(source), path):
        parts = name.split(".")
        there = parts[1] if len(parts) > 1 and parts[1] in FLOOR else "bgmv2"
        upward = FLOOR[there] > FLOOR[here]
        sideward = there != here and FLOOR[there] == FLOOR[here] == SIBLINGS_APART
        if upward or sideward:
            yield f"{path}:{line} {here} imports {name}"


@pytest.mark.parametrize("path", [path.relative_to(ROOT) for path in SOURCES], ids=str)
def test_imports_run_downward(path):
    assert room_of(path) in FLOOR, f"{path} stands on no floor: give it one in FLOORS"
    assert list(violations((ROOT / path).read_text(encoding="utf-8"), path)) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bgmv2/types.py", "import bgmv2.nn"),
        ("bgmv2/nn/matting.py", "from bgmv2.video import open_source"),
        ("bgmv2/nn/matting.py", "from bgmv2 import video"),
        ("bgmv2/nn/matting.py", "from bgmv2 import Matter"),
        ("bgmv2/nn/matting.py", "from ..video.open import open_source"),
        ("bgmv2/nn/__init__.py", "from .. import compose"),
        ("bgmv2/compose.py", "from . import metrics"),
        ("bgmv2/compose.py", "def f():\n    from bgmv2.pipeline import convert"),
        ("bgmv2/stream.py", "if TYPE_CHECKING:\n    import bgmv2.plate.align as align"),
        ("bgmv2/plate/align.py", "import os, bgmv2.pipeline"),
        ("bgmv2/__init__.py", "from bgmv2.cli import main"),
        ("bgmv2/pipeline.py", "class A:\n    from bgmv2.cli.options import x"),
    ],
)
def test_an_import_up_or_sideward_is_found(path, source):
    assert len(list(violations(source, Path(path)))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("bgmv2/nn/matting.py", "from bgmv2.nn.refiner import Refiner\nfrom . import patches\nimport torch"),
        ("bgmv2/nn/matting.py", "from ..errors import WeightsError\nfrom bgmv2 import __version__"),
        ("bgmv2/backdrop.py", "from bgmv2.video.open import open_source\nimport bgmv2.compose"),
        ("bgmv2/training/loop.py", "from bgmv2.plate.photometric import gain"),
        ("bgmv2/__init__.py", "from bgmv2.pipeline import Matter"),
        ("bgmv2/cli/__init__.py", "from bgmv2 import Matter\nfrom .options import x\nimport nnpipeline"),
        ("tools/train.py", "import bgmv2\nfrom bgmv2.cli import main"),
    ],
)
def test_an_import_downward_is_not_blamed(path, source):
    assert list(violations(source, Path(path))) == []
