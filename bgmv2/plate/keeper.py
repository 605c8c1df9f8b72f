"""A plate that follows its clip: its light, place by place, and what lies beyond its edges and in its holes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from bgmv2.config import AlignMode, UpdateMode
from bgmv2.plate.align import Alignment
from bgmv2.plate.drift import Drift
from bgmv2.plate.place import place_plate_and_cover
from bgmv2.plate.relight import unlit
from bgmv2.plate.surroundings import Surroundings
from bgmv2.types import Plate

# Background is what has less alpha than this, so far from what has more, as a share of the long side.
_ALPHA, _MARGIN = 0.05, 0.012


class Keeper:
    """Brings a plate to the frames of one clip, in their order, and learns from each what has changed.

    Args:
        plate: on the device.
        size: ``(H, W)`` of the frames. What a plate of another size, a mosaic, did not see is not learned.

    Example::

        bgr, covered = keeper.place(alignment)
        matte = matter.matte(src, plate=bgr)
        keeper.learn(src, matte.pha, bgr, covered, alignment)
    """

    def __init__(self, plate: Plate, size: tuple[int, int]):
        whole = plate.bgr.shape[1], plate.bgr.shape[2]
        self._plate, self._size = plate, size
        self._drift = Drift(whole, size)
        self._widens = whole == size
        self._has_holes = plate.seen is not None and not bool(plate.seen.all())
        self._surroundings: Surroundings | None = None

    def place(self, alignment: Alignment, *, drifted: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Bring the plate to where, and in which light, a frame shows it.

        Args:
            alignment: of the plate to the frame.
            drifted: with what was learned of its light.

        Returns:
            As `bgmv2.plate.place.place_plate_and_cover`, whose second counts only what was filmed.
        """
        plate = self._plate
        drift = self._drift.over(alignment) if drifted else None
        if self._surroundings is not None:
            plate, alignment = self._surroundings.widened(alignment)
        return place_plate_and_cover(plate.bgr[None], alignment, plate.seen, self._size, drift)

    def learn(
        self,
        src: torch.Tensor,
        pha: torch.Tensor,
        bgr: torch.Tensor,
        covered: torch.Tensor,
        alignment: Alignment,
    ) -> None:
        """Take over what a frame shows of the background; of one in which the plate was not found, nothing.

        Args:
            src: ``(1, 3, H, W)`` frame, 0..1.
            pha: ``(1, 1, H, W)`` its alpha, 0..1.
            bgr: ``(1, 3, H, W)`` the plate as `place` brought it there.
            covered: ``(1, 1, H, W)``, 1 where that shows the scene, as `place` said.
            alignment: of the plate to the frame.
        """
        if alignment.status == "held":
            return
        free = _free(pha)
        if self._widens and (alignment.moves or self._has_holes):
            if self._surroundings is None:
                self._surroundings = Surroundings(self._plate)
            self._surroundings.learn(unlit(src, alignment.light, self._drift.over(alignment)), free, alignment)
        self._drift.learn(src, bgr, covered, free, alignment)

    def state(self) -> dict[str, torch.Tensor]:
        """Return what was learned so far."""
        parts = {"drift": self._drift.state()}
        if self._surroundings is not None:
            parts["surroundings"] = self._surroundings.state()
        return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Remember what another keeper of the same plate did when it returned `state`."""
        parts: dict[str, dict[str, torch.Tensor]] = {"drift": {}, "surroundings": {}}
        for key, tensor in state.items():
            part, _, name = key.partition(".")
            parts[part][name] = tensor
        self._drift.restore(parts["drift"], self._plate.bgr.device)
        self._surroundings = Surroundings(self._plate) if parts["surroundings"] else None
        if self._surroundings is not None:
            self._surroundings.restore(parts["surroundings"])


def keeper_for(plate: Plate, size: tuple[int, int], *, align: AlignMode, update: UpdateMode) -> Keeper | None:
    """Make a keeper for a clip, as `convert` does where its plate is aligned to every frame and may change.

    Args:
        plate: as that of `Keeper`; so is `size`.
        size: as said.
        align: how the plate is aligned.
        update: whether it may follow the clip.
    """
    return Keeper(plate, size) if align == "every" and update == "on" else None


def _free(pha: torch.Tensor) -> torch.Tensor:
    """Tell where there is surely background, ``(1, 1, H, W)``: 1 there, else 0."""
    height, width = pha.shape[2:]
    step = max(1, round(_MARGIN * max(height, width) / 4))
    whole = F.pad(pha.float(), [0, -width % step, 0, -height % step], mode="replicate")
    # One axis after the other takes a fraction of the time of both at once.
    busy = whole.unflatten(2, (-1, step)).amax(dim=3).unflatten(3, (-1, step)).amax(dim=4)
    busy = F.max_pool2d(F.max_pool2d(busy, (9, 1), 1, (4, 0)), (1, 9), 1, (0, 4))
    return F.interpolate((busy < _ALPHA).float(), scale_factor=float(step))[..., :height, :width]
