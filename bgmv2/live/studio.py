"""The studio: what is made of each picture of the camera, from the countdown before the plate to the subject alone."""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch

from bgmv2.backdrop import Backdrop, is_path
from bgmv2.budget import Governor, scale_text
from bgmv2.config import AlignMode, CompositeConfig, LiveConfig
from bgmv2.develop import Lab
from bgmv2.errors import Bgmv2Warning, PlateError
from bgmv2.live.backdrops import Backdrops
from bgmv2.live.capture import Taken, Taker, refuse
from bgmv2.live.cover import Cover, card
from bgmv2.live.shelf import Shelf
from bgmv2.live.steady import Steadier
from bgmv2.live.watchdog import NOT_YET, Watchdog, is_findable
from bgmv2.matter import Matter
from bgmv2.plate.align import Aligner, Alignment
from bgmv2.plate.keeper import Keeper
from bgmv2.plate.sources import load_plate
from bgmv2.sheets import DARK
from bgmv2.types import Frame, Matte, Plate
from bgmv2.video.camera import Feed, Outage

Phase = Literal["looking", "countdown", "taking", "asking", "live", "mismatch", "outage", "idle"]
View = Literal["composite", "alpha", "error", "side by side"]
VIEWS: tuple[View, ...] = ("composite", "alpha", "error", "side by side")
Wish = Literal["plate", "go", "backdrop", "view"]
# A plate that does not fit is taken anew so often where nobody can be asked.
_ATTEMPTS = 3
# A plate that has not fitted after so many seconds and pictures never will; one that was kept gives way to a new one.
_PATIENCE, _PICTURES = 3.0, 10
# Seconds that a camera has to obey before the plate is taken: light that changes meanwhile looks like something moving.
_SETTLING = 0.5
# When no picture came for longer, the backdrop waits, too, rather than catch up.
_GAP = 1.0
# Below this share of the usual scale there would be a halo around the person, which no rate makes up for.
_LEAST_SCALE = 0.5
GUIDE = "Step out of the picture"
# RGB behind all backdrops, ``(3, 1, 1)``, 0..1.
_DARK = torch.tensor(DARK, dtype=torch.float32).view(3, 1, 1) / 255


@dataclass(frozen=True, eq=False)
class Shown:
    """What came of a moment.

    Args:
        picture: ``(H, W, 3)`` uint8, what others see.
        view: ``(h, w, 3)`` uint8, what the person at the camera sees.
        phase: what is going on.
        note: what to tell him; may be empty.
        stamp: when the camera gave the frame that `picture` shows, in seconds; None if it shows no new one.
    """

    picture: np.ndarray
    view: np.ndarray
    phase: Phase
    note: str = ""
    stamp: float | None = None


