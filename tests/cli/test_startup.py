"""What starts quickly must not import what starts slowly. Time is not measured here, but by `tools/bench.py start`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SLOW = ("torch", "cv2", "av", "numpy", "kornia", "torchvision", "onnxruntime", "openvino", "ray", "matplotlib")
ASK = """
import sys
from bgmv2.cli import main
try:
    main({words!r})
finally:
    print("imported:", *(name for name in {slow!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("verb", ["", "convert", "check", "plate", "batch", "image", "eval", "verify", "export"])
def test_help_imports_nothing_slow(verb):
    words = [*verb.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(words=words, slow=SLOW)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: bgmv2") and "--help" in done.stdout
    assert done.stderr.split() == ["imported:"]


def test_wrong_usage_is_told_without_them():
    words = ["convert", "clip.mp4", "--plate", "plate.png", "--crf", "99"]
    done = subprocess.run([sys.executable, "-c", ASK.format(words=words, slow=SLOW)], capture_output=True, text=True)
    assert done.returncode == 2 and "0..51" in done.stderr


def test_matting_needs_nothing_of_torchvision():
    """It would take as long to import as PyTorch itself."""
    code = "import sys, bgmv2; bgmv2.Matter, bgmv2.convert; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_loading_the_network_does_not_import_the_compiler():
    """PyTorch's takes as long to import as all the rest of it, and is never needed."""
    code = "import sys; from bgmv2.matter import Matter; Matter(device='cpu'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are counted alike on Linux only")
def test_commands_keep_freed_memory():
    """What is asked for again and again comes without new pages; glibc alone has what that needs."""
    code = """
import resource, sys
from bgmv2.memory import keep_memory
if sys.argv[1] == "keep":
    keep_memory()
def faults():
    for _ in range(20):
        bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
print(faults() - faults())
"""
    done = [
        subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True).stdout
        for word in ("keep", "leave")
    ]
    kept, left = (abs(int(count)) for count in done)
    if platform.libc_ver()[0] == "glibc":
        assert kept < 1000 < left


@pytest.mark.parametrize("said", [None, "active"])
def test_threads_of_commands_do_not_spin_unless_a_person_says_so(said):
    """OpenMP reads it when torch is loaded, so it must be there before."""
    code = """
import os, sys
from bgmv2 import cli
sys.argv = ["bgmv2", "verify", "a.mp4", "b.mp4"]
cli.verify.run = lambda args: print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)
cli.main()
"""
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environ |= {} if said is None else {"OMP_WAIT_POLICY": said}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.split() == [said or "passive", "False"]
