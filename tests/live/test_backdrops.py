"""Backdrops that fail, at once or while they are seen, give way to others."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from bgmv2.errors import BackdropError, Bgmv2Warning
from bgmv2.live.backdrops import Backdrops
from bgmv2.video import write_image

SIZE = (64, 48)
BGR = torch.full((3, 48, 64), 0.5)
RED, GREEN = (200, 0, 0), (0, 177, 64)


def color(picture):
    return tuple(int(round(float(channel) * 255)) for channel in picture[:, 20, 20])


@pytest.fixture
def folder(tmp_path, make_clip):
    """A video of two seconds that can be damaged, and a picture that comes after it."""
    (tmp_path / "own").mkdir()
    make_clip("own/a.mp4", count=50, rate=Fraction(25), container_options={"movflags": "faststart"})
    write_image(tmp_path / "own" / "b.png", np.full((6, 8, 3), RED, np.uint8))
    return tmp_path / "own"


def cut(path):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])


def test_one_that_breaks_off_gives_way_to_the_next(folder):
    cut(folder / "a.mp4")
    backdrops = Backdrops(str(folder))
    backdrop = backdrops.open(*SIZE)
    assert backdrops.current.endswith("a.mp4") and color(backdrop.at(0.0, BGR)) != RED
    with pytest.warns(Bgmv2Warning, match="a.mp4 is left out") as told:
        seen = [color(backdrop.at(second / 10, BGR)) for second in range(40)]
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert seen[-1] == RED and backdrops.current.endswith("b.png")
    backdrop.close()
    # Another round comes by it no more.
    following = [backdrops.next(*SIZE) and backdrops.current for _ in range(3)]
    assert following[:2] == ["blur", "green"] and following[2].endswith("b.png")


def test_a_video_that_is_gone_when_it_begins_again_gives_way(folder):
    backdrop = Backdrops(str(folder)).open(*SIZE)
    backdrop.at(0.0, BGR)
    (folder / "a.mp4").unlink()
    with pytest.warns(Bgmv2Warning, match="a.mp4 is left out"):
        assert color([backdrop.at(second / 10, BGR) for second in range(40)][-1]) == RED


def test_the_only_one_gives_way_to_green_and_not_to_the_room(folder):
    cut(folder / "a.mp4")
    backdrop = Backdrops(str(folder / "a.mp4")).open(*SIZE)
    with pytest.warns(Bgmv2Warning, match="left out"):
        assert color([backdrop.at(second / 10, BGR) for second in range(40)][-1]) == GREEN


def test_the_next_one_begins_when_the_one_before_it_fails(folder, make_clip):
    cut(folder / "a.mp4")
    steps = [np.full((48, 64, 3), grey, np.uint8) for grey in (20, 220, 220)]
    make_clip("own/aa.mkv", pictures=steps, times=[0, 30_000, 60_000])
    backdrop = Backdrops(str(folder)).open(*SIZE)
    backdrop.at(0.0, BGR)
    with pytest.warns(Bgmv2Warning, match="left out"):
        assert color(backdrop.at(100.0, BGR))[0] < 60
    assert color(backdrop.at(131.0, BGR))[0] > 180


def test_the_first_one_is_left_out_like_any_other(folder):
    (folder / "a.png").write_bytes((folder / "b.png").read_bytes()[:40])
    (folder / "a.mp4").unlink()
    backdrops = Backdrops(str(folder))
    with pytest.warns(Bgmv2Warning, match="a.png is left out"):
        assert color(backdrops.open(*SIZE).at(0.0, BGR)) == RED


def test_the_only_one_that_cannot_be_read_is_an_error_at_the_start_but_not_later(folder):
    only = folder / "b.png"
    backdrops = Backdrops(str(only))
    backdrops.open(*SIZE)
    only.write_bytes(b"no picture")
    with pytest.raises(BackdropError):
        Backdrops(str(only)).open(*SIZE)
    # The camera came back with pictures of another size.
    with pytest.warns(Bgmv2Warning, match="left out"):
        assert color(backdrops.open(*SIZE).at(0.0, BGR)) == GREEN
