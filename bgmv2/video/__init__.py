"""Pixels in and out of containers, folders and pictures; knows no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bgmv2.lazy import exporter

if TYPE_CHECKING:
    from bgmv2.video.images import list_images, read_image, write_image
    from bgmv2.video.open import open_sink, open_source
    from bgmv2.video.probe import kind_of
    from bgmv2.video.reader import VideoReader
    from bgmv2.video.sink import Sink
    from bgmv2.video.writer import VideoWriter

__all__ = [
    "Sink",
    "VideoReader",
    "VideoWriter",
    "kind_of",
    "list_images",
    "open_sink",
    "open_source",
    "read_image",
    "write_image",
]

__getattr__ = exporter(
    __name__,
    {
        "bgmv2.video.images": ("list_images", "read_image", "write_image"),
        "bgmv2.video.open": ("open_sink", "open_source"),
        "bgmv2.video.probe": ("kind_of",),
        "bgmv2.video.reader": ("VideoReader",),
        "bgmv2.video.sink": ("Sink",),
        "bgmv2.video.writer": ("VideoWriter",),
    },
)