class Studio:
    """Turns pictures of a camera into what others see; nothing of the room among it unless a plate fits.

    Args:
        matter: the network; what was chosen there is not changed to save time.
        feed: the camera, for its name and its exposure.
        live: the choices for this session.
        align: match the plate to the camera; see `RunConfig`.
        backdrops: what can be behind the subject.
        composite: how it is laid over that.
        plate: path of a plate; None takes the one that is kept, or a new one.
        shelf: where plates are kept; None keeps none.
        asks: somebody can answer by keys; otherwise a plate that will not do is taken anew by itself.

    Attributes:
        size: width and height of what others see, which never change.
        is_idle: nobody watches, so nothing is matted.
    """

    def __init__(
        self,
        matter: Matter,
        feed: Feed,
        live: LiveConfig,
        *,
        align: AlignMode,
        backdrops: Backdrops,
        composite: CompositeConfig,
        plate: str | None = None,
        shelf: Shelf | None = None,
        asks: bool = False,
    ) -> None:
        self._matter, self._feed, self._live, self._align = matter, feed, live, align
        self._backdrops, self._composite = backdrops, composite
        self._given, self._shelf, self._asks = plate, shelf, asks
        self.size = feed.device.size
        self.is_idle = False
        self._wishes: deque[Wish] = deque()
        self._view: View = "composite"
        self._behind: Backdrop | None = None
        self._cover = Cover(live.on_mismatch)
        self._card = self._backdrop_alone()
        self._watchdog, self._steadier = Watchdog(), Steadier()
        self._verdict = ""
        self._lab: Lab | None = None
        self._aligner: Aligner | None = None
        self._frame_size: tuple[int, int] = self.size
        self._doubted: list[float] = []
        self._has_fitted = False
        self._last_seconds: float | None = None
        self._phase: Phase = "looking"
        self._note = ""
        self._taker = Taker(feed.device.name)
        self._taken: Taken | None = None
        self._attempts = 0
        self._until: float | None = None
        self._governor = self._govern()

    def wish(self, what: Wish) -> None:
        """Ask for something, from any thread; it is done before the next picture."""
        self._wishes.append(what)

    def develop(self, items: Iterable[Frame | Outage]) -> Iterator[Shown]:
        """Yield what comes of each picture."""
        try:
            for item in items:
                yield self(item)
        finally:
            if self._behind is not None:
                self._behind.close()

    def __call__(self, item: Frame | Outage) -> Shown:
        """Make of one picture what others see, and what the person at the camera sees."""
        begun = time.perf_counter()
        self._obey()
        if isinstance(item, Outage):
            self._doubt()
            if self._phase in ("countdown", "taking"):
                self._begin_countdown()  # nobody was told that time goes on
            return self._covered(self._cover.picture(self._card), "outage", item.reason)
        if self.is_idle and self._lab is not None:
            self._doubt()
            return self._covered(item.pixels, "idle", "nobody watches")
        size = item.pixels.shape[1], item.pixels.shape[0]
        if size != self._frame_size:
            self._frame_size = size
            self._governor = self._govern()
            self._restart("looking")
        if self._phase == "looking":
            self._look_for_plate()
        shown = self._prepare(item) if self._lab is None else self._show(item, self._lab)
        if shown.phase in ("live", "mismatch"):
            self._matter.spend(self._governor.step(time.perf_counter() - begun))
        return shown

    @property
    def effort(self) -> str:
        """What each picture is worth just now, in words."""
        model = self._matter.model
        pixels = model.refiner.sample_pixels
        return f"scale {scale_text(model.backbone_scale)}, {pixels} pixels refined"

    def _obey(self) -> None:
        while self._wishes:
            what = self._wishes.popleft()
            if what == "plate":
                self._given, self._attempts = None, 0
                self._begin_countdown()
            elif what == "go" and self._phase == "asking" and self._taken is not None:
                self._use(self._taken.made.plate, str(self._taken))
            elif what == "view":
                self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
            elif what == "backdrop":
                self._backdrops.next(*self.size).close()
                self._card = self._backdrop_alone()
                if self._lab is not None:
                    self._dress(self._lab)

    def _restart(self, phase: Phase) -> None:
        """Forget the plate: the camera is another one, or a new plate is wanted."""
        self._lab = self._aligner = self._until = None
        self._phase, self._taken = phase, None
        self._cover.bad()

    def _look_for_plate(self) -> None:
        """Take the plate that was given or kept, or begin to take one."""
        if self._given is not None:
            try:
                self._use(load_plate(self._given, *self._frame_size), "")
            except PlateError:
                if self._frame_size == self.size:
                    raise
                # The camera came back with pictures of another shape, for which this plate was not made.
                self._begin_countdown()
            return
        kept = None if self._shelf is None else self._shelf.get(self._feed.device.name, self._frame_size)
        if kept is None:
            self._begin_countdown()
        else:
            self._use(kept[0], f"plate of {kept[1]}")

    def _begin_countdown(self) -> None:
        self._restart("countdown")
        self._taker = Taker(self._feed.device.name)
        self._feed.hold_light(False)

    def _use(self, plate: Plate, note: str) -> None:
        """Go live with a plate, which still has to prove itself."""
        self._lab = Lab(self._matter, plate, self._open_behind(), ("com",), self._composite, {})
        self._lab.retouch = self._retouch
        if self._align == "every":
            self._lab.keeper = Keeper(self._lab.plate, (self._frame_size[1], self._frame_size[0]))
        self._aligner = Aligner(plate, mode=self._align, size=self._frame_size[::-1])
        self._watchdog = Watchdog(findable=is_findable(plate))
        self._steadier.forget()
        self._phase, self._note, self._doubted, self._has_fitted = "mismatch", note, [], False
        self._matter.spend(self._governor.setting)

    def _prepare(self, frame: Frame) -> Shown:
        """Guide through the taking of the plate."""
        if self._phase == "countdown":
            self._until = frame.seconds + self._live.countdown if self._until is None else self._until
            left = self._until - frame.seconds
            if left > 0:
                self._taker.before(frame)
                return self._covered(frame.pixels, "countdown", f"{GUIDE}: {math.ceil(left)}")
            self._phase, self._until = "taking", frame.seconds + _SETTLING
            self._feed.hold_light(True)
        if self._phase == "taking":
            assert self._until is not None
            if frame.seconds < self._until or not self._taker.add(frame):
                return self._covered(frame.pixels, "taking", f"{GUIDE}: the plate is being taken")
            self._judge()
        return self._covered(frame.pixels, self._phase, self._note)

    def _judge(self) -> None:
        """Take the plate that was collected, or ask for another one."""
        self._attempts += 1
        try:
            self._taken = taken = self._taker.finish()
        except PlateError as error:
            if not self._asks and self._attempts >= _ATTEMPTS:
                raise
            if self._asks:
                self._phase, self._note = "asking", f"{error} [P: again]"
            else:
                self._begin_countdown()
            return
        if taken.diagnosis.verdict != "reshoot" and not (self._asks and taken.may_show_somebody):
            if not taken.may_show_somebody:
                self._keep(taken)
            self._use(taken.made.plate, f"{taken}{', exposure held' * self._feed.holds_light}")
        elif self._asks:
            self._phase, self._note = "asking", f"{taken} [P: again, G: take it]"
        elif self._attempts < _ATTEMPTS:
            self._begin_countdown()
        else:
            raise refuse(taken)

    def _keep(self, taken: Taken) -> None:
        """Keep a plate for the next start, if it can be."""
        if self._shelf is None:
            return
        try:
            self._shelf.put(self._feed.device.name, self._frame_size, taken.made)
        except OSError as error:
            warnings.warn(f"the plate is not kept for the next start: {error}", Bgmv2Warning, stacklevel=2)

    def _doubt(self) -> None:
        """Trust neither the last pictures nor that the camera still looks where it did."""
        self._cover.bad()
        self._watchdog.doubt()

    def _show(self, frame: Frame, lab: Lab) -> Shown:
        """Matte a frame, and show it if the plate fits."""
        assert self._aligner is not None
        if self._last_seconds is not None and frame.seconds - self._last_seconds > _GAP:
            lab.start += frame.seconds - self._last_seconds
        self._last_seconds = frame.seconds
        lab.roles = _ROLES[self._view]
        pictures, _ = lab(frame, self._aligner.align(frame.pixels))
        if self._verdict and self._live.on_mismatch != "show":
            self._cover.bad()
            return self._covered(self._seen(frame, pictures, hidden=True), "mismatch", self._said(frame))
        self._has_fitted = True
        picture = self._sized(pictures["com"])
        self._cover.good(picture, frame.seconds)
        phase: Phase = "mismatch" if self._verdict else "live"
        note = self._verdict or self._note
        return Shown(picture, self._seen(frame, pictures), phase, note, stamp=frame.seconds)

    def _said(self, frame: Frame) -> str:
        """Say why nothing is shown; a plate that was kept from earlier and never fits gives way to a new one."""
        if not self._has_fitted:
            self._doubted.append(frame.seconds)
            del self._doubted[1 : 1 - _PICTURES]
            if len(self._doubted) == _PICTURES and frame.seconds - self._doubted[0] > _PATIENCE:
                if self._given is None and self._taken is None:
                    self._begin_countdown()
                elif self._verdict == NOT_YET:
                    return "the plate does not fit what the camera sees [P: take it anew]"
        return self._verdict if self._verdict == NOT_YET else f"{self._verdict} [P: plate anew]"

    def _retouch(self, matte: Matte, src: torch.Tensor, bgr: torch.Tensor, alignment: Alignment) -> Matte:
        self._verdict = self._watchdog(matte.pha, src, bgr, alignment)
        if self._live.unsteady:
            return matte
        return matte._replace(pha=self._steadier(matte.pha, src, bgr))

    def _govern(self) -> Governor:
        """Hold the rate with frames of this size; what was chosen by hand stays."""
        width, height = self._frame_size
        settings = self._matter.settings(height, width, least=_LEAST_SCALE)
        return Governor(self._live.fps or self._feed.device.rate, settings)

    def _dress(self, lab: Lab) -> None:
        """Put another backdrop behind; it begins now."""
        lab.backdrop = self._open_behind()
        lab.start = math.nan

    def _open_behind(self) -> Backdrop:
        """Open the backdrop for the size in which frames come."""
        if self._behind is not None:
            self._behind.close()
        behind = self._backdrops.open(*self._frame_size)
        self._behind = _Alone(behind) if is_path(self._backdrops.current) else behind
        return self._behind

    def _covered(self, view: np.ndarray, phase: Phase, note: str) -> Shown:
        return Shown(self._cover.picture(self._card), view, phase, note)

    def _seen(self, frame: Frame, pictures: dict[str, np.ndarray], *, hidden: bool = False) -> np.ndarray:
        """What the person at the camera sees of a frame."""
        if self._view == "alpha":
            return np.dstack([pictures["pha"]] * 3)
        if self._view == "error":
            return np.dstack([pictures["err"]] * 3)
        com = self._cover.picture(self._card) if hidden else pictures["com"]
        if self._view == "side by side":
            return np.hstack([frame.pixels, self._sized(com, self._frame_size)])
        return com

    def _sized(self, picture: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
        """Bring a picture to the size in which others see it, which never changes; what stands out is cut off."""
        width, height = self.size if size is None else size
        h, w = picture.shape[:2]
        if (w, h) == (width, height):
            return picture
        piece_w, piece_h = min(w, round(h * width / height)), min(h, round(w * height / width))
        top, left = (h - piece_h) // 2, (w - piece_w) // 2
        piece = picture[top : top + piece_h, left : left + piece_w]
        return cv2.resize(piece, (width, height), interpolation=cv2.INTER_AREA)

    def _backdrop_alone(self) -> np.ndarray:
        """The backdrop with nothing of the room in it, not even out of focus."""
        width, height = self.size
        with closing(self._backdrops.open(width, height)) as backdrop:
            return card(backdrop.at(0.0, _DARK.expand(3, height, width)))


class _Alone:
    """A backdrop through whose transparent parts nothing of the room is seen."""

    def __init__(self, backdrop: Backdrop):
        self._backdrop = backdrop

    def at(self, seconds: float, bgr: torch.Tensor) -> torch.Tensor:
        """Return the backdrop before darkness; see `Backdrop.at`."""
        return self._backdrop.at(seconds, _DARK.to(bgr).expand_as(bgr))

    def close(self) -> None:
        """Release the file."""
        self._backdrop.close()


_ROLES: dict[View, tuple[str, ...]] = {
    "composite": ("com",),
    "alpha": ("com", "pha"),
    "error": ("com", "err"),
    "side by side": ("com",),
}
