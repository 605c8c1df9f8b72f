"""What others see when the present frame must not be seen: nothing that was filmed since something went wrong."""

from __future__ import annotations

import numpy as np
import torch

from bgmv2 import compose
from bgmv2.config import MismatchMode

# Whoever sees this knows at once that it is no live picture; as a share of the height.
_BLUR = 0.06
# A picture is safe when what came after it for so many seconds was still good: what goes wrong may begin unseen.
_PROVEN = 0.5


class Cover:
    """Keeps the last picture that is surely safe, and hands it out in the place of one that is not.

    Even out of focus, the present frame would tell of the room: who is in it, and that somebody walks by. So both ways
    to cover it show a picture of before, with the subject over the backdrop.

    Args:
        mode: `blur` or `freeze`.
    """

    def __init__(self, mode: MismatchMode) -> None:
        self._mode = mode
        self._safe: np.ndarray | None = None
        self._next: tuple[np.ndarray, float] | None = None
        self._blurred: np.ndarray | None = None

    def good(self, picture: np.ndarray, seconds: float) -> None:
        """Take note of a picture that was shown, ``(H, W, 3)`` uint8, and of when."""
        if self._next is None or seconds - self._next[1] >= _PROVEN:
            if self._next is not None:
                self._safe, self._blurred = self._next[0], None
            self._next = picture, seconds

    def bad(self) -> None:
        """Take note that a picture must not be shown: those just before it are not trusted either."""
        self._next = None

    def picture(self, otherwise: np.ndarray) -> np.ndarray:
        """Return what others see now; `otherwise` before any picture was safe."""
        if self._safe is None:
            return otherwise
        if self._mode == "freeze":
            return self._safe
        if self._blurred is None:
            soft = compose.blurred(compose.from_integers(self._safe), strength=_BLUR)
            self._blurred = compose.to_uint8(soft).permute(1, 2, 0).numpy()
        return self._blurred


def card(backdrop_alone: torch.Tensor) -> np.ndarray:
    """Bring a backdrop ``(3, H, W)`` to ``(H, W, 3)`` uint8, for the time before there is any picture."""
    return compose.to_uint8(backdrop_alone).permute(1, 2, 0).contiguous().cpu().numpy()
