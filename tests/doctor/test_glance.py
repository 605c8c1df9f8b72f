"""What `convert` says of a plate by itself, as it begins: told on the sample clip."""

import cv2
import numpy as np
import pytest

from bgmv2.config import ReadConfig
from bgmv2.doctor import glance
from bgmv2.plate.views import as_plate


@pytest.fixture(scope="module")
def sample():
    from bgmv2.video.images import read_image
    from bgmv2.video.open import open_source

    with open_source("tests/sample/clip.mp4") as source:
        info, frame = source.info, next(iter(source)).pixels
    return info, frame, read_image("tests/sample/plate.jpg")


SPOILT = {
    "soft-plate": lambda plate, frame: cv2.GaussianBlur(plate, (0, 0), 6),
    "strange-light": lambda plate, frame: plate // 8,
    "ghost": lambda plate, frame: frame,
    "turned-plate": lambda plate, frame: np.ascontiguousarray(plate[:, ::-1]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_plate_that_spoils_the_result_is_told(sample, name):
    info, frame, plate = sample
    found = glance(
        "tests/sample/clip.mp4", as_plate(SPOILT[name](plate, frame)), info, read=ReadConfig(), align="every"
    )
    assert [(finding.name, finding.severity) for finding in found] == [(name, "reshoot")]


def test_of_a_good_plate_nothing_is_said(sample):
    info, _, plate = sample
    assert glance("tests/sample/clip.mp4", as_plate(plate), info, read=ReadConfig(), align="every") == []


def test_light_that_could_not_be_measured_is_not_told_as_none(sample):
    from bgmv2.doctor import diagnose

    _, _, plate = sample
    found = diagnose("tests/sample/clip.mp4", as_plate(plate // 8), samples=3).diagnosis
    assert found.verdict == "reshoot" and found.numbers["stops"] is None
    assert "so much brighter than the plate" in str(found)
