"""Between the YUV of clips and the RGB of everybody else, through libswscale, with the matrix and range said out loud.

libswscale takes 1.0 as 256 times the 8-bit white when it reads or writes 16-bit RGB, that is 65280 and not 65535; left
alone, a deep clip's white would come out as 254 of 255. `from_swscale` and `to_swscale` bridge the two. Of deep YUV in
full range it reads the clip's own white, shifted up, as 1.0: 65472 for 10 bits.
"""

from __future__ import annotations

import functools
import re

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

# SWS_ACCURATE_RND rounds to nearest and SWS_FULL_CHR_H_INT interpolates chroma at full width. Without them colour edges
# are two pixels wide steps. Bicubic is worth its price once, when writing; reading must keep up with the clip. But from
# 4:2:0 to 16 bits, libswscale's bilinear way with these flags is broken: FFmpeg 8.1 gets green and blue quite wrong.
_QUALITY = 0x40000 | 0x2000
_READ = int(Interpolation.BILINEAR) | _QUALITY
_READ_DEEP = int(Interpolation.BICUBIC) | _QUALITY
_WRITE = int(Interpolation.BICUBIC) | _QUALITY

# Matrix coefficients of ITU-T H.273 -> libswscale's own numbers; 5 and 6 are both BT.601.
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}

# The weights of red and blue in luma, by libswscale's number of the matrix; Source: ITU-T H.273, table 4.
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}

# Matrices that ITU-T H.273 knows and libswscale does not. Taken for another one they would silently give wrong colours.
_NO_MATRIX = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "a matrix derived from its primaries",
    13: "constant luminance derived from its primaries",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}

# Matrix coefficients of ITU-T H.273 for what is no YUV.
RGB_MATRIX = 0


def unknown_matrix(matrix: int) -> str | None:
    """Return the name of a matrix that cannot be converted with, by its number in ITU-T H.273; None of all others."""
    return _NO_MATRIX.get(matrix)


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


def from_swscale(pixels: np.ndarray, *, bits: int = 8) -> np.ndarray:
    """Stretch libswscale's 16-bit RGB to the full 0..65535.

    Args:
        pixels: uint16.
        bits: what libswscale took for white has so many ones at its top: 8 for all of limited range, the clip's own
            bits for full range.

    Returns:
        uint16, white at 65535.
    """
    limited = np.minimum(pixels, np.uint16(65536 - 2 ** (16 - bits)))
    return limited + (limited >> bits) if bits < 16 else limited


def to_swscale(pixels: np.ndarray) -> np.ndarray:
    """Shrink full-range 16-bit colours, white at 65535, to what libswscale reads as such."""
    return pixels - (pixels >> 8)


class ToRGB:
    """Convert decoded frames of one clip to RGB, each by its own tags.

    YUV goes through libswscale. RGB of more than 8 bits and grey do not need it: they have no matrix, and libswscale
    takes all grey for full range.

    Args:
        matrix: of frames that do not say; one that `known_matrix` returns.
        deep: give uint16, not uint8.
    """

    def __init__(self, *, matrix: int, deep: bool) -> None:
        self._reformatter = VideoReformatter()
        self._matrix = matrix
        self._deep = deep
        self._dtype = np.dtype(np.uint16 if deep else np.uint8)

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        """Convert one frame.

        Args:
            frame: as decoded.

        Returns:
            ``(H, W, 3)`` uint8 or uint16, full range.
        """
        full_range = is_full_range(frame)
        if _is_grey(frame):
            grey = _grey_table(bits_of(frame.format.name), full_range, self._dtype)[frame.to_ndarray()]
            return np.repeat(grey[..., None], 3, axis=2)
        matrix = _SWS_MATRIX[frame.colorspace if frame.colorspace in _SWS_MATRIX else self._matrix]
        rgb = self._reformatter.reformat(
            frame,
            format="rgb48le" if self._deep else "rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_READ_DEEP if self._deep else _READ,
        ).to_ndarray()
        if not self._deep or frame.format.is_rgb:
            return rgb
        return from_swscale(rgb, bits=min(16, bits_of(frame.format.name)) if full_range else 8)


