"""What all tests share: small clips, made with PyAV and not with the writer under test, and made-up weights."""

from __future__ import annotations

import itertools
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from bgmv2.config import ModelConfig
from bgmv2.evaluate import INDEX, VERSION
from bgmv2.nn.checkpoint import save_checkpoint
from bgmv2.nn.matting import MattingRefine
from bgmv2.video import write_image

# Small pictures are computed faster by one thread than by several that wait for each other.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs CUDA; where CUDA is demanded nothing is skipped, so that nothing passes by being skipped."""
    if torch.cuda.is_available() or os.environ.get("BGMV2_TEST_CUDA"):
        return
    for item in items:
        if item.get_closest_marker("needs_cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device; BGMV2_TEST_CUDA=1 makes this a failure"))


def moving_picture(index: int, width: int, height: int) -> np.ndarray:
    """A smooth picture that differs from frame to frame, so that codecs keep it well."""
    noise = np.random.default_rng(index).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def encode_clip(
    path: Path,
    *,
    count: int = 10,
    size: tuple[int, int] = (64, 48),
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: list[int] | None = None,
    pictures: list[np.ndarray] | None = None,
    audio: str | tuple[str, ...] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode a clip; `times` are in milliseconds, sounds are called `aac` or `aac 5.1`."""
    if times is not None or pictures is not None:
        count = len(times or pictures or ())
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pixel_format
        base = 1 / rate if times is None else Fraction(1, 1000)
        video.codec_context.time_base = base
        names = (audio,) if isinstance(audio, str) else audio or ()
        named = (name.partition(" ") for name in names)
        sounds = [container.add_stream(name, rate=48000, layout=layout or "stereo") for name, _, layout in named]
        for index in range(count):
            pixels = pictures[index] if pictures else moving_picture(index, *size)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index if times is None else times[index], base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = (np.sin(np.arange(int(count / rate * 48000)) * 0.05) * 0.3).astype(np.float32)
        for sound, start in itertools.product(sounds, range(0, len(tone), 960)):
            samples = av.AudioFrame.from_ndarray(np.tile(tone[start : start + 960], (2, 1)), format="fltp")
            samples.sample_rate, samples.pts, samples.time_base = 48000, start, Fraction(1, 48000)
            container.mux(sound.encode(samples))
        for sound in sounds:
            container.mux(sound.encode(None))
    return path


@pytest.fixture
def picture():
    return moving_picture


@pytest.fixture
def make_clip(tmp_path):
    def make(name: str, **options) -> Path:
        return encode_clip(tmp_path / name, **options)

    return make


def made_up_weights(path: Path, *, alpha: float, spread: float) -> Path:
    """Weights that nobody trained; their alpha is `alpha` on average and differs by about `spread` over the picture."""
    torch.manual_seed(1)
    config = ModelConfig()
    model = MattingRefine(config)
    # Alpha, three residuals of the foreground, error; the others are features for the refiner.
    scale = torch.tensor([30.0 * spread, *3 * [2.0 * spread], 10.0 * spread])
    with torch.no_grad():
        model.decoder.conv4.weight[:5] *= scale.view(-1, 1, 1, 1)
        model.decoder.conv4.bias[:5] = torch.tensor([alpha, 0, 0, 0, spread])
        model.refiner.conv4.bias[0] = alpha
    save_checkpoint(path, model.state_dict(), config)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Weights whose alpha takes all values."""
    return made_up_weights(tmp_path_factory.mktemp("weights") / "some.safetensors", alpha=0.5, spread=1.0)


@pytest.fixture(scope="session")
def blind_weights(tmp_path_factory) -> Path:
    """Weights that see nobody: alpha is 0 everywhere, and nothing is refined."""
    return made_up_weights(tmp_path_factory.mktemp("weights") / "blind.safetensors", alpha=-1.0, spread=0.0)


@pytest.fixture
def benchmark_folder(tmp_path) -> Path:
    """A benchmark: two stills and a clip of three frames, 48 x 32, with a soft disc as subject."""
    folder = tmp_path / "benchmark"
    items = []
    for number, (name, category, count) in enumerate((("a", "static", 1), ("b", "shadow", 1), ("c", "clip", 3))):
        (folder / name).mkdir(parents=True)
        room = moving_picture(number, 48, 32)
        write_image(folder / name / "plate.png", room)
        frames = []
        for index in range(count):
            pha = np.zeros((32, 48), np.uint8)
            cv2.circle(pha, (16 + 4 * index, 16), 8, 255, -1)
            pha = cv2.GaussianBlur(pha, (0, 0), 1)
            src = np.where(pha[..., None] > 127, np.uint8(250), room)
            frames.append({"src": f"{name}/src{index}.png", "pha": f"{name}/pha{index}.png"})
            write_image(folder / frames[-1]["src"], src)
            write_image(folder / frames[-1]["pha"], pha)
        items.append({"name": name, "category": category, "plate": f"{name}/plate.png", "frames": frames})
    index = {"version": VERSION, "seed": 7, "sha256": "0" * 64, "items": items}
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return folder


class Clock:
    """Time passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def device(monkeypatch):
    """A virtual camera of the test's own, registered as pyvirtualcam takes backends; keeps what it was sent."""
    pyvirtualcam = pytest.importorskip("pyvirtualcam", reason='needs pip install "bgmv2[webcam]"')

    class Device:
        there, writer, pictures, size, keeps, said = True, None, [], None, True, {}

        def __init__(self, *, width, height, fps, fourcc, device):
            if not Device.there or Device.writer is not None:
                raise RuntimeError("no device")
            Device.writer, Device.size = self, (width, height)
            Device.said = {"size": (width, height), "fps": fps, "device": device}

        def send(self, frame):
            if not Device.there:
                raise OSError("device is gone")
            Device.pictures.append(frame.reshape(*Device.size[::-1], 3).copy())
            if not Device.keeps:
                del Device.pictures[:-1]

        def device(self):
            return "/dev/video-test"

        def native_fourcc(self):
            return None

        def close(self):
            Device.writer = None

    from pyvirtualcam import camera

    monkeypatch.setattr(camera, "BACKENDS", {})
    pyvirtualcam.register_backend("test", Device)
    return Device
