"""Clips that a hand filmed, made from photographs: the true homography and alpha of every frame are known.

A camera that turns, rolls and zooms looks at a flat room that is larger than its picture, so that the borders of its
frames show room that the plate never saw. A subject moves in front of the room, light and white balance wander, every
frame has noise of its own and the losses of a codec.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bgmv2.training.data import Material

# The room is seen by so much more on each side, as a share of the frame: nothing may move farther than that.
_MARGIN = 0.15
# Focal length in widths of the picture: that of a phone.
_FOCAL = 0.8
# Subjects' heights in frames' heights, and how far they walk to either side in widths.
_TALL, _WALK = (0.7, 0.95), (0.05, 0.25)
# Movements of a hand in cycles per frame: swaying, and a tremor that is much weaker.
_SLOWEST, _FASTEST, _WAVES = 0.003, 0.08, 9
# In so many frames it comes to its largest: shorter clips are parts of such ones.
_WHOLE = 100
# The patch of sunlight: its corners in shares of the frame, its way in widths per frame, how soft its edges are in
# widths, and in how many frames it comes out.
_PATCH = ((0.1, 0.15), (0.4, 0.1), (0.5, 0.7), (0.2, 0.8))
_SUN_STEP, _SUN_EDGE, _SUNRISE = 0.0002, 0.006, 250


@dataclass(frozen=True)
class Hand:
    """How a clip is filmed.

    Args:
        shake: largest shift, as a share of the width, to either side.
        turn: largest roll, in degrees.
        zoom: largest change of the focal length, as a share.
        stops: largest drift of the exposure.
        tint: largest drift of red and blue against green, as a share.
        noise: standard deviation in code values of 8 bit, of frames and plate.
        quality: of JPEG, whose losses are those of the clip and the plate.
        barrel: radial distortion of the frames, as a share of the half diagonal in the corners; the plate has none.
        shutter: how long it is open, as a share of the time between two frames: what moves is blurred.
        near: the subject is so many times as large: from 2 on it hides half of the room.
        sun: a patch of sunlight grows until it brings so many times the room's light, and wanders on.
    """

    shake: float = 0.03
    turn: float = 3.0
    zoom: float = 0.05
    stops: float = 0.7
    tint: float = 0.06
    noise: float = 2.0
    quality: int = 88
    barrel: float = 0.0
    shutter: float = 0.0
    near: float = 1.0
    sun: float = 0.0


# A close-up in little light: the subject hides half of the room, and what is left is blurred and noisy.
HARD = Hand(near=2.2, shutter=0.5, noise=5, quality=60)


def locked_off(hand: Hand) -> Hand:
    """The same camera on a tripod."""
    return replace(hand, shake=0, turn=0, zoom=0)


LOCKED = locked_off(Hand())


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame and the truth about it.

    Args:
        pixels: ``(H, W, 3)`` uint8.
        homography: ``(3, 3)``, plate pixels to frame pixels.
        pha: ``(H, W)`` float32, 0..1.
    """

    pixels: np.ndarray
    homography: np.ndarray
    pha: np.ndarray


