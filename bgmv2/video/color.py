"""Between the YUV of clips and the RGB of everybody else, through libswscale, with the matrix and range said out loud.

libswscale takes 1.0 as 256 times the 8-bit white when it reads or writes 16-bit RGB, that is 65280 and not 65535; left
alone, a deep clip's white would come out as 254 of 255. `from_swscale` and `to_swscale` bridge the two.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

# SWS_ACCURATE_RND rounds to nearest and SWS_FULL_CHR_H_INT interpolates chroma at full width. Without them colour edges
# are two pixels wide steps. Bicubic is worth its price once, when writing; reading must keep up with the clip.
_QUALITY = 0x40000 | 0x2000
_READ = int(Interpolation.BILINEAR) | _QUALITY
_WRITE = int(Interpolation.BICUBIC) | _QUALITY

# Matrix coefficients of ITU-T H.273 -> libswscale's own numbers; 5 and 6 are both BT.601.
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}

_WHITE = 65280


def known_matrix(matrix: int, height: int) -> int:
    """Return the matrix itself, or what players assume for a clip that does not say.

    Args:
        matrix: matrix coefficients of ITU-T H.273; 2 is *unspecified*.
        height: of the stored picture, in pixels.

    Returns:
        A matrix that can be converted with: BT.709 for HD, else BT.601.
    """
    if matrix in _SWS_MATRIX:
        return matrix
    return 1 if height >= 720 else 6


def from_swscale(pixels: np.ndarray) -> np.ndarray:
    """Stretch libswscale's 16-bit RGB, white at 65280, to the full 0..65535."""
    limited = np.minimum(pixels, np.uint16(_WHITE))
    return limited + (limited >> 8)


def to_swscale(pixels: np.ndarray) -> np.ndarray:
    """Shrink full-range 16-bit colours, white at 65535, to what libswscale reads as such."""
    return pixels - (pixels >> 8)


class ToRGB:
    """Convert decoded frames of one clip to RGB.

    Args:
        matrix: matrix coefficients of ITU-T H.273, one that `known_matrix` returns.
        full_range: the clip uses 0..255, not 16..235.
        deep: give uint16, not uint8.
    """

    def __init__(self, *, matrix: int, full_range: bool, deep: bool) -> None:
        self._reformatter = VideoReformatter()
        self._matrix = _SWS_MATRIX[matrix]
        self._range = ColorRange.JPEG if full_range else ColorRange.MPEG
        self._deep = deep

    def __call__(self, frame: av.VideoFrame, *, width: int, height: int) -> np.ndarray:
        """Convert one frame.

        Args:
            frame: as decoded.
            width: of the result; a frame of another size, as streams may have midway, is scaled.
            height: of the result.

        Returns:
            ``(height, width, 3)`` uint8 or uint16, full range.
        """
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb48le" if self._deep else "rgb24",
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=self._range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_READ,
        ).to_ndarray()
        return from_swscale(rgb) if self._deep else rgb


class ToYUV:
    """Convert pictures to limited-range YUV for an encoder.

    Args:
        matrix: matrix coefficients of ITU-T H.273, one that `known_matrix` returns.
        pixel_format: FFmpeg's name of the encoder's pixel format.
    """

    def __init__(self, *, matrix: int, pixel_format: str) -> None:
        self._reformatter = VideoReformatter()
        self._matrix = _SWS_MATRIX[matrix]
        self._format = pixel_format
        self._deep = "10" in pixel_format

    def __call__(self, pixels: np.ndarray) -> av.VideoFrame:
        """Convert one picture.

        Args:
            pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` straight RGBA or ``(H, W)`` grey; uint8 or uint16, full range.

        Returns:
            The frame, without a timestamp.
        """
        names = {2: ("gray", "gray16le"), 3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}
        channels = 2 if pixels.ndim == 2 else pixels.shape[2]
        deep = self._deep or pixels.dtype == np.uint16
        frame = av.VideoFrame.from_ndarray(self._deepened(pixels) if deep else pixels, format=names[channels][deep])
        return self._reformatter.reformat(
            frame,
            format=self._format,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=_WRITE,
        )

    @staticmethod
    def _deepened(pixels: np.ndarray) -> np.ndarray:
        full = pixels.astype(np.uint16) * np.uint16(257) if pixels.dtype == np.uint8 else pixels
        scaled = to_swscale(full)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            # Alpha is shifted, not scaled: only 65535 becomes opaque.
            scaled[..., 3] = full[..., 3]
        return scaled
