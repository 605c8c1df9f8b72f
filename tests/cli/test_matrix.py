"""Clips of many kinds through the command: results fit them, as `bgmv2 verify` finds, and look like them."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from bgmv2.video import VideoReader, read_image, write_image
from bgmv2.video.color import to_bits

WIDTH, HEIGHT, COUNT = 96, 64, 8
# How frames follow each other: rate, and instants in milliseconds where it varies.
PACES = {
    "pal": (Fraction(25), None),
    "ntsc": (Fraction(30000, 1001), None),
    "fast": (Fraction(120), None),
    "odd": (Fraction(25), [0, 40, 47, 160, 240, 241, 400, 520]),
    "late": (Fraction(25), [1400, 1440, 1480, 1560, 1600, 1640, 1680, 1720]),
}
# Clip, codec and pixel format, pace, whether it is to be turned, sounds; then results, one with transparency, and how
# many of the sounds each can hold.
ROWS = [
    ("a.mp4", "libx264 yuv420p", "pal", False, ("aac",), (".mp4", ".mov"), (1, 1)),
    ("a.mp4", "libx264 yuv420p", "odd", True, ("aac mono", "ac3 5.1"), (".mov", ".mov"), (2, 2)),
    ("a.mp4", "libx265 yuv420p10le", "ntsc", True, ("libopus 5.1", "flac mono"), (".mkv", ".mkv"), (2, 2)),
    ("a.mp4", "libsvtav1 yuv420p", "fast", False, ("libmp3lame", "aac 5.1", "alac"), (".mp4", ".webm"), (3, 0)),
    ("a.mp4", "libvpx-vp9 yuv420p", "late", False, (), (".webm", ".webm"), (0, 0)),
    ("a.mov", "prores_ks yuv422p10le", "ntsc", True, ("pcm_s24le mono", "pcm_s16le 5.1"), (".mov", ".mkv"), (2, 2)),
    ("a.mov", "qtrle rgb24", "odd", False, ("alac",), (".mp4", ".mov"), (1, 1)),
    ("a.mov", "libx264 yuv420p", "late", True, ("aac",), (".mp4", ".mkv"), (1, 1)),
    ("a.mkv", "ffv1 yuv444p10le", "odd", False, ("flac 5.1", "libopus mono", "pcm_s16le"), (".mkv", ".mkv"), (3, 3)),
    ("a.mkv", "libx265 yuv420p", "late", False, ("ac3 5.1", "libmp3lame mono"), (".mp4", ".mov"), (2, 2)),
    ("a.mkv", "mpeg2video yuv420p", "pal", False, ("mp2",), (".mp4", ".webm"), (1, 0)),
    ("a.webm", "libvpx-vp9 yuv420p", "odd", False, ("libopus",), (".webm", ".webm"), (1, 1)),
    ("a.webm", "libsvtav1 yuv420p10le", "ntsc", False, ("libopus 5.1", "libopus mono"), (".mp4", ".mkv"), (2, 2)),
    ("a.ts", "libx264 yuv420p", "pal", False, ("aac", "ac3 5.1"), (".mp4", ".mkv"), (2, 2)),
    ("a.ts", "mpeg2video yuv422p", "ntsc", False, ("mp2",), (".mov", ".mov"), (1, 1)),
    ("a.ts", "libx265 yuv420p", "odd", False, ("libmp3lame mono",), (".mkv", ".webm"), (1, 0)),
    ("a.avi", "mpeg4 yuv420p", "pal", False, ("libmp3lame",), (".mp4", ".mkv"), (1, 1)),
    ("a.avi", "mjpeg yuvj420p", "ntsc", False, ("pcm_s16le mono",), (".mov", ".mov"), (1, 1)),
]
OPTIONS = {
    "libx264": {"crf": "10"},
    "libx265": {"crf": "10", "x265-params": "log-level=none"},
    "libsvtav1": {"crf": "20", "preset": "12", "svtav1-params": "lp=1"},
    "libvpx-vp9": {"crf": "10", "deadline": "realtime"},
}


def turn(path):
    """Let an mp4 or mov say that it is to be shown turned to the left, as telephones do."""
    data = path.read_bytes()
    # Version 0 of tkhd, the film's is the first: 4 bytes of type, then 40 bytes of other fields before the matrix.
    at = data.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + matrix + data[at + len(matrix) :])


def sounds(path):
    with av.open(str(path)) as container:
        return [stream.layout.nb_channels for stream in container.streams.audio]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: " ".join(map(str, row[:4])))
def test_results_fit_a_clip_of_any_kind(forked, scene, make_clip, blind_weights, row):
    name, coded, pace, turned, audio, suffixes, held = row
    codec, pixel_format = coded.split()
    rate, times = PACES[pace]
    with VideoReader(scene.clip) as reader:
        shots = [frame.pixels for frame in reader][:COUNT]
    clip = make_clip(
        *(name,),
        **dict(pictures=shots, times=times, rate=rate, size=(WIDTH, HEIGHT), audio=audio or None),
        **dict(codec=codec, pixel_format=pixel_format, options=OPTIONS.get(codec)),
    )
    if turned:
        turn(clip)
        write_image(scene.plate, np.rot90(read_image(scene.plate), 3), overwrite=True)
    com, rgba = scene.out / f"com{suffixes[0]}", scene.out / f"rgba{suffixes[1]}"
    words = ("--plate", scene.plate, "--weights", blind_weights, "--device", "cpu", "--despill", 0)
    answer = forked(
        *("convert", clip, *words, "--backdrop", scene.plate, "-o", com, "--rgba", rgba, "--preset", "ultrafast")
    )
    warned = [line for line in answer.err.splitlines() if "nobody was found" not in line]  # its network is blind
    assert answer.code == 0, answer
    assert len(warned) == (held != (len(audio),) * 2) and all(" goes without the sound " in line for line in warned)
    for path, count in zip((com, rgba), held, strict=True):
        assert sounds(path) == sounds(clip)[:count]
        checked = forked("verify", clip, path, *(() if count == len(audio) else ("--no-sound",)))
        assert checked.code == 0 and "fits" in checked.out, checked
    with VideoReader(clip) as before, VideoReader(com) as after:
        assert (after.info.width, after.info.height) == ((HEIGHT, WIDTH) if turned else (WIDTH, HEIGHT))
        assert after.info.rotation == 0
        seen, made = ([to_bits(frame.pixels, 8) for frame in reader] for reader in (before, after))
    assert len(seen) == len(made) == COUNT
    # Nobody is seen in front of the plate, so the plate comes out as the backdrop.
    wanted = read_image(scene.plate).astype(int)
    assert max(np.abs(picture - wanted).mean() for picture in made) < 6
    assert np.abs(seen[0] - wanted).mean() > 10
