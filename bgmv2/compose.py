"""Layers of a picture: foreground over backdrop, the subject's shadow, a person's word on alpha, colours, blur.

**Convention**: pictures are RGB floats in 0..1, ``(3, H, W)`` or ``(B, 3, H, W)``. Foregrounds are straight: their
colours are not multiplied by alpha. All arithmetic is on the code values of the clip, as players and editors do it;
only `over` can mix light instead.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from kornia.filters import gaussian_blur2d
from PIL import ImageColor

from bgmv2.config import BlendMode
from bgmv2.device import integers_to
from bgmv2.errors import BackdropError
from bgmv2.resample import averaged, enlarged

# Who asks a matting tool for green wants to key it later: it is that of chroma-key cloth, not CSS's dark one.
CHROMA_GREEN = "#00b140"
# Standard deviation of a blur that nobody chose, as a share of the height.
BLUR = 0.02

# Weights of red, green and blue in brightness; Source: ITU-R BT.709.
_LUMA = (0.2126, 0.7152, 0.0722)

# How far around colours are asked for, twice, as shares of the height.
_DESPILL_SIGMAS = (0.033, 0.0053)

# Shadows are measured over two Gaussians of these standard deviations: shares of the height, but some pixels at least,
# or noise would show. Where the narrow one differs from the wide one by more than this, the shadow has an edge.
_SHADE_SIGMAS, _SHADE_LEAST, _SHADE_EDGE = (0.003, 0.008), 1.0, 0.03
# What may be subject tells nothing of a shadow: alpha from this on.
_SHADE_ALPHA = 0.05
# Where the plate has detail, of this standard deviation within some pixels, alignment is never good enough for a ratio.
_SHADE_DETAIL = 0.03
# A shadow leaves the plate's structure where it is; where frame and plate correlate less, something else moved. What is
# finer than the noise is no structure.
_SHADE_ALIKE, _SHADE_NOISE, _SHADE_WINDOW = (0.4, 0.8), 0.015, 7
# A shadow dims red, green and blue nearly alike; ratios this far apart tell of another thing.
_SHADE_HUE = 0.3
# How much a place where something else moved speaks for no shadow.
_SHADE_NONE = 0.25
# So much light on the plate, times the share of pixels that count, is enough to believe what is measured in one place.
_SHADE_ENOUGH = 0.1
# Up to the first, darkness is taken for noise and drift of the exposure; from the second on it is believed in full.
# Once as a share of the plate's light, and once as a difference of code values, which decides where the plate is dark.
_SHADE_BELIEF, _SHADE_CODES = (0.02, 0.06), (0.006, 0.015)


def over(fgr: torch.Tensor, pha: torch.Tensor, backdrop: torch.Tensor, *, blend: BlendMode = "video") -> torch.Tensor:
    """Lay a foreground over a backdrop: ``pha * fgr + (1 - pha) * backdrop``.

    Args:
        fgr: ``(..., 3, H, W)`` straight foreground, 0..1.
        pha: ``(..., 1, H, W)`` alpha, 0..1.
        backdrop: ``(..., 3, H, W)``, or ``(3, 1, 1)`` for a colour, 0..1.
        blend: `video` mixes code values; `linear` mixes the light that they stand for, by the curve of sRGB.

    Returns:
        ``(..., 3, H, W)``, `backdrop` where alpha is 0 and `fgr` where it is 1, exactly so if code values are mixed.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(fgr, pha)
    if backdrop.shape[-3:] not in (fgr.shape[-3:], (3, 1, 1)) or backdrop.ndim > fgr.ndim:
        raise ValueError(f"the backdrop is sized like the foreground, got {backdrop.shape = }, {fgr.shape = }")
    if blend == "linear":
        return linear_rgb_to_rgb(torch.lerp(rgb_to_linear_rgb(backdrop), rgb_to_linear_rgb(fgr), pha))
    return torch.lerp(backdrop, fgr, pha)


