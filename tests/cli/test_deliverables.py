"""Every result, read back and compared frame by frame with what the network says of the decoded frames."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from bgmv2 import Matter
from bgmv2.compose import parse_color, shade
from bgmv2.video import VideoReader, read_image, write_image

GREEN = np.float32(parse_color("green"))
# Without anything that follows the network, so that results are what it says.
FAST = ("--align", "off", "--despill", "0", "--crf", "1", "--preset", "ultrafast")


def read(path):
    with VideoReader(path) as reader:
        return reader.info, list(reader)


def eight_bits(pixels):
    return pixels.astype(np.float32) / (257 if pixels.dtype == np.uint16 else 1)


def pictures(path):
    """Frames as ``(H, W, 3)`` floats in 0..255."""
    return [eight_bits(frame.pixels) for frame in read(path)[1]]


def alphas(path):
    """Alpha of a transparent clip, ``(H, W)`` in 0..255."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        # FFmpeg's own VP9 decoder leaves alpha out.
        decoder = av.CodecContext.create("libvpx-vp9", "r") if path.suffix == ".webm" else stream.codec_context
        frames = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
        frames += decoder.decode(None) if path.suffix == ".mov" else []
    assert all(frame.format.name.startswith("yuva") for frame in frames)
    deep = frames[0].format.components[3].bits > 8
    top = 2 ** frames[0].format.components[3].bits - 1
    planes = [frame.planes[3] for frame in frames]
    stored = [np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1) for plane in planes]
    return [alpha[:, : plane.width] / top * 255 for alpha, plane in zip(stored, planes, strict=True)]


def expected(clip, plate, weights):
    """What each result should show, ``role -> frames`` in 0..255, with alpha last in `rgba`."""
    matter = Matter(weights, "cpu")
    bgr = read_image(plate)
    results = {role: [] for role in ("com", "pha", "fgr", "rgba", "err", "ref", "shadow")}
    for frame in read(clip)[1]:
        matte = matter.matte(frame.pixels, plate=bgr)
        pha, fgr, err, ref = (x[0].permute(1, 2, 0).numpy() for x in matte)
        height, width = pha.shape[:2]
        layers = {
            "com": pha * fgr + (1 - pha) * GREEN,
            "pha": pha,
            "fgr": fgr,
            "rgba": np.concatenate([fgr, pha], axis=2),
            "err": cv2.resize(err, (width, height), interpolation=cv2.INTER_LINEAR)[..., None],
            "ref": ref.repeat(4, axis=0).repeat(4, axis=1)[:height, :width],
            "shadow": shade(*(matter.upload(x) for x in (frame.pixels, bgr)), matte.pha)[0, 0, ..., None].numpy(),
        }
        for role, picture in layers.items():
            results[role].append(picture * 255)
    return results


def assert_shows(frames, wanted, *, within):
    """All frames, in order: each is nearer to its own picture than to those before and after it."""
    assert len(frames) == len(wanted)
    for index, frame in enumerate(frames):
        errors = [np.abs(frame - picture).mean() for picture in wanted]
        assert errors[index] <= within, (index, errors)
        assert errors[index] == min(errors)


def instants(path):
    info, frames = read(path)
    return [frame.pts * info.time_base for frame in frames]


def sound(path):
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.dts is not None]


def has_sound(path):
    with av.open(str(path)) as container:
        return bool(container.streams.audio)


