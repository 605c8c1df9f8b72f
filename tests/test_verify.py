"""A good result passes; one thing at a time is damaged, and is named, and nothing else."""

from __future__ import annotations

import json
import struct
import warnings
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.cli import main
from bgmv2.config import EncodeConfig, ReadConfig
from bgmv2.errors import VideoError
from bgmv2.types import Frame
from bgmv2.verify import verify
from bgmv2.video import VideoWriter, open_sink, open_source
from bgmv2.video.carry import Origin

COUNT = 25
FAST = EncodeConfig(preset="ultrafast", overwrite=True)


@pytest.fixture
def clip(make_clip):
    return make_clip("in.mp4", count=COUNT, audio="aac", options={"preset": "ultrafast", "g": "5"})


def result_of(clip, path, *, read=None, change=lambda index, frame: frame, info=None, encode=FAST, tracks=True):
    """Write a clip again; `change` gets each frame's index and the frame, and returns a frame or None."""
    source = open_source(clip, read)
    origin = Origin(clip, tracks=tracks, ends_with_film=read is not None and read.frames is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with VideoWriter(path, replace(source.info, **(info or {})), encode=encode, origin=origin) as writer:
            for index, frame in enumerate(source):
                changed = change(index, frame)
                if changed is not None:
                    writer.write(changed)
    source.close()
    return path


def copied(source, target, *, keep=lambda packet, index: True, edit=lambda packet, index: None):
    """Copy a file packet by packet; `index` counts those of the packet's stream."""
    counts: dict[int, int] = {}
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        copies = {stream.index: after.add_stream_from_template(stream, opaque=True) for stream in before.streams}
        for packet in before.demux():
            if packet.dts is None:
                continue
            index = counts[packet.stream.index] = counts.get(packet.stream.index, -1) + 1
            if not keep(packet, index):
                continue
            edit(packet, index)
            packet.stream = copies[packet.stream.index]
            after.mux(packet)
    return target


def found(clip, result, **options):
    return [str(difference) for difference in verify(clip, result, **options).differences]


@pytest.mark.parametrize("name", ["out.mp4", "out.mov", "out.mkv"])
def test_a_good_result_fits(clip, tmp_path, name):
    verification = verify(clip, result_of(clip, tmp_path / name))
    assert (verification.frames, verification.sounds, verification.differences) == (COUNT, 1, ())


@pytest.mark.parametrize("audio", ["pcm_s16le", "libopus"])
def test_sound_that_containers_cut_differently_fits(make_clip, tmp_path, audio):
    clip = make_clip("in.mkv", count=COUNT, audio=audio)
    for name in ("out.mov", "out.mkv") if audio == "pcm_s16le" else ("out.mp4", "out.webm"):
        assert found(clip, result_of(clip, tmp_path / name)) == []


def test_sound_of_a_transport_stream_fits(make_clip, tmp_path):
    """There AAC has headers, in .mp4 it has none."""
    clip = make_clip("in.ts", count=COUNT, audio="aac")
    assert found(clip, result_of(clip, tmp_path / "out.mp4")) == []


@pytest.mark.parametrize(
    "read", [ReadConfig(start=0.2), ReadConfig(end=0.6), ReadConfig(start=0.3, end=0.7), ReadConfig(frames=9)]
)
def test_a_part_fits_what_was_asked_for(clip, tmp_path, read):
    result = result_of(clip, tmp_path / "out.mp4", read=read)
    assert found(clip, result, read=read) == []
    assert {line.split(":")[0] for line in found(clip, result)} >= {"frames", "sound"}


def test_variable_rates_fit(make_clip, tmp_path):
    times = [0, 40, 47, 200, 201, 240, 300, 900, 901, 1000]
    clip = make_clip("in.mkv", times=times)
    for name in ("out.mp4", "out.mkv"):
        assert found(clip, result_of(clip, tmp_path / name)) == []
    # Among frames that are near each other, too, one that is missing is told as that.
    result = result_of(clip, tmp_path / "out.mp4", change=lambda index, frame: None if index == 1 else frame)
    assert found(clip, result) == ["frames: 1 is missing, the first at 0.040 s"]


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ((7,), "1 is missing, the first at 0.280 s"),
        ((0,), "1 is missing, the first at 0.000 s"),
        ((3, 4, 20), "3 are missing, the first at 0.120 s"),
    ],
)
def test_a_dropped_frame(clip, tmp_path, lost, said):
    result = result_of(clip, tmp_path / "out.mp4", change=lambda index, frame: None if index in lost else frame)
    assert found(clip, result) == [f"frames: {said}"]