class Film:
    """One take: a plate, and the frames as often as they are asked for.

    Args:
        material: of which a room and a subject are taken; what has the same number is the same for every `hand`.
        number: of the take.
        hand: how it is filmed.
        size: ``(H, W)`` of the picture.
        frames: how many there are.
    """

    def __init__(self, material: Material, number: int, hand: Hand, *, size: tuple[int, int], frames: int):
        height, width = size
        self.frames, self.size, self._hand, self._number = frames, size, hand, number
        rooms = [room for room in material.rooms if room.shape[2] > 1.2 * room.shape[1]]
        rng = np.random.default_rng(number)
        room = rooms[int(rng.integers(len(rooms)))].permute(1, 2, 0).numpy()
        person = material.people[int(rng.integers(len(material.people)))].permute(1, 2, 0).numpy()
        whole = round(width * (1 + 2 * _MARGIN)), round(height * (1 + 2 * _MARGIN))
        scale = max(whole[0] / room.shape[1], whole[1] / room.shape[0])
        large = cv2.resize(room, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        top, left = (large.shape[0] - whole[1]) // 2, (large.shape[1] - whole[0]) // 2
        self._room = np.ascontiguousarray(large[top : top + whole[1], left : left + whole[0]])
        self._offset = np.array([[1, 0, round(width * _MARGIN)], [0, 1, round(height * _MARGIN)], [0, 0, 1]], float)
        self._subject = person.astype(np.float32) / 255
        self._subject[..., :3] *= self._subject[..., 3:]
        self._tall = rng.uniform(*_TALL) * height / person.shape[0]
        self._place, self._walk = rng.uniform(0.3, 0.7), rng.uniform(*_WALK)
        self._waves = {name: _waves(rng, frames) for name in ("x", "y", "roll", "zoom", "stops", "red", "blue")}
        self._step = rng.uniform(0.01, 0.05)
        self.plate = self._expose(
            self._filmed(self._room, self._offset, cv2.BORDER_REFLECT, barrel=0), np.ones(3), seed=-1
        )

    def __iter__(self) -> Iterator[Shot]:
        for index in range(self.frames):
            yield self.shot(index)

    def shot(self, index: int) -> Shot:
        """Film one frame."""
        homography = self.camera(index)
        to_room = self._offset @ np.linalg.inv(homography)
        lit = self._room if not self._hand.sun else self._sunny(index)
        room = self._filmed(lit, to_room, cv2.BORDER_REFLECT)
        subject = self._filmed(self._subject, np.linalg.inv(self._pose(index)) @ to_room, cv2.BORDER_CONSTANT)
        pha = np.clip(subject[..., 3], 0, 1)
        frame = room * (1 - pha[..., None]) + 255 * subject[..., :3]
        if self._hand.shutter:
            frame = self._blurred(frame, index)
        waves, hand = self._waves, self._hand
        light = 2.0 ** (hand.stops * waves["stops"][index])
        gain = light * (1 + hand.tint * np.array([waves["red"][index], 0, waves["blue"][index]]))
        return Shot(self._expose(frame, gain, seed=index), homography, pha)

    def _sunny(self, index: int) -> np.ndarray:
        """The room with the patch of sunlight, whose light is added before the camera bends it."""
        height, width = self.size
        corners = np.array(_PATCH) * (width, height) + self._offset[:2, 2] + (_SUN_STEP * width * index, 0)
        mask = np.zeros(self._room.shape[:2], np.float32)
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1.0)
        mask = cv2.GaussianBlur(mask, (0, 0), _SUN_EDGE * width)
        light = 1 + self._hand.sun * min(1.0, index / _SUNRISE) * mask[..., None]
        return self._room * light ** np.float32(1 / 2.2)

    def camera(self, index: int) -> np.ndarray:
        """Where a frame shows the plate: that of a camera which turns about its centre and zooms."""
        height, width = self.size
        hand, focal = self._hand, _FOCAL * width
        x, y, roll, zoom = (self._waves[name][index] for name in ("x", "y", "roll", "zoom"))
        inner = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        turned = (
            np.diag([1 + hand.zoom * zoom, 1 + hand.zoom * zoom, 1])
            @ cv2.Rodrigues(np.array([y * hand.shake / _FOCAL, x * hand.shake / _FOCAL, np.deg2rad(roll * hand.turn)]))[
                0
            ]
        )
        homography = inner @ turned @ np.linalg.inv(inner)
        return homography / homography[2, 2]

    def source(self, index: int, points: np.ndarray) -> np.ndarray:
        """Which points ``(N, 2)`` of the plate a frame shows at points of its own."""
        at = self._through_lens(points, self._hand.barrel)
        return cv2.perspectiveTransform(at[None].astype(np.float64), np.linalg.inv(self.camera(index)))[0]

    def _through_lens(self, points: np.ndarray, barrel: float) -> np.ndarray:
        """Where a lens without distortion would show what this one shows at points ``(..., 2)``."""
        centre = np.array([(self.size[1] - 1) / 2, (self.size[0] - 1) / 2], np.float32)
        away = points - centre
        distance = ((away / np.linalg.norm(centre)) ** 2).sum(axis=-1, keepdims=True)
        return centre + away * (1 + barrel * distance)

    def _pose(self, index: int) -> np.ndarray:
        """From pixels of the cut-out to those of the room: it stands on the lower border of the plate, and walks."""
        height, width = self.size
        x = self._place + self._walk * np.sin(self._number + 2 * np.pi * self._step * index)
        at = self._offset[0, 2] + x * width, self._offset[1, 2] + height
        rows, columns = self._subject.shape[:2]
        scale = self._tall * self._hand.near
        return np.array(
            [[scale, 0, at[0] - scale * columns / 2], [0, scale, at[1] - 0.98 * self._tall * rows], [0, 0, 1]]
        )

    def _filmed(
        self, picture: np.ndarray, matrix: np.ndarray, border: int, *, barrel: float | None = None
    ) -> np.ndarray:
        """Look at a picture; `matrix` maps pixels of the frame to the picture's."""
        height, width = self.size
        barrel = self._hand.barrel if barrel is None else barrel
        if not barrel:
            flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
            return cv2.warpPerspective(picture, matrix, (width, height), flags=flags, borderMode=border)
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        at = self._through_lens(np.stack([x, y], axis=2), barrel)
        mapped = cv2.perspectiveTransform(at.astype(np.float64), matrix).astype(np.float32)
        return cv2.remap(picture, mapped, None, cv2.INTER_LANCZOS4, borderMode=border)

    def _blurred(self, frame: np.ndarray, index: int) -> np.ndarray:
        """Blur a frame by what its camera moves in the middle of the picture while the shutter is open."""
        middle = np.array([[[(self.size[1] - 1) / 2, (self.size[0] - 1) / 2]]])
        ends = [cv2.perspectiveTransform(middle, self.camera(i))[0, 0] for i in (max(0, index - 1), index)]
        way = self._hand.shutter * (ends[1] - ends[0])
        side = 2 * int(np.ceil(np.abs(way).max() / 2)) + 3
        kernel = np.zeros((side, side), np.float32)
        for share in np.linspace(-0.5, 0.5, 33):
            x, y = share * way + side // 2
            for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = abs(1 - column - x % 1) * abs(1 - row - y % 1)
                kernel[int(y) + row, int(x) + column] += weight / 33
        return cv2.filter2D(frame, -1, kernel, borderType=cv2.BORDER_REFLECT)

    def _expose(self, picture: np.ndarray, gain: np.ndarray, *, seed: int) -> np.ndarray:
        """Give a picture of code values another exposure, in linear light, then noise and the losses of a codec."""
        linear = (np.clip(picture, 0, 255) / np.float32(255)) ** np.float32(2.2) * gain.astype(np.float32)
        picture = 255 * np.clip(linear, 0, 1) ** np.float32(1 / 2.2)
        rng = np.random.default_rng((self._number, seed + 1))
        picture += self._hand.noise * rng.standard_normal(picture.shape, np.float32)
        pixels = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self._hand.quality])[1]
        return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def _waves(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Wander smoothly within -1..1: the amplitude of each wave falls with its frequency."""
    frequency = np.exp(rng.uniform(np.log(_SLOWEST), np.log(_FASTEST), _WAVES))
    phase = rng.uniform(0, 2 * np.pi, _WAVES)
    at = np.arange(max(frames, _WHOLE))[:, None]
    way = (np.sin(2 * np.pi * frequency * at + phase) / frequency**0.8).sum(axis=1)
    return (way / np.abs(way).max())[:frames]
