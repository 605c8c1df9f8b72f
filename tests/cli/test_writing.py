"""What can be written, through the command line: codecs, pictures, standard output, and what is carried over."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from bgmv2.cli import main
from bgmv2.video import VideoReader
from bgmv2.video.color import to_bits

FAST = ("--align", "off", "--despill", "0", "--preset", "ultrafast")


def context(path):
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        return codec.name, codec.pix_fmt


def test_codecs_are_chosen(convert, scene):
    answer = convert("--rgba", scene.out / "a.mkv", "-o", scene.out / "b.mkv", "--codec", "ffv1", *FAST)
    assert (answer.code, answer.err) == (0, "")
    assert context(scene.out / "a.mkv") == ("ffv1", "bgra")
    assert context(scene.out / "b.mkv") == ("ffv1", "bgr0")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--rgba", "a.mp4"), "holds no transparency; use .mov (ProRes 4444"),
        (("-o", "a.mp4", "--codec", "prores"), ".mp4 does not hold ProRes; use .mov for it, or --codec auto or h264"),
        (("--rgba", "a.mov", "--codec", "hevc"), "HEVC holds no transparency; for a.mov use --codec auto or prores"),
        (("-o", "a.png"), "names one picture, but a clip has many"),
    ],
)
def test_an_impossible_pair_is_refused_before_work_starts(convert, scene, monkeypatch, words, said):
    monkeypatch.chdir(scene.out)
    before = scene.snapshot()
    answer = convert(*words, *FAST)
    assert said in answer.error
    assert scene.snapshot() == before


def test_premultiplied(convert, scene):
    for mode in ("straight", "premultiplied"):
        assert convert("--rgba", scene.out / mode, "--alpha-mode", mode, *FAST).code == 0
    straight, premultiplied = (
        cv2.imread(str(scene.out / mode / "000003.png"), cv2.IMREAD_UNCHANGED) for mode in ("straight", "premultiplied")
    )
    exact = straight[..., :3] * (straight[..., 3:] / 255)
    assert np.abs(premultiplied[..., :3] - exact).max() <= 0.5 + 1e-9
    assert (premultiplied[..., 3] == straight[..., 3]).all()


def test_layers_of_exr(convert, scene):
    openexr = pytest.importorskip("OpenEXR")
    pattern = scene.out / "shot.####.exr"
    answer = convert("--rgba", pattern, "--pha", pattern, "--err", pattern, "--com", scene.out / "com", *FAST)
    assert (answer.code, answer.err) == (0, "")
    files = sorted(scene.out.glob("shot.*.exr"))
    assert [file.name for file in files] == [f"shot.{index:04d}.exr" for index in range(10)]
    with openexr.File(str(files[4]), separate_channels=True) as file:
        channels = {name: channel.pixels.copy() for name, channel in file.channels().items()}
    assert set(channels) == {"R", "G", "B", "A", "alpha.Y", "error.Y"}
    assert all(plane.dtype == np.float16 for plane in channels.values())
    assert (channels["A"] == channels["alpha.Y"]).all() and 0 < channels["A"].astype(float).std()
    assert (channels["R"] <= channels["A"].astype(float) + 1e-3).all()  # premultiplied


def test_raw_frames_go_to_standard_output_and_words_to_standard_error(scene, weights, capfdbinary):
    words = ("convert", scene.clip, "--plate", scene.plate, "--weights", weights, "--device", "cpu", *FAST)
    capfdbinary.readouterr()
    assert main([*map(str, words), "--rgba", "-"]) == 0
    out, err = capfdbinary.readouterr()
    frames = np.frombuffer(out, np.uint8).reshape(10, 64, 96, 4)
    assert err.startswith(b"mobilenetv2 on cpu") and b"10 frames in" in err
    assert main([*map(str, words), "-o", "-", "--pha", "-"]) == 1
    assert b"com and pha would both be written to -" in capfdbinary.readouterr().err
    assert main([*map(str, words), "--rgba", str(scene.out / "cut")]) == 0
    stored = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in sorted((scene.out / "cut").iterdir())]
    assert (frames == np.stack(stored)[..., [2, 1, 0, 3]]).all()


def test_ten_bits_come_out_as_ten(convert, scene, make_clip):
    shots = [to_bits(frame.pixels, 8) for frame in VideoReader(scene.clip)]
    clip = make_clip("in.mkv", pictures=shots, size=(96, 64), codec="ffv1", pixel_format="yuv420p10le")
    out = {name: scene.out / name for name in ("com.mp4", "rgba.mov", "pha.mkv")}
    answer = convert("-o", out["com.mp4"], "--rgba", out["rgba.mov"], "--pha", out["pha.mkv"], *FAST, clip=clip)
    assert (answer.code, answer.err) == (0, "")
    assert context(out["com.mp4"]) == ("hevc", "yuv420p10le")
    assert context(out["rgba.mov"])[0] == "prores"
    assert context(out["pha.mkv"]) == ("hevc", "yuv420p10le")
    answer = convert("-o", scene.out / "h264.mp4", "--codec", "h264", *FAST, clip=clip)
    assert "h264.mp4 keeps 8 of the clip's 10 bits" in answer.warning


def test_what_is_no_picture_comes_along(convert, scene, tmp_path):
    """Sound, a title, a chapter and a timecode, in a part of the clip."""
    source = tmp_path / "named.mov"
    with av.open(str(scene.clip)) as clip, av.open(str(source), "w") as named:
        named.metadata.update({"title": "Take 7", "creation_time": "2024-05-06T07:08:09.000000Z"})
        copies = {stream.index: named.add_stream_from_template(stream, opaque=True) for stream in clip.streams}
        copies[0].metadata["timecode"] = "10:00:00:00"
        base = 1 / clip.streams.video[0].average_rate
        named.set_chapters([{"id": 0, "start": 0, "end": 10, "time_base": base, "metadata": {"title": "Walk"}}])
        for packet in clip.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                named.mux(packet)
    com, pha = scene.out / "com.mov", scene.out / "pha.mov"
    answer = convert("-o", com, "--pha", pha, "--start", "0.2", *FAST, clip=source)
    assert (answer.code, answer.err) == (0, "")
    for path in (com, pha):
        with av.open(str(path)) as container:
            assert container.metadata["title"] == "Take 7"
            assert container.metadata["creation_time"] == "2024-05-06T07:08:09.000000Z"
            assert container.streams.video[0].metadata["timecode"] == "10:00:00:05"
            assert container.chapters()[0]["metadata"] == {"title": "Walk"}
            assert container.streams.video[0].start_time == 0 and len(list(container.decode(video=0))) == 5
            assert bool(container.streams.audio) == (path == com)


def test_numbers_and_light_of_an_exr_sequence_come_back(convert, scene):
    """EXR in, EXR out: the same numbers, and where nobody stands the same light."""
    pytest.importorskip("OpenEXR")
    with VideoReader(scene.clip) as reader:
        shots = [frame.pixels for frame in reader]
    for index, pixels in enumerate(shots[:3]):
        cv2.imwrite(str(scene.folder / f"in.{1001 + index}.png"), pixels[..., ::-1])
    answer = convert("--fgr", scene.out / "o.####.exr", *FAST, clip=scene.folder / "in.####.png")
    assert (answer.code, answer.err) == (0, "")
    assert sorted(path.name for path in scene.out.iterdir()) == ["o.1001.exr", "o.1002.exr", "o.1003.exr"]