def test_dropped_frames_at_the_end(clip, tmp_path):
    result = result_of(clip, tmp_path / "out.mp4", change=lambda index, frame: frame if index < COUNT - 3 else None)
    assert found(clip, result) == ["frames: 3 are missing, the first at 0.880 s"]


def test_a_frame_too_many(clip, tmp_path):
    short = result_of(clip, tmp_path / "short.mp4", change=lambda index, frame: None if index == 7 else frame)
    assert found(short, result_of(clip, tmp_path / "out.mp4")) == ["frames: 1 is too many, the first at 0.280 s"]


def test_a_shifted_frame(clip, tmp_path):
    def later(index, frame):
        return Frame(frame.pixels, frame.pts + 128 * (index == 10), frame.time_base)

    result = result_of(clip, tmp_path / "out.mp4", change=later)
    assert found(clip, result) == ["instants: 1 is shown at another time, the first at 0.410 s, not 0.400 s"]


def test_all_frames_shifted(clip, tmp_path):
    result = result_of(
        *(clip, tmp_path / "out.mp4"), change=lambda index, frame: Frame(frame.pixels, frame.pts + 1, frame.time_base)
    )
    said = found(clip, result)
    assert said == ["instants: 25 are shown at another time, the first at 0.000 s, not 0.000 s"]


def test_dropped_sound(clip, tmp_path):
    good = result_of(clip, tmp_path / "good.mp4")
    silent = result_of(clip, tmp_path / "silent.mp4", tracks=False)
    assert found(clip, silent) == ["sound: track 1 is missing"]
    assert found(clip, silent, sound=False) == []
    assert found(silent, good) == ["sound: track 1 is not of the clip"]


def test_a_dropped_packet_of_sound(clip, tmp_path):
    good = result_of(clip, tmp_path / "good.mp4")
    bad = copied(good, tmp_path / "bad.mp4", keep=lambda p, index: p.stream.type != "audio" or index != 20)
    (said,) = found(clip, bad)
    assert said.startswith("sound: track 1 is not the clip's from 0.4") and said.endswith(" s on")
    short = copied(good, tmp_path / "short.mp4", keep=lambda p, index: p.stream.type != "audio" or index < 40)
    (said,) = found(clip, short)
    assert said.startswith("sound: track 1 ends after 0.8") and said.endswith("the clip's goes on")


def test_shifted_sound(clip, tmp_path):
    def later(packet, index):
        if packet.stream.type == "audio":
            packet.pts, packet.dts = packet.pts + 480, packet.dts + 480

    good = result_of(clip, tmp_path / "good.mp4")
    (said,) = found(clip, copied(good, tmp_path / "bad.mp4", edit=later))
    assert said.startswith("sound: track 1 sounds at ")


def test_sound_that_was_encoded_anew(clip, tmp_path, make_clip):
    other = make_clip("other.mp4", count=COUNT, audio="aac", options={"preset": "ultrafast"})
    data = bytearray(other.read_bytes())
    with av.open(str(other)) as container:
        packet = [p for p in container.demux(audio=0) if p.dts is not None][5]
        position = packet.pos
    data[position + 2] ^= 0xFF
    other.write_bytes(data)
    (said,) = found(clip, other)
    assert said == "sound: track 1 is not the clip's from 0.085 s on"


COLORS = {
    "matrix": (dict(matrix=9), "matrix: BT.2020 (9), not BT.709 (1)"),
    "primaries": (dict(primaries=9), "primaries: BT.2020 (9), not BT.709 (1)"),
    "transfer": (dict(transfer=16), "transfer: PQ (16), not BT.709 (1)"),
    "range": (dict(full_range=True), "range: full, 0 to 255, not limited, 16 to 235"),
}