@functools.cache
def _grey_table(bits: int, full_range: bool, dtype: np.dtype) -> np.ndarray:
    """The result of each code value; Source: ITU-T H.273, equations 20 and 23."""
    codes = np.arange(2**bits)
    light = codes / (2**bits - 1) if full_range else (codes / 2 ** (bits - 8) - 16) / 219
    return np.rint(np.clip(light, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def is_full_range(frame: av.VideoFrame) -> bool:
    """Tell whether a frame uses 0..255, not 16..235, or as much of more bits.

    A frame that does not say is limited if it is YUV, and full if it is RGB or grey, as in all of FFmpeg. RGB that says
    it is limited hardly ever is; FFmpeg and we do not believe it.
    """
    name = frame.format.name
    if frame.format.is_rgb or name == "pal8" or name.startswith("yuvj"):
        return True
    if len(frame.format.components) < 3 and frame.color_range != ColorRange.MPEG:
        return True
    return frame.color_range == ColorRange.JPEG


def _is_grey(frame: av.VideoFrame) -> bool:
    return re.fullmatch(r"gray(\d+[bl]e)?", frame.format.name) is not None


class ToYUV:
    """Convert pictures to YUV for an encoder.

    Args:
        matrix: matrix coefficients of ITU-T H.273, one that `known_matrix` returns.
        full_range: store 0..255, not 16..235.
        pixel_format: FFmpeg's name of the encoder's pixel format.
    """

    def __init__(self, *, matrix: int, full_range: bool, pixel_format: str) -> None:
        self._reformatter = VideoReformatter()
        self._tag, self._matrix = matrix, _SWS_MATRIX[matrix]
        self._range = ColorRange.JPEG if full_range else ColorRange.MPEG
        self._format = pixel_format
        self._deep = bits_of(pixel_format) > 8

    def __call__(self, pixels: np.ndarray) -> av.VideoFrame:
        """Convert one picture.

        Args:
            pixels: ``(H, W, 3)`` RGB, ``(H, W, 4)`` RGBA or ``(H, W)`` grey; uint8 or uint16, full range.

        Returns:
            The frame, tagged with matrix and range, without a timestamp.
        """
        names = {2: ("gray", "gray16le"), 3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}
        channels = 2 if pixels.ndim == 2 else pixels.shape[2]
        if self._deep and self._range == ColorRange.JPEG:
            frame = self._full_yuv(pixels)
        else:
            # Left to libswscale, 16 bits would be truncated to 8, not rounded.
            stored = to_swscale(to_bits(pixels, 16)) if self._deep else to_bits(pixels, 8)
            frame = av.VideoFrame.from_ndarray(stored, format=names[channels][self._deep])
        # PyAV 17 passes BT.2020 on to libswscale only by the tag of the frame.
        frame.colorspace = self._tag
        coded = self._reformatter.reformat(
            frame,
            format=self._format,
            src_colorspace=self._matrix,
            dst_colorspace=self._matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=self._range,
            interpolation=_WRITE,
        )
        if channels == 4:
            self._set_alpha(coded, pixels[..., 3])
        return coded

    def _full_yuv(self, pixels: np.ndarray) -> av.VideoFrame:
        """Convert to YUV with colour at full size, in place of libswscale, which tints full-range greys by one step.

        Source: ITU-T H.273, equations 38 to 43.
        """
        if pixels.shape[2:] == (4,):
            raise ValueError("no codec stores alpha beside deep YUV in full range")
        rgb = to_bits(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels, 16)
        red, blue = _WEIGHTS[self._matrix]
        luma = np.array([red, 1 - red - blue, blue])
        top = 2 ** bits_of(self._format) - 1
        to_yuv = np.stack([luma, ([0, 0, 1] - luma) / (2 - 2 * blue), ([1, 0, 0] - luma) / (2 - 2 * red)]) * top / 65535
        offset = [[0], [(top + 1) / 2], [(top + 1) / 2]]
        codes = cv2.transform(rgb, np.hstack([to_yuv, offset]).astype(np.float32))
        # Shifted up, these are numbers of 16 bits that libswscale shifts down again.
        stored = np.minimum(codes, top) << (16 - bits_of(self._format))
        return av.VideoFrame.from_ndarray(stored, format="yuv444p16le", channel_last=True)

    def _set_alpha(self, coded: av.VideoFrame, alpha: np.ndarray) -> None:
        """Store alpha itself, each value to the nearest; libswscale is off by one here and there."""
        plane = coded.planes[3]
        values = to_bits(alpha, bits_of(self._format))
        rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())


class ToCodedRGB:
    """Pack pictures as RGB for an encoder that stores it as it is.

    Args:
        pixel_format: FFmpeg's name of the encoder's pixel format.
    """

    def __init__(self, *, pixel_format: str) -> None:
        self._format = pixel_format
        self._bits = bits_of(pixel_format)

    def __call__(self, pixels: np.ndarray) -> av.VideoFrame:
        """Pack one picture; arguments and result as those of `ToYUV`."""
        rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
        stored = to_bits(rgb, self._bits)
        if self._bits > 8:
            frame = av.VideoFrame.from_ndarray(stored, format=self._format)
        else:
            frame = av.VideoFrame.from_ndarray(stored, format="rgb24" if rgb.shape[2] == 3 else "rgba")
            # Bytes change places, nothing else.
            frame = frame.reformat(format=self._format)
        frame.colorspace, frame.color_range = RGB_MATRIX, ColorRange.JPEG
        return frame


def is_rgb(pixel_format: str) -> bool:
    """Tell whether a pixel format of FFmpeg holds RGB, not YUV."""
    return av.VideoFormat(pixel_format).is_rgb


def bits_of(pixel_format: str) -> int:
    """Return how many bits each value of a pixel format of FFmpeg has."""
    return max(component.bits for component in av.VideoFormat(pixel_format).components)


def to_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Bring full-range integers to another number of bits, each to the nearest.

    Args:
        pixels: uint8 or uint16 of any shape, full range.
        bits: 8 to 16; white becomes ``2 ** bits - 1``.

    Returns:
        Of the same shape, uint8 for 8 bits and uint16 for more; the array itself if nothing changes.
    """
    white, top = int(np.iinfo(pixels.dtype).max), 2**bits - 1
    if white == top:
        return pixels
    return ((pixels.astype(np.uint32) * top + white // 2) // white).astype(np.uint8 if bits == 8 else np.uint16)
