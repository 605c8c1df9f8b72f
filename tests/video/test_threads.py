"""FFmpeg takes no more threads than its process may."""

import cv2
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.types import VideoInfo
from bgmv2.video import VideoReader, VideoWriter
from bgmv2.video.formats import CODECS
from bgmv2.video.threads import codec_threads


@pytest.fixture
def cores():
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize(("given", "threads"), [(1, 2), (2, 3), (4, 6), (96, 16)])
def test_threads_follow_the_cores_of_the_process_up_to_a_bound(cores, given, threads):
    cores(given)
    assert codec_threads() == threads


def test_decoders_and_encoders_keep_to_it(cores, make_clip, tmp_path):
    cores(1)
    with VideoReader(make_clip("clip.mp4")) as reader:
        frame = next(iter(reader))
        assert reader._stream.codec_context.thread_count == 2
    with VideoWriter(tmp_path / "out.mp4", VideoInfo(64, 48)) as writer:
        writer.write(frame)
        assert writer._encoder.thread_count == 2
    assert ":pools=2" in CODECS["hevc"].options("libx265", EncodeConfig(), VideoInfo(64, 48))["x265-params"]