@pytest.mark.parametrize("tag", COLORS)
@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_a_changed_colour_tag(clip, tmp_path, tag, name):
    good = result_of(
        clip,
        tmp_path / "good.mp4",
        info={"color": replace(open_source(clip).info.color, matrix=1, primaries=1, transfer=1)},
    )
    color = open_source(good).info.color
    change, said = COLORS[tag]
    assert found(good, result_of(good, tmp_path / name, info={"color": replace(color, **change)})) == [said]


def test_a_changed_shape_of_pixels(clip, tmp_path):
    result = result_of(clip, tmp_path / "out.mp4", info={"aspect": Fraction(4, 3)})
    assert found(clip, result) == ["aspect: pixels are 4/3 times as wide as high, not 1"]


def test_a_changed_size(clip, tmp_path):
    result = result_of(
        *(clip, tmp_path / "out.mp4"),
        info={"width": 32},
        change=lambda index, frame: Frame(np.ascontiguousarray(frame.pixels[:, ::2]), frame.pts, frame.time_base),
    )
    assert found(clip, result) == ["size: 32x48 pixels, not 64x48"]


def test_a_wrong_duration(clip, tmp_path):
    result = result_of(clip, tmp_path / "out.mkv", tracks=False)
    data = bytearray(result.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # Duration, a double of milliseconds
    data[at : at + 8] = struct.pack(">d", 9000)
    result.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reader wonders, too
        assert found(clip, result, sound=False) == ["duration: 9.000 s are announced, not 1.000 s"]


def test_codecs_that_know_one_range_only_fit(make_clip, tmp_path):
    clip = make_clip("in.mp4", count=5, codec="mjpeg", pixel_format="yuvj420p")
    for codec in ("prores", "qtrle", "h264"):
        encode = EncodeConfig(codec=codec, overwrite=True)
        assert found(clip, result_of(clip, tmp_path / "out.mov", encode=encode)) == []


def test_pictures_are_counted(clip, tmp_path):
    source = open_source(clip)
    with open_sink(tmp_path / "out", source.info) as sink:
        for frame in source:
            sink.write(frame)
    assert found(clip, tmp_path / "out") == []
    (tmp_path / "out" / "000024.png").unlink()
    assert found(clip, tmp_path / "out") == ["frames: 1 is missing"]
    pictures = tmp_path / "out"
    result = result_of_pictures(pictures, tmp_path / "back.mp4")
    assert found(pictures, result) == []


def result_of_pictures(folder, path):
    source = open_source(folder)
    with VideoWriter(path, source.info, encode=FAST) as writer:
        for frame in source:
            writer.write(frame)
    return path


def test_what_is_not_there(clip, tmp_path):
    with pytest.raises(VideoError, match="there is no clip"):
        verify(clip, tmp_path / "nothing.mp4")


def test_the_command(clip, tmp_path, capsys):
    good = result_of(clip, tmp_path / "good.mp4")
    bad = result_of(clip, tmp_path / "bad.mp4", change=lambda index, frame: None if index == 7 else frame, tracks=False)
    capsys.readouterr()
    assert main(["verify", str(clip), str(good)]) == 0
    assert (
        capsys.readouterr().out == f"{good} fits {clip}: 25 frames, each at its instant, 1 track of sound bit for bit\n"
    )
    assert main(["verify", str(clip), str(bad)]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("frames: 1 is missing, the first at 0.280 s\nsound: track 1 is missing\n", "")
    assert main(["verify", str(clip), str(bad), "--no-sound", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "fits": False,
        "frames": 24,
        "sounds": 0,
        "differences": [{"what": "frames", "said": "1 is missing, the first at 0.280 s"}],
    }
    assert main(["verify", str(clip), str(tmp_path / "nothing.mp4")]) == 1
    assert "there is no clip" in capsys.readouterr().err
    part = result_of(clip, tmp_path / "part.mp4", read=ReadConfig(start=0.4, end=0.8))
    assert main(["verify", str(clip), str(part), "--start", "0.4", "--end", "0:00.8"]) == 0
