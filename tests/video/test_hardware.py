"""Encoders on devices, which hardly any test machine has: a software encoder stands in for one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bgmv2.config import EncodeConfig
from bgmv2.errors import OutputError
from bgmv2.types import Frame, VideoInfo
from bgmv2.video import hardware
from bgmv2.video.formats import choose
from bgmv2.video.hardware import KINDS, find_encoder
from bgmv2.video.open import open_sink, open_source

INFO = VideoInfo(320, 240)


def there(kind, codec="h264"):
    try:
        return find_encoder(codec, 8, INFO, EncodeConfig(hwencode=kind)) is not None
    except OutputError:
        return False


def write(path, encode, info=INFO):
    ramp = np.linspace(0, 255, info.width, dtype=np.uint8)
    picture = np.dstack([np.tile(ramp, (info.height, 1))] * 3)
    with open_sink(path, info, encode=encode) as sink:
        for number in range(5):
            sink.write(Frame(picture, number, info.time_base))
    with open_source(path) as source:
        seen = [frame.pixels for frame in source]
    assert len(seen) == 5
    assert np.abs(seen[2] / np.iinfo(seen[2].dtype).max - picture / 255).mean() < 0.01


@pytest.fixture
def stand_in(monkeypatch):
    """A kind of device that codes ProRes."""
    monkeypatch.setattr(hardware, "CODED", ("prores",))
    monkeypatch.setattr(hardware, "KINDS", {"gone": lambda *_: {}, "ks": lambda *_: {"profile": "2"}})
    monkeypatch.setattr(hardware, "_FORMATS", {10: "yuv422p10le"})


@pytest.mark.parametrize("kind", ["ks", "auto"])
def test_a_device_that_is_there_encodes(stand_in, tmp_path, kind):
    encode = EncodeConfig(codec="prores", hwencode=kind)
    choice = choose(Path("a.mov"), INFO, alpha=False, encode=encode)
    assert (choice.encoder, choice.pixel_format, choice.options) == ("prores_ks", "yuv422p10le", {"profile": "2"})
    assert choose(Path("a.mov"), INFO, alpha=False, encode=EncodeConfig(codec="prores")).options == {"profile": "3"}
    write(tmp_path / "a.mov", encode)


def test_transparency_and_what_no_device_codes_stay_on_the_cpu(stand_in):
    encode = EncodeConfig(codec="prores", hwencode="auto")
    assert choose(Path("a.mov"), INFO, alpha=True, encode=encode).options == {"profile": "4"}
    odd = VideoInfo(321, 240)
    assert choose(Path("a.mov"), odd, alpha=False, encode=encode).options == {"profile": "3"}
    with pytest.raises(OutputError, match="^ks codes prores of even sizes"):
        choose(Path("a.mov"), odd, alpha=False, encode=EncodeConfig(codec="prores", hwencode="ks"))


def test_one_that_is_missing_is_an_error_if_it_was_named(stand_in, tmp_path):
    with pytest.raises(OutputError, match="^there is no device that encodes prores by gone"):
        open_sink(tmp_path / "a.mov", INFO, encode=EncodeConfig(codec="prores", hwencode="gone"))
    with pytest.raises(OutputError, match="^no kind of device is called abacus: .* gone, ks$"):
        open_sink(tmp_path / "a.mov", INFO, encode=EncodeConfig(codec="prores", hwencode="abacus"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_told_of_quality_and_speed(kind):
    told = [
        KINDS[kind](EncodeConfig(crf=crf, preset=preset), "h264")
        for crf in (0, 16, 51)
        for preset in ("ultrafast", "slow")
    ]
    assert told[0] != told[2] != told[4]
    assert all(isinstance(word, str) for options in told for pair in options.items() for word in pair)


@pytest.mark.parametrize(("codec", "quantizer"), [("h264", "17"), ("hevc", "17"), ("av1", "85")])
def test_the_rate_factor_stands_for_as_much_on_av1_s_longer_scale(codec, quantizer):
    assert KINDS["nvenc"](EncodeConfig(crf=17), codec)["qp"] == quantizer
    assert KINDS["amf"](EncodeConfig(crf=17), codec)["qp_i"] == quantizer


@pytest.mark.parametrize("kind", KINDS)
def test_this_machine_s_device_encodes(tmp_path, kind):
    if not there(kind):
        pytest.skip(f"needs a device that encodes by {kind}")
    write(tmp_path / "a.mp4", EncodeConfig(codec="h264", hwencode=kind))


def test_without_a_device_all_is_as_if_nothing_had_been_asked():
    if any(there(kind) for kind in KINDS):
        pytest.skip("needs a machine without a device that encodes")
    info = VideoInfo(64, 48, rate=Fraction(25))
    plain, automatic = (
        choose(Path("a.mp4"), info, alpha=False, encode=EncodeConfig(hwencode=word)) for word in ("off", "auto")
    )
    assert plain == automatic and plain.encoder == "libx264"