def test_the_installed_command_delivers_everything_in_one_pass(installed, scene, weights):
    out = {role: scene.out / f"{role}.mp4" for role in ("com", "pha", "fgr", "err", "ref", "shadow")}
    out["rgba"] = scene.out / "rgba.mov"
    flags = [word for role, path in out.items() for word in (f"--{role}", path)]
    before = {path: path.read_bytes() for path in (scene.clip, scene.plate)}
    answer = installed(
        "convert", scene.clip, "--plate", scene.plate, "--weights", weights, "--device", "cpu", *FAST, *flags
    )
    assert (answer.code, answer.err) == (0, "")
    said = answer.out.splitlines()
    assert said[0] == "mobilenetv2 on cpu in float32"
    assert said[1].startswith("10 frames in ") and said[2] == "plate in 10 frames: 10 stood still"

    wanted = expected(scene.clip, scene.plate, weights)
    for role, within in {"com": 4, "pha": 2, "fgr": 4, "err": 2, "ref": 2, "shadow": 2}.items():
        frames = pictures(out[role])
        assert_shows(frames, wanted[role], within=within)
    colours = pictures(out["rgba"])
    assert_shows(colours, [picture[..., :3] for picture in wanted["rgba"]], within=2)
    assert_shows(alphas(out["rgba"]), [picture[..., 3] for picture in wanted["rgba"]], within=0.5)

    for role, path in out.items():
        info = read(path)[0]
        assert (info.width, info.height, info.rate, info.frames) == (96, 64, 25, 10)
        assert instants(path) == instants(scene.clip)
        assert has_sound(path) == (role in ("com", "fgr", "rgba"))
    assert sound(out["com"]) == sound(scene.clip)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(scene.out.iterdir()) == sorted(out.values())


