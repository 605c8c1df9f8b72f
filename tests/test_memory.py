"""Memory does not grow with the clip: not with its frames, and not with the segments that a run can be gone on with."""

from __future__ import annotations

import tracemalloc

import pytest

from bgmv2 import CheckConfig, EncodeConfig, RunConfig, convert
from bgmv2.video import write_image

COUNT = 150


@pytest.mark.filterwarnings("ignore:nobody was found")
def test_frames_and_segments_leave_nothing(tmp_path, make_clip, picture, blind_weights, monkeypatch):
    """Of what Python and NumPy take; a mark that stayed would be 10 kB, a frame 3 kB."""
    # A glance at the plate goes on beside the first frames, on busy cores for as long as these few take.
    monkeypatch.setattr("bgmv2.pipeline.glance", lambda *_, **__: [])
    clip = make_clip("clip.mp4", pictures=COUNT * [picture(0, 32, 32)], size=(32, 32), audio="aac")
    write_image(tmp_path / "plate.png", picture(0, 32, 32))
    taken: list[int] = []

    def watch(progress):
        taken.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        convert(
            clip,
            plate=tmp_path / "plate.png",
            com=tmp_path / "com.mp4",
            rgba=tmp_path / "rgba.mov",
            pha=tmp_path / "pha",
            run=RunConfig(device="cpu", weights=str(blind_weights)),
            encode=EncodeConfig(segment=2, preset="ultrafast"),
            check=CheckConfig(report=str(tmp_path / "report.json")),
            watch=watch,
        )
    finally:
        tracemalloc.stop()
    assert len(taken) == COUNT
    early, late = min(taken[40:60]), min(taken[-20:])
    assert late - early < 100 * 1000, (early, late)
