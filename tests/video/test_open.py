import os
from fractions import Fraction

import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video import VideoReader, VideoWriter, open_sink
from bgmv2.video.carry import Origin
from bgmv2.video.formats import CONTAINERS, PICTURES
from bgmv2.video.open import open_source
from bgmv2.video.pictures import ImageFolderSink, ImagePatternSink

INFO = VideoInfo(16, 16, rate=Fraction(25), time_base=Fraction(1, 25))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_each_suffix_writes_a_clip(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with open_sink(path, INFO) as sink:
        assert isinstance(sink, VideoWriter)
        for index in range(3):
            sink.write(Frame(np.zeros((16, 16, 3), np.uint8), index, INFO.time_base))
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3


@pytest.mark.parametrize("suffix", PICTURES)
@pytest.mark.parametrize("place", ["####", "%04d"])
def test_each_suffix_of_pictures_writes_numbered_ones_that_can_be_read(tmp_path, suffix, place):
    if suffix == ".exr":
        pytest.importorskip("OpenEXR")
    path = tmp_path / f"out.{place}{suffix}"
    with open_sink(path, INFO) as sink:
        assert isinstance(sink, ImagePatternSink)
        for index in range(3):
            sink.write(Frame(np.full((16, 16, 3), 80 * index, np.uint8), index, INFO.time_base))
    frames = list(open_source(path))
    assert [frame.pixels.mean() / (257 if suffix == ".exr" else 1) for frame in frames] == pytest.approx(
        [0, 80, 160], abs=0.1
    )


@pytest.mark.parametrize("name", ["out", "out/", "out.v2/", "out.mp4/"])
def test_no_suffix_or_a_slash_is_a_folder_of_png(tmp_path, name):
    with open_sink(f"{tmp_path}/{name}", INFO) as sink:
        assert isinstance(sink, ImageFolderSink)
        sink.write(Frame(np.zeros((16, 16, 4), np.uint8)))
    assert os.listdir(tmp_path / name) == ["000000.png"]


def test_a_folder_with_a_dot_in_its_name(tmp_path):
    (tmp_path / "take.1").mkdir()
    open_sink(tmp_path / "take.1", INFO).discard()


@pytest.mark.parametrize("name", ["out.avi", "out.mp3", "out.####", "out.####.jpg"])
def test_an_unknown_suffix_names_the_known_ones(tmp_path, name):
    with pytest.raises(
        OutputError, match=r"\.mp4, \.mov, \.mkv, \.webm, a pattern .* or a name without suffix for a folder"
    ):
        open_sink(tmp_path / name, INFO)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", PICTURES)
def test_one_picture_is_no_clip(tmp_path, suffix):
    with pytest.raises(OutputError, match=rf"one picture.*out\.######\{suffix}, or give a folder"):
        open_sink(tmp_path / f"out{suffix}", INFO)


def test_choices_reach_the_sinks(tmp_path, make_clip):
    with pytest.raises(OutputError, match="no transparency"):
        open_sink(tmp_path / "out.mp4", INFO, alpha=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "000000.png").touch()
    open_sink(tmp_path / "out", INFO, encode=EncodeConfig(overwrite=True)).discard()
    clip = make_clip("in.mp4", count=5, audio="aac")
    with open_sink(tmp_path / "out.mp4", INFO, origin=Origin(clip)) as sink:
        sink.write(Frame(np.zeros((16, 16, 3), np.uint8)))
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert reader._container.streams.audio