def test_vp9_in_and_vp9_out(convert, scene, make_clip, weights):
    shots = [eight_bits(frame.pixels).astype(np.uint8) for frame in read(scene.clip)[1]]
    clip = make_clip(
        "in.webm",
        pictures=shots,
        size=(96, 64),
        codec="libvpx-vp9",
        audio="libopus",
        options={"crf": "10", "deadline": "realtime", "cpu-used": "8"},
    )
    com, pha, rgba = scene.out / "com.webm", scene.out / "pha.mkv", scene.out / "rgba.webm"
    answer = convert("--com", com, "--pha", pha, "--rgba", rgba, *FAST, clip=clip)
    assert (answer.code, answer.err) == (0, "")
    wanted = expected(clip, scene.plate, weights)
    assert_shows(pictures(com), wanted["com"], within=6)
    assert_shows(pictures(pha), wanted["pha"], within=2)
    assert_shows(pictures(rgba), [picture[..., :3] for picture in wanted["rgba"]], within=6)
    assert_shows(alphas(rgba), [picture[..., 3] for picture in wanted["rgba"]], within=3)
    for path in (com, rgba):
        assert [data for data, _ in sound(path)] == [data for data, _ in sound(clip)]
        assert instants(path) == instants(clip)


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_folder_of_png_is_exact(convert, scene, weights, ending):
    folder = scene.out / "cut"
    assert convert("--rgba", f"{folder}{ending}", *FAST).code == 0
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(10)]
    for file, picture in zip(files, expected(scene.clip, scene.plate, weights)["rgba"], strict=True):
        stored = cv2.cvtColor(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
        assert stored.dtype == np.uint8
        assert np.abs(stored - picture).max() <= 0.5 + 1e-3  # rounded, not truncated


def test_ten_bits_stay_ten_bits_in_a_folder_of_png(convert, scene, make_clip, weights):
    shots = [frame.pixels for frame in read(scene.clip)[1]]
    clip = make_clip("in.mkv", pictures=shots, size=(96, 64), codec="ffv1", pixel_format="yuv420p10le")
    assert convert("--pha", scene.out / "pha", *FAST, clip=clip).code == 0
    wanted = expected(clip, scene.plate, weights)["pha"]
    for file, picture in zip(sorted((scene.out / "pha").iterdir()), wanted, strict=True):
        stored = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16 and stored.ndim == 2
        assert np.abs(stored / 257 - picture[..., 0]).max() < 0.01


def test_a_telephone_clip_comes_out_upright(convert, scene, weights):
    data = scene.clip.read_bytes()
    # Version 0 of tkhd, the film's is the first: 4 bytes of type, then 40 bytes of other fields before the matrix.
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    scene.clip.write_bytes(data[:at] + matrix + data[at + 36 :])
    upright = read(scene.clip)[1][0].pixels
    assert upright.shape == (96, 64, 3)
    plate = scene.folder / "upright.png"
    write_image(plate, np.rot90(read_image(scene.plate), 3))
    com = scene.out / "com.mp4"
    assert convert("-o", com, *FAST, plate=plate).code == 0
    assert_shows(pictures(com), expected(scene.clip, plate, weights)["com"], within=4)
    with av.open(str(com)) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (64, 96)
        assert frame.side_data.get("DISPLAYMATRIX") is None
    assert sound(com) == sound(scene.clip)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_variable_frame_rate_survives(convert, scene, make_clip, suffix):
    times = [400, 440, 447, 600, 601, 800, 840, 1300]
    shots = [frame.pixels for frame in read(scene.clip)[1]][: len(times)]
    clip = make_clip("vfr.mkv", times=times, pictures=shots, size=(96, 64))
    path = scene.out / f"pha{suffix}"
    assert convert("--pha", path, *FAST, clip=clip).code == 0
    assert [1000 * instant for instant in instants(path)] == times


def test_ntsc_rate_and_odd_sizes_survive(convert, scene, make_clip, weights):
    clip = make_clip("odd.mkv", size=(51, 37), rate=Fraction(30000, 1001), codec="ffv1", pixel_format="yuv444p")
    plate = scene.folder / "odd.png"
    write_image(plate, read_image(scene.plate)[:37, :51])
    com, rgba = scene.out / "com.mp4", scene.out / "rgba.mov"
    assert convert("-o", com, "--rgba", rgba, *FAST, clip=clip, plate=plate).code == 0
    wanted = expected(clip, plate, weights)
    assert_shows(pictures(com), wanted["com"], within=3)
    assert_shows(alphas(rgba), [picture[..., 3] for picture in wanted["rgba"]], within=0.5)
    # Matroska counts in milliseconds, so only nearly.
    assert float(read(com)[0].rate) == pytest.approx(30000 / 1001, rel=1e-2)


def test_results_go_over_green_unless_told_otherwise(convert, scene, blind_weights):
    assert convert("-o", scene.out / "com.mp4", *FAST, weights=blind_weights).code == 0
    for picture in pictures(scene.out / "com.mp4"):
        assert np.abs(picture - GREEN * 255).max() <= 3


@pytest.mark.parametrize("backdrop", ["#102030", "magenta"])
def test_over_a_colour(convert, scene, blind_weights, backdrop):
    assert convert("-o", scene.out / "com.mp4", "--backdrop", backdrop, *FAST, weights=blind_weights).code == 0
    for picture in pictures(scene.out / "com.mp4"):
        assert np.abs(picture - np.float32(parse_color(backdrop)) * 255).max() <= 4


def test_over_a_picture(convert, scene, blind_weights, picture):
    beach = scene.folder / "beach.png"
    write_image(beach, picture(1, 192, 128))
    assert convert("-o", scene.out / "com.mp4", "--backdrop", beach, *FAST, weights=blind_weights).code == 0
    small = cv2.resize(picture(1, 192, 128), (96, 64), interpolation=cv2.INTER_AREA)
    for shown in pictures(scene.out / "com.mp4"):
        assert np.abs(shown - small).mean() < 3


def test_over_the_plate_out_of_focus(convert, scene, blind_weights):
    assert convert("-o", scene.out / "com.mp4", "--backdrop", "blur", *FAST, weights=blind_weights).code == 0
    clean = read_image(scene.plate)
    blurred = cv2.GaussianBlur(clean, (0, 0), 0.02 * 64, borderType=cv2.BORDER_REPLICATE)
    for shown in pictures(scene.out / "com.mp4"):
        assert np.abs(shown - blurred).mean() < 3
        assert np.abs(shown - blurred).mean() < np.abs(shown - clean).mean() / 2


@pytest.mark.parametrize("container", ["clip.mp4", "clip.ts"])
def test_over_a_video_that_begins_with_the_clip_and_again_at_its_end(
    convert, scene, make_clip, blind_weights, container
):
    """Transport streams never start at zero."""
    levels = [40, 100, 160, 220]
    flat = [np.full((64, 96, 3), level, np.uint8) for level in levels]
    waves = make_clip("waves.mp4", pictures=flat, size=(96, 64), options={"crf": "1"})
    clip = scene.clip if container == "clip.mp4" else make_clip(container, size=(96, 64))
    com = scene.out / "com.mp4"
    assert convert("-o", com, "--backdrop", waves, *FAST, clip=clip, weights=blind_weights).code == 0
    shown = [picture.mean() for picture in pictures(com)]
    assert np.abs(np.array(shown) - [levels[index % 4] for index in range(10)]).max() < 3
