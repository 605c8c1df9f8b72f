"""The maintainers' scripts do what they say."""

import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.types import Frame, VideoInfo
from bgmv2.video.images import read_image, write_image
from bgmv2.video.open import open_sink, open_source


@pytest.fixture
def grey_clip(tmp_path):
    """Ten frames, each of one grey that grows with the frame's number."""

    def make(name, step):
        path = tmp_path / name
        info = VideoInfo(64, 48)
        with open_sink(path, info, encode=EncodeConfig(crf=0)) as sink:
            for index in range(10):
                sink.write(Frame(np.full((48, 64, 3), step * index, np.uint8), index, info.time_base))
        return path

    return make


def test_a_clip_is_repeated_without_a_gap(tmp_path, grey_clip, load_tool):
    clip, target = grey_clip("a.mp4", 20), tmp_path / "b.mp4"
    load_tool("benching.memory").repeat(clip, 3, target)
    with open_source(target) as source:
        frames = list(source)
    assert [round(frame.pixels.mean() / 20) for frame in frames] == list(range(10)) * 3
    ticks = np.diff([frame.seconds for frame in frames])
    assert ticks == pytest.approx(1 / 30, abs=1e-3)


def test_the_demos_error_is_the_mean_difference(grey_clip, load_tool):
    error_of = load_tool("demo").error_of
    a, b = grey_clip("a.mp4", 20), grey_clip("b.mp4", 10)
    assert error_of(a, a) == 0
    assert error_of(a, b) == pytest.approx(45 / 255, abs=0.005)


def test_a_contact_sheet_has_a_column_for_each_frame_and_repeats_pictures(tmp_path, grey_clip, load_tool):
    row = load_tool("contact_sheet").row
    clip = grey_clip("a.mp4", 20)
    cells = row(clip, [7, 0, 3], 32)
    assert cells.shape == (24, 96, 3)
    assert [round(cells[:, x].mean()) for x in (16, 48, 80)] == pytest.approx([140, 0, 60], abs=2)
    picture = tmp_path / "p.png"
    write_image(picture, np.full((48, 64, 3), 99, np.uint8))
    assert (row(picture, [0, 1], 32) == 99).all() and row(picture, [0, 1], 32).shape == (24, 64, 3)
    with pytest.raises(ValueError, match="no frame 10"):
        row(clip, [10], 32)


def test_the_reports_of_a_training_run_are_pictures(tmp_path):
    import torch

    from bgmv2.config import ModelConfig
    from bgmv2.nn.matting import MattingRefine
    from bgmv2.training.compose import Pair
    from bgmv2.training.report import plot_losses, sample_sheet

    plot_losses(
        [{"step": i, "pha": 1 / (i + 1), **({"full_pha": 0.5} if i > 50 else {})} for i in range(80)],
        tmp_path / "l.png",
    )
    assert read_image(tmp_path / "l.png").std() > 5
    pair = Pair(*(torch.rand(2, channels, 32, 48) for channels in (3, 3, 1, 3)))
    model = MattingRefine(ModelConfig())
    for coarse in (True, False):
        sample_sheet(model, pair, tmp_path / "s.png", coarse=coarse)
        assert read_image(tmp_path / "s.png").shape[0] > 7 * 32
