"""Training pairs, made as they are needed: subjects over a room, and a plate of the room taken another time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from bgmv2.training import augment
from bgmv2.training.data import Material


class Pair(NamedTuple):
    """A batch to train on; RGB, 0..1.

    Args:
        src: ``(B, 3, H, W)`` frames.
        bgr: ``(B, 3, H, W)`` plates.
        pha: ``(B, 1, H, W)`` true alpha.
        fgr: ``(B, 3, H, W)`` true foreground, straight; only where `pha` is above 0.
    """

    src: torch.Tensor
    bgr: torch.Tensor
    pha: torch.Tensor
    fgr: torch.Tensor


@dataclass(frozen=True)
class ComposeConfig:
    """How pairs are made; probabilities unless said otherwise.

    Args:
        empty: nobody in front of the room.
        objects: a picture gets things of any shape and texture, and half of those nothing else: the network must
            learn what differs from the plate, not what a person looks like.
        group: a person has company, one after another.
        furniture: a person or thing stands in the room already when the plate is taken, and so is background.
        shadow: the subject casts a shadow on the room.
        noise: largest standard deviation on frame and plate, 0..1.
        exposure: strength of the plate's change of exposure and colours, after `bgmv2.plate.photometric` has done its
            best.
        shift: standard deviation of the plate's error of position, as a share of the height.
        turn: the same of its direction, in degrees.
        far_shift: some plates are off by up to 1 % and 1 degree (Lin et al. 2021); this many.
    """

    empty: float = 0.05
    objects: float = 0.4
    group: float = 0.3
    furniture: float = 0.25
    shadow: float = 0.3
    noise: float = 0.04
    exposure: float = 0.15
    shift: float = 0.002
    turn: float = 0.1
    far_shift: float = 0.1


class Composer:
    """Makes pairs from a split's material.

    Args:
        material: cut-outs and rooms, on the device on which pairs are made.
        config: how they are made.
        seed: one seed gives one sequence of pairs.
    """

    def __init__(self, material: Material, config: ComposeConfig, *, seed: int):
        self.material = material
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.device = material.rooms[0].device

    def batch(self, count: int, height: int, width: int) -> Pair:
        """Make the next pairs.

        Args:
            count: pictures in the batch.
            height: of the pictures, in pixels.
            width: of the pictures, in pixels.
        """
        layers = [self._scene(height, width) for _ in range(count)]
        room = torch.stack([room for room, _ in layers])
        subject = torch.stack([subject for _, subject in layers])
        draw = augment.Draw(count, self.generator, self.device)
        config = self.config

        subject = augment.blur(subject, draw.chance(0.25) * draw.uniform(0, height / 150))
        pha = subject[:, 3:].clamp(0, 1)
        fgr = (subject[:, :3] / pha.clamp(min=1e-3)).clamp(0, 1)
        fgr = augment.sharpen(augment.color(fgr, draw, strength=0.5), draw.chance(0.2) * draw.uniform(0, 1.5))
        room = augment.color(room, draw, strength=0.5)

        src = pha * fgr + (1 - pha) * self._shade(room, pha, draw)
        away = draw.chance(config.far_shift)
        shift = draw.normal(config.shift * height, channels=2) + away * draw.uniform(-0.01, 0.01, channels=2) * height
        angle = draw.normal(math.radians(config.turn)) + away * draw.uniform(-1, 1) * math.radians(1)
        bgr = augment.move(room, shift, angle)
        bgr = augment.color(bgr, draw, strength=config.exposure)
        src, bgr = (self._photograph(x, draw) for x in (src, bgr))
        return Pair(src, bgr, pha, fgr)

    def _photograph(self, rgb: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """Focus and noise of one exposure."""
        rgb = augment.blur(rgb, draw.chance(0.3) * draw.uniform(0.3, 1.0))
        return augment.noise(rgb, draw, self.config.noise)

    def _shade(self, room: torch.Tensor, pha: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """Cast the subject's shadow: alpha, moved and blurred, takes up to half of the light.

        Source: Lin et al. 2021 subtract up to 0.3 of alpha, blurred by 20 to 40 pixels of 512.
        """
        height = room.shape[2]
        shift = draw.uniform(-0.15, 0.15, channels=2) * height
        shadow = F.avg_pool2d(augment.move(pha, shift, draw.normal(0.1)), 4, ceil_mode=True)
        shadow = augment.blur(shadow, draw.uniform(0.02, 0.08) * height / 4)
        shadow = F.interpolate(shadow, size=room.shape[2:], mode="bilinear", align_corners=False)
        return room * (1 - draw.chance(self.config.shadow) * draw.uniform(0, 0.5) * shadow)

    def _scene(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """One room ``(3, H, W)`` and what stands before it, premultiplied ``(4, H, W)``."""
        room = self._room(height, width)
        if self._uniform() < self.config.furniture:
            piece = self._person(height, width) if self._uniform() < 0.7 else self._thing(height, width)
            room = piece[:3] + (1 - piece[3:]) * room

        subject = torch.zeros(4, height, width, device=self.device)
        if self._uniform() < self.config.empty:
            return room, subject
        things = self._uniform() < self.config.objects
        if not things or self._uniform() < 0.5:
            subject = self._person(height, width)
            while self._uniform() < self.config.group:
                subject = _over(self._person(height, width), subject)
        if things:
            subject = _over(self._thing(height, width), subject)
            while self._uniform() < self.config.group:
                subject = _over(self._thing(height, width), subject)
        return room, subject

    def _room(self, height: int, width: int) -> torch.Tensor:
        """A piece of a room, mirrored half of the time, ``(3, H, W)``."""
        picture = self._pick(self.material.rooms)
        zoom = max(height / picture.shape[1], width / picture.shape[2]) * self._uniform(1.0, 1.8)
        h, w = int(height / zoom), int(width / zoom)
        top, left = (int(self._uniform(0, free + 1)) for free in (picture.shape[1] - h, picture.shape[2] - w))
        piece = picture[None, :, top : top + h, left : left + w].float() / 255
        if self._uniform() < 0.5:
            piece = piece.flip(3)
        return F.interpolate(piece, size=[height, width], mode="bilinear", antialias=True, align_corners=False)[0]

    def _person(self, height: int, width: int) -> torch.Tensor:
        """A person from head to foot, or nearer: cut by the lower border."""
        cutout = self._pick(self.material.cutouts)
        if self._uniform() < 0.45:
            size = self._uniform(0.4, 1.1)
            top = self._uniform(-0.1, max(0.0, 1.05 - size))
        else:
            size = self._uniform(1.1, 3.2)
            top = self._uniform(-0.05, 0.35)
        zoom = size * height / cutout.shape[1]
        center = (self._uniform(0.05, 0.95) * width, (top + size / 2) * height)
        return self._place(cutout, height, width, zoom=zoom, angle=self._normal(math.radians(4)), center=center)

    def _thing(self, height: int, width: int) -> torch.Tensor:
        """An object of any outline, with a hole at times, bearing a piece of a room; premultiplied ``(4, H, W)``."""
        kind = self._uniform()
        texture = self._texture(height, width)
        ys = torch.arange(height, device=self.device).view(-1, 1) + 0.5
        xs = torch.arange(width, device=self.device).view(1, -1) + 0.5
        size = height * math.exp(self._uniform(math.log(0.06), math.log(0.5)))
        angle = self._uniform(0, math.tau)
        dx, dy = xs - self._uniform(0, 1) * width, ys - self._uniform(0, 1) * height
        u = (math.cos(angle) * dx + math.sin(angle) * dy) / size
        v = (math.cos(angle) * dy - math.sin(angle) * dx) / (size * math.exp(self._uniform(-1.6, 0)))
        if kind < 0.35:  # between a box, an ellipse and a star
            power = math.exp(self._uniform(-0.5, 2))
            distance = (u.abs() ** power + v.abs() ** power) ** (1 / power)
        else:  # a wavy blob
            phi = torch.atan2(v, u)
            reach = torch.ones_like(phi)
            for k in range(1, 8):
                reach = reach + self._normal(0.5 / k) * torch.cos(k * phi + self._uniform(0, math.tau))
            distance = torch.hypot(u, v) / reach.clamp(min=0.15)
        softness = max(1.0, size * 0.02) * math.exp(self._uniform(-1, 1.5))
        alpha = ((1 - distance) * size / softness + 0.5).clamp(0, 1)
        if kind > 0.7:  # a ring
            hole = self._uniform(0.4, 0.9)
            alpha = alpha * ((distance - hole) * size / softness + 0.5).clamp(0, 1)
        return torch.cat([texture * alpha, alpha[None]])

    def _texture(self, height: int, width: int) -> torch.Tensor:
        """``(3, H, W)`` from a room, seen close at times, and now and then almost of one colour."""
        texture = self._room(height, width)
        flat = torch.rand(3, 1, 1, generator=self.generator).to(self.device)
        return torch.lerp(texture, flat, 1 - self._uniform() ** 0.5 if self._uniform() < 0.6 else 0.0)

    def _place(
        self,
        cutout: torch.Tensor,
        height: int,
        width: int,
        *,
        zoom: float,
        angle: float,
        center: tuple[float, float],
    ) -> torch.Tensor:
        """Lay a cut-out on the canvas, mirrored half of the time, its middle at `center`; premultiplied ``(4, H, W)``.

        Args:
            cutout: ``(4, h, w)`` uint8, straight.
            height: of the canvas, in pixels.
            width: of the canvas, in pixels.
            zoom: canvas pixels per pixel of the cut-out.
            angle: radians.
            center: x and y on the canvas, in pixels.
        """
        x = cutout[None].float() / 255
        x = torch.cat([x[:, :3] * x[:, 3:], x[:, 3:]], dim=1)
        if self._uniform() < 0.5:
            x = x.flip(3)
        if zoom < 1:  # reduced first, so that fine texture does not alias
            size = [max(1, round(x.shape[2] * zoom)), max(1, round(x.shape[3] * zoom))]
            x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
            zoom = 1.0
        h, w = x.shape[2] * zoom, x.shape[3] * zoom
        cos, sin = math.cos(angle), math.sin(angle)
        cx, cy = center[0] - width / 2, center[1] - height / 2
        theta = x.new_tensor(
            [
                [cos * width / w, -sin * height / w, 2 * (-cos * cx + sin * cy) / w],
                [sin * width / h, cos * height / h, 2 * (-sin * cx - cos * cy) / h],
            ]
        )[None]
        grid = F.affine_grid(theta, [1, 4, height, width], align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0]

    def _pick(self, items: list[torch.Tensor]) -> torch.Tensor:
        return items[int(torch.randint(len(items), (), generator=self.generator))]

    def _uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _normal(self, sigma: float) -> float:
        return sigma * float(torch.randn((), generator=self.generator))


def _over(front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    return front + (1 - front[3:]) * back