def premultiply(fgr: torch.Tensor, pha: torch.Tensor) -> torch.Tensor:
    """Multiply a straight foreground by its alpha.

    Args:
        fgr: ``(..., 3, H, W)`` straight foreground.
        pha: ``(..., 1, H, W)`` alpha, 0..1.

    Returns:
        ``(..., 3, H, W)``.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(fgr, pha)
    return fgr * pha


def overrule(
    pha: torch.Tensor,
    fgr: torch.Tensor,
    src: torch.Tensor,
    *,
    garbage: torch.Tensor | None = None,
    holdout: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Let a person's mattes overrule alpha: ``max(pha * (1 - garbage), holdout)``.

    Args:
        pha: ``(..., 1, H, W)`` alpha, 0..1.
        fgr: ``(..., 3, H, W)`` straight foreground, 0..1.
        src: ``(..., 3, H, W)`` frame, 0..1.
        garbage: ``(..., 1, H, W)``, 0..1; 1 where there is never subject. None leaves alpha as it is.
        holdout: ``(..., 1, H, W)``, 0..1; 1 where there is always subject, whatever `garbage` says. None as well.

    Returns:
        Alpha and foreground. Where `holdout` raises alpha, the foreground becomes that of the frame: all of it where
        alpha becomes 1 or was 0, and in between by how far the odds of alpha rose.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(fgr, pha)
    if garbage is not None:
        pha = pha * (1 - garbage)
    if holdout is not None:
        raised = torch.maximum(pha, holdout)
        share = (raised - pha) / (raised * (1 - pha)).clamp(min=1e-6)
        pha, fgr = raised, torch.lerp(fgr, src, share.clamp(0, 1))
    return pha, fgr


def despill(
    fgr: torch.Tensor, pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor, *, strength: float = 1.0
) -> torch.Tensor:
    """Take the plate's colours out of the foreground's soft edges.

    What is soft in a frame mixes subject and plate; plate and alpha being known, the subject's share can be told. Where
    there is little of it, the colours nearby decide.

    Args:
        fgr: ``(B, 3, H, W)`` straight foreground, 0..1.
        pha: ``(B, 1, H, W)`` alpha, 0..1.
        src: ``(B, 3, H, W)`` frame, 0..1.
        bgr: ``(B, 3, H, W)`` plate as it stands in the frame, in its light, 0..1.
        strength: 0 leaves the foreground as it is, 1 takes out all that is found.

    Returns:
        ``(B, 3, H, W)``, 0..1. Around the subject its colours go on, and far from it all is black.

    Raises:
        ValueError: the shapes do not belong together.

    Source: Forte, *Approximate Fast Foreground Colour Estimation*, ICIP 2021, with the plate for the background.
    """
    _check_layers(fgr, pha)
    if fgr.ndim != 4 or not fgr.shape == src.shape == bgr.shape:
        raise ValueError(f"three pictures (B, 3, H, W) and alike, got {fgr.shape = }, {src.shape = }, {bgr.shape = }")
    far, near = (share * fgr.shape[2] for share in _DESPILL_SIGMAS)
    # Colours nearby are asked for on fewer pixels; only the last step needs all.
    step = max(1, round(near / 1.5))
    premultiplied, p, frame, plate = (averaged(x, step) for x in (fgr.contiguous() * pha, pha, src, bgr))
    around = _average(premultiplied, p, far / step)
    clean = _unmixed(around, p, frame, plate)
    around = _average(clean * p, p, near / step)
    around = _enlarged(around, step, pha)
    clean = _unmixed(around, pha, src, bgr)
    return clean if strength == 1 else torch.lerp(fgr, clean, strength)


def shade(
    src: torch.Tensor, bgr: torch.Tensor, pha: torch.Tensor, *, covered: torch.Tensor | None = None
) -> torch.Tensor:
    """Measure how much of the plate's light is left in each place of the frame: the shadow that fell since then.

    A backdrop times this is in the subject's shadow. The frame is compared with the plate where there is surely no
    subject, averaged over some pixels, of which there are fewer where the shadow has an edge. Behind the subject, and
    where the plate is too dark or too detailed to tell, the shadow is continued from around. What differs from the
    plate in its colours or in its structure is no shadow; a plain grey thing that was moved cannot be told from one.

    Args:
        src: ``(B, 3, H, W)`` frame, 0..1.
        bgr: ``(B, 3, H, W)`` plate as it stands in the frame, in its light, 0..1.
        pha: ``(B, 1, H, W)`` alpha, 0..1.
        covered: ``(B, 1, H, W)``, 1 where the plate shows the scene; None if it does everywhere.

    Returns:
        ``(B, 1, H, W)``, 0..1: 1 where nothing is darker than on the plate, and where the plate shows nothing.

    Raises:
        ValueError: the shapes do not belong together.
    """
    _check_layers(src, pha)
    if src.ndim != 4 or bgr.shape != src.shape:
        raise ValueError(f"frame and plate are (B, 3, H, W) and alike, got {src.shape = }, {bgr.shape = }")
    height, width = src.shape[2:]
    narrow, wide = (max(_SHADE_LEAST, share * height) for share in _SHADE_SIGMAS)
    # Gaussians so wide need fewer pixels. The whole comparison is made with those.
    step = max(1, round(narrow))
    frame, plate, squares = (averaged(x, step) for x in (src, bgr, _luma(bgr) ** 2))
    luma, plate_luma = _luma(frame), _luma(plate)
    ratio = (frame + 0.05) / (plate + 0.05)
    spread = ratio.amax(1, keepdim=True) - ratio.amin(1, keepdim=True)
    hidden = pha if covered is None else torch.maximum(pha, 1 - covered)
    # Alpha often ends a little before the subject does, whose rim would be taken for a shadow.
    rim = 2 * max(1, round(wide / step / 2)) + 1
    hidden = F.max_pool2d(F.max_pool2d(hidden, step, ceil_mode=True), rim, stride=1, padding=rim // 2)
    visible = (1 - hidden / _SHADE_ALPHA).clamp(min=0)
    quality = (1 - (spread / _SHADE_HUE) ** 2).clamp(min=0) * _keeps_structure(luma, plate_luma, visible)
    # Where something else moved, a little speaks for no shadow.
    doubt = _SHADE_NONE * (1 - quality) ** 2 * plate_luma
    visible = visible / (1 + _variance(plate_luma, squares) / _SHADE_DETAIL**2)
    evidence = visible * torch.cat([quality * luma + doubt, quality * plate_luma + doubt], dim=1)
    sums = [_gaussian(evidence, sigma / step) for sigma in (narrow, wide)]
    fine, dark = (1 - _filled(x[:, :1], x[:, 1:]) for x in sums)
    edge = (fine - dark) ** 2
    dark = torch.lerp(dark, fine, edge / (edge + _SHADE_EDGE**2)).clamp(0, 1)
    dark = dark * _ramp(dark, *_SHADE_BELIEF) * _ramp(dark * plate_luma, *_SHADE_CODES)
    if covered is not None:
        dark = dark * -F.max_pool2d(-covered, step, ceil_mode=True)
    return 1 - _enlarged(dark, step, src)


def from_integers(pixels: np.ndarray, *, device: torch.device | None = None) -> torch.Tensor:
    """Bring ``(H, W, C)`` integers of full range to ``(C, H, W)`` float32 in 0..1; undoes `to_uint8`, `to_uint16`."""
    rows = integers_to(torch.device("cpu") if device is None else device, pixels)
    return rows.permute(2, 0, 1).contiguous().float().div_(np.iinfo(pixels.dtype).max)


def to_uint8(x: torch.Tensor) -> torch.Tensor:
    """Bring floats in 0..1 to 0..255, each to the nearest integer; what lies outside is clamped."""
    return _to_integers(x, 255, torch.uint8)


def to_uint16(x: torch.Tensor) -> torch.Tensor:
    """Bring floats in 0..1 to 0..65535, each to the nearest integer; what lies outside is clamped."""
    return _to_integers(x, 65535, torch.uint16)


def parse_color(text: str) -> torch.Tensor:
    """Read a colour as people write it.

    Args:
        text: ``#00b140``, ``#0b4`` or a CSS name such as ``magenta``. The name ``green`` means `CHROMA_GREEN`; CSS's
            own is ``#008000``, and its brightest is ``lime``.

    Returns:
        ``(3,)`` float32 RGB, 0..1.

    Raises:
        BackdropError: the text is no opaque colour.
    """
    name = text.strip().lower()
    rgb: tuple[int, ...] = ()
    if name.startswith("#") or name in ImageColor.colormap:
        with suppress(ValueError):
            rgb = ImageColor.getrgb(CHROMA_GREEN if name == "green" else name)
    if len(rgb) != 3:
        raise BackdropError(f"'{text}' is no colour; write it like #00b140, #0b4, green or magenta")
    return torch.tensor(rgb, dtype=torch.float32) / 255


def blurred(bgr: torch.Tensor, *, strength: float = BLUR) -> torch.Tensor:
    """Blur a plate, as if it were out of focus.

    Blur the plate, never the frame: the frame's subject would bleed into a halo around itself.

    Args:
        bgr: ``(3, H, W)`` or ``(B, 3, H, W)``, 0..1.
        strength: standard deviation of the Gaussian as a share of the height, so that all sizes look alike.

    Returns:
        Of bgr's shape; the edges are continued outwards, so no border darkens.

    Raises:
        ValueError: the shape is another, or the strength is negative.
    """
    if bgr.ndim not in (3, 4) or bgr.shape[-3] != 3:
        raise ValueError(f"a plate is (3, H, W) or (B, 3, H, W), got {bgr.shape = }")
    if not 0 <= strength < math.inf:
        raise ValueError(f"a blur's strength is not negative, got {strength = }")
    height, width = bgr.shape[-2:]
    sigma = strength * height
    if sigma == 0:
        return bgr
    # What a wide blur leaves can be held by fewer pixels: there it costs the same for every strength and size.
    shrink = max(1, int(sigma / 3))
    small = averaged(bgr.reshape(-1, 3, height, width), shrink)
    return _enlarged(_gaussian(small, sigma / shrink), shrink, bgr).reshape(bgr.shape)


def _enlarged(x: torch.Tensor, step: int, like: torch.Tensor) -> torch.Tensor:
    """Bring what was `averaged` over `step` pixels back to the size of a picture."""
    large = enlarged(x, x.shape[2] * step, x.shape[3] * step)
    return large[..., : like.shape[-2], : like.shape[-1]]


def _gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """Blur ``(B, C, H, W)``; the edges are continued outwards."""
    side = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur2d(x, (side, side), (sigma, sigma), border_type="replicate")


def _average(premultiplied: torch.Tensor, pha: torch.Tensor, sigma: float) -> torch.Tensor:
    """Average foreground colours over a Gaussian, by their alpha; black far from all subject."""
    step = max(1, round(sigma / 1.5))
    small = averaged(torch.cat([premultiplied, pha], dim=1), step)
    sums = _enlarged(_gaussian(small, sigma / step), step, pha)
    return sums[:, :3] / sums[:, 3:].clamp(min=1e-4)


def _unmixed(around: torch.Tensor, pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor) -> torch.Tensor:
    """Correct a guess of the foreground by what is left of the frame when guess and plate are taken away."""
    # With as few walks through the memory of large pictures as can be.
    left = torch.lerp(bgr, around, pha).neg_().add_(src)
    return left.mul_(pha).add_(around).clamp_(0, 1)


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Brightness of ``(B, 3, H, W)``, ``(B, 1, H, W)``."""
    red, green, blue = x.split(1, dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _keeps_structure(frame: torch.Tensor, plate: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Tell where a frame has the structure of the plate, if the plate has any there; all ``(B, 1, H, W)``, 0..1."""

    def around(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(visible * x, _SHADE_WINDOW, 1, _SHADE_WINDOW // 2)

    count = around(torch.ones_like(plate)).clamp(min=1e-4)
    mean_frame, mean_plate = around(frame) / count, around(plate) / count
    of_frame = (around(frame**2) / count - mean_frame**2).clamp(min=0)
    of_plate = (around(plate**2) / count - mean_plate**2).clamp(min=0)
    shared = around(frame * plate) / count - mean_frame * mean_plate
    noise = _SHADE_NOISE**2
    alike = _ramp(shared / ((of_frame + noise) * (of_plate + noise)).sqrt(), *_SHADE_ALIKE)
    return 1 - of_plate / (of_plate + 4 * noise) * (1 - alike)


def _variance(mean: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Variance within some pixels, given means and means of squares of fewer, ``(B, 1, H, W)``."""
    mean, squares = (F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) for x in (mean, squares))
    return (squares - mean**2).clamp(min=0)


def _ramp(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Go smoothly from 0 at `low` to 1 at `high`."""
    x = ((x - low) / (high - low)).clamp(0, 1)
    return x**2 * (3 - 2 * x)


def _filled(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Divide sums ``(B, 1, H, W)``; where `whole` is too small to tell, more and more of what is around decides.

    Source: Gortler et al., *The Lumigraph*, 1996: pull and push.
    """
    if max(whole.shape[2:]) == 1:
        return torch.where(whole > 1e-4, part / whole.clamp(min=1e-4), 1)
    around = _filled(averaged(part, 2), averaged(whole, 2))
    around = enlarged(around, *whole.shape[2:])
    return torch.lerp(around, part / whole.clamp(min=1e-4), (whole / _SHADE_ENOUGH).clamp(max=1))


def _check_layers(fgr: torch.Tensor, pha: torch.Tensor) -> None:
    if fgr.ndim < 3 or fgr.shape[-3] != 3 or pha.shape != (*fgr.shape[:-3], 1, *fgr.shape[-2:]):
        raise ValueError(f"foreground is (..., 3, H, W) and alpha (..., 1, H, W), got {fgr.shape = }, {pha.shape = }")


def _to_integers(x: torch.Tensor, top: int, dtype: torch.dtype) -> torch.Tensor:
    x = x.float().clamp(0, 1).mul_(top).round_()  # half precision cannot hold 65535
    # See `integers_to`.
    return (x.cpu() if x.is_mps and dtype == torch.uint16 else x).to(dtype)
