"""Steadiness: alpha that flickers where the picture stands still is held to what it was."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bgmv2.resample import averaged, enlarged

# Whether the picture stands still is asked of averages over so many pixels, which noise hardly moves.
_STEP = 4
# Below the first change of an average, in 0..1, and around it, all of it stands still, from the second on nothing does.
_STILL, _MOVES = 0.02, 0.05
# Frame and plate that differ by less than the first agree, from the second on they do not.
_AGREES, _DIFFERS = 0.04, 0.1
# So much of the alpha before is kept where it stands still. With more, alpha lags behind what moves very slowly.
_KEPT = 0.85
# Two frames that both lie above what is shown by no more than the first may flicker, by the second they do not.
_FLICKERS, _RISES = 0.05, 0.2


class Steadier:
    """Steadies the alpha of frames in their order.

    Where the picture did not change since the frame before, neither there nor beside it, alpha has no reason to change:
    most of the last one is kept. Where it changed, the new alpha is taken as it is, so that nothing trails behind what
    moves. And what the plate speaks for is believed: where the frame agrees with it, an alpha that falls, so
    that a halo which the subject left behind in front of a still wall goes with him; where it differs, one that rises
    for two frames, so that a hole in him is closed when the network closes it.
    """

    def __init__(self) -> None:
        self._last: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def __call__(self, pha: torch.Tensor, src: torch.Tensor, bgr: torch.Tensor) -> torch.Tensor:
        """Steady the next alpha.

        Args:
            pha: ``(1, 1, H, W)``, 0..1.
            src: ``(1, 3, H, W)`` frame, 0..1.
            bgr: ``(1, 3, H, W)`` plate as it stands in the frame, in its light.

        Returns:
            ``(1, 1, H, W)``; as it is for the first frame, and for one of another size than the last.
        """
        raw = pha
        small, plate = (averaged(x.float(), _STEP) for x in (src, bgr))
        if self._last is not None and self._last[0].shape == pha.shape:
            before, raw_before, small_before = self._last
            change = (small - small_before).abs().amax(dim=1, keepdim=True)
            change = F.max_pool2d(change, 3, stride=1, padding=1)
            still = _ramp(change, _MOVES, _STILL)
            agrees = _ramp((small - plate).abs().amax(dim=1, keepdim=True), _DIFFERS, _AGREES)
            kept, agrees = enlarged(torch.cat([_KEPT * still, agrees], dim=1), *pha.shape[2:]).to(pha).split(1, dim=1)
            rises = _ramp(torch.minimum(raw, raw_before) - before, _FLICKERS, _RISES)
            kept = kept * torch.where(raw < before, 1 - agrees, 1 - rises * (1 - agrees))
            pha = torch.lerp(raw, before, kept)
        self._last = pha, raw, small
        return pha

    def forget(self) -> None:
        """Take the next frame for the first."""
        self._last = None


def _ramp(x: torch.Tensor, none: float, full: float) -> torch.Tensor:
    """Go from 0 where `x` is `none` to 1 where it is `full`."""
    return ((x - none) / (full - none)).clamp(0, 1)
