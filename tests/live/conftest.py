"""What the tests of a live session share: the sample at a small size, cameras that do what they are told, a device."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bgmv2.config import CompositeConfig, LiveConfig
from bgmv2.live.backdrops import Backdrops
from bgmv2.live.studio import Studio
from bgmv2.matter import Matter
from bgmv2.plate.sources import load_plate
from bgmv2.types import Frame
from bgmv2.video import write_image
from bgmv2.video.camera import CLOCK, Feed
from bgmv2.video.open import open_source

SAMPLE = Path(__file__).parents[1] / "sample"
SIZE = (320, 180)
GREEN = (0, 177, 64)


def reduced(pixels, size=SIZE):
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


class Sample:
    """Some frames of the sample clip, small, with their true alpha, the plate, and a network that fits."""

    def __init__(self, folder):
        self.frames, self.phas = (
            [
                reduced(frame.pixels)
                for number, frame in enumerate(open_source(SAMPLE / name))
                if number < 60 and number % 2 == 0
            ]
            for name in ("clip.mp4", "alpha.mp4")
        )
        self.phas = [pha if pha.ndim == 2 else pha[..., 0] for pha in self.phas]
        plate = load_plate(SAMPLE / "plate.jpg", *SIZE)
        self.plate = np.rint(plate.bgr.permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        self.plate_path = folder / "plate.png"
        write_image(self.plate_path, self.plate)
        # What the controller would do depends on this machine.
        self.matter = Matter(device="cpu", scale=0.5, pixels=4000)


@pytest.fixture(scope="session")
def sample(tmp_path_factory):
    return Sample(tmp_path_factory.mktemp("sample"))


class Script:
    """A camera whose pictures are a list; what is no picture is raised, and what can be called is called."""

    def __init__(self, pictures, *, name="desk", size=SIZE, rate=30.0):
        self.name, self.size, self.rate = name, size, rate
        self.pictures = iter(pictures)
        self.light = []

    def read(self):
        for picture in self.pictures:
            if isinstance(picture, Exception):
                raise picture
            return picture
        raise EOFError

    def hold_light(self, held):
        self.light.append(held)
        return True

    def close(self):
        pass


@pytest.fixture
def script():
    return Script


def stamped(pictures, *, start=100.0, rate=30.0):
    """Frames of pictures that come at a rate; what is no picture passes as it is."""
    for number, picture in enumerate(pictures):
        is_picture = isinstance(picture, np.ndarray)
        yield Frame(picture, round((start + number / rate) / CLOCK), CLOCK) if is_picture else picture


@pytest.fixture
def frames_of():
    return stamped


@pytest.fixture
def make_studio(sample):
    """Makes a studio that has the sample's plate, unless told otherwise."""

    def make(*, live=None, backdrop="green", matter=None, feed=None, given=True, **more):
        feed = feed or Feed(Script([]), lambda: Script([]))
        return Studio(
            matter or sample.matter,
            feed,
            live or LiveConfig(countdown=1.0),
            backdrops=Backdrops(backdrop),
            composite=CompositeConfig(),
            **{"align": "every", "plate": str(sample.plate_path) if given else None, **more},
        )

    return make
