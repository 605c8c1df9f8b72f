"""Training pairs, made as they are needed: subjects in a room, filmed, and a plate of the room taken another time.

A pair is made as a camera makes it: the scene is put together from clean layers, light falls from one onto the other,
and only then frame and plate are each exposed, with one lens, one noise and one compression for the whole picture.
Source of that order: Li et al., *End-to-end Animal Image Matting*, 2020 (RSSN).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from bgmv2.training import augment
from bgmv2.training.data import Material

HANDHELD_MARGIN = 0.08  # what the handheld camera sees beyond the plate, as a share of the height, on each side


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
        part: the picture is a part of one up to 2.5 times as large, where an outline runs: outlines are then as soft as
            in a large picture, while a whole scene in few pixels has hard ones.
        empty: nobody in front of the room.
        objects: a picture gets things, and half of those nothing else: the network must learn what differs from the
            plate, not what a person looks like.
        drawn: of the things, these are drawn outlines of any texture; the others are pictures of things.
        group: a person or thing has company, one after another.
        furniture: a person or thing stands in the room already when the plate is taken, and so is background.
        nudge: of the furniture, this is moved by up to 1 % of the height between plate and frame.
        pierced: holes are cut into the subject, through which the room is seen: a gap between arm and body is told by
            what is in it, not by what people look like.
        dark: parts of the subject are nearly black, as hair and suits are: a shadow darkens less.
        pale: parts of the subject are nearly white, as fur and shirts are, and so is the room: paving in the sun.
        same_color: the subject takes on the colours of what is behind it.
        spill: the room's light falls on the subject's rim.
        shadow: the subject casts a shadow on the room.
        contact: it darkens what it touches.
        reflection: the floor mirrors it.
        motion: it moves during the exposure.
        noise: largest standard deviation on frame and plate, 0..1.
        compression: the camera's files are lossy.
        exposure: strength of the plate's change of exposure and colours, after `bgmv2.plate.photometric` has done its
            best.
        drift: strength of the change of exposure and colours from the first frame of a `clip` to its last.
        vignette: the light falls otherwise on the plate than on the frame, by up to a seventh.
        still: the camera stands on a tripod and its exposure is locked: the plate is neither moved nor graded.
        shift: standard deviation of the plate's error of position, as a share of the height.
        turn: the same of its direction, in degrees.
        bend: the same of each corner besides, as a share of the height.
        far_shift: some plates are off by up to 1 % and 1 degree (Lin et al. 2021); this many.
        ripple: some areas move by up to 1 % of the height between plate and frame, as leaves and curtains do.
        unseen: the plate never saw an area as large as a person, and something was painted there.
        handheld: 1 films without a tripod: the frame is turned, shifted and tilted as if nothing had been aligned.
    """

    part: float = 0.5
    empty: float = 0.05
    objects: float = 0.35
    drawn: float = 0.5
    group: float = 0.25
    furniture: float = 0.25
    nudge: float = 0.2
    pierced: float = 0.0
    dark: float = 0.0
    pale: float = 0.0
    same_color: float = 0.2
    spill: float = 0.4
    shadow: float = 0.4
    contact: float = 0.3
    reflection: float = 0.1
    motion: float = 0.1
    noise: float = 0.05
    compression: float = 0.3
    exposure: float = 0.15
    drift: float = 0.0
    vignette: float = 0.2
    still: float = 0.35
    shift: float = 0.002
    turn: float = 0.1
    bend: float = 0.001
    far_shift: float = 0.05
    ripple: float = 0.15
    unseen: float = 0.04
    handheld: float = 0.0


class Scene(NamedTuple):
    """What is before the camera.

    Args:
        room: ``(B, 3, H, W)`` as it is when the frame is taken.
        empty: ``(B, 3, H, W)`` as it was when the plate was taken.
        subject: ``(B, 4, H, W)``, premultiplied.
    """

    room: torch.Tensor
    empty: torch.Tensor
    subject: torch.Tensor


class Composer:
    """Makes pairs from a split's material.

    Args:
        material: subjects and rooms, on the device on which pairs are made.
        config: how they are made.
        seed: one seed gives one sequence of pairs on one device.
    """

    def __init__(self, material: Material, config: ComposeConfig, *, seed: int):
        self.material = material
        self.config = config
        self.generator = torch.Generator().manual_seed(seed)
        self.device = material.rooms[0].device

    def batch(self, count: int, height: int, width: int) -> Pair:
        """Make the next pairs, each of a scene of its own.

        Args:
            count: pictures in the batch.
            height: of the pictures, in pixels.
            width: of the pictures, in pixels.
        """
        scenes = [self._part(*self._canvas(height, width)) for _ in range(count)]
        draw = augment.Draw(count, self.generator, self.device)
        camera = self._far(draw, height, width) * self.config.handheld
        scene = Scene(*map(torch.stack, zip(*scenes, strict=True)))
        return self._film(scene, draw, camera, (height, width))

    def clip(self, count: int, height: int, width: int) -> Pair:
        """Make one scene in which the subject moves smoothly, and with it a handheld camera; one plate for all frames.

        Args:
            count: frames of the clip.
            height: of the frames, in pixels.
            width: of the frames, in pixels.
        """
        scene = self._scene(*self._canvas(height, width))
        draw = augment.Draw(count, self.generator, self.device, shared=True)
        time = torch.linspace(0, 1, count, device=self.device).view(-1, 1, 1)
        room, empty, subject = (x.expand(count, -1, -1, -1) for x in scene)
        subject = augment.perspective(subject, time * self._far(draw, *subject.shape[2:]), outside="zeros")
        camera = time * self._far(draw, height, width) * self.config.handheld
        drift = self.config.drift * time.unsqueeze(-1) if self.config.drift > 0 else None
        pair = self._film(Scene(room, empty, subject), draw, camera, (height, width), drift=drift)
        return pair._replace(bgr=pair.bgr[:1].expand_as(pair.bgr))

    def _film(
        self,
        scene: Scene,
        draw: augment.Draw,
        camera: torch.Tensor,
        size: tuple[int, int],
        *,
        drift: torch.Tensor | None = None,
    ) -> Pair:
        """Light, compose and expose a batch of scenes.

        Args:
            scene: larger than the pictures by the handheld camera's margin.
            draw: the batch's random numbers.
            camera: ``(B, 4, 2)`` offsets in pixels: where the camera's movement takes the corners of the frame.
            size: height and width of the pictures.
            drift: strength of what the camera's exposure has changed by since the clip began, ``(B, 1, 1, 1)``; None
                changes nothing.
        """
        config = self.config
        subject = augment.blur(scene.subject, draw.chance(0.25) * draw.uniform(0, size[0] / 200))
        if config.motion > 0:
            angle, direction, moving = draw.uniform(0, 360), draw.uniform(-1, 1), draw.chance(config.motion)
            if moving.any():
                streaks = augment.moved(subject, angle, direction, 2 * max(1, size[0] // 60) + 1)
                subject = torch.lerp(subject, streaks, moving)
        pha = subject[:, 3:].clamp(0, 1)
        fgr = (subject[:, :3] / pha.clamp(min=1e-3)).clamp(0, 1)

        light = augment.Grade(draw, strength=0.5)
        room, empty = light(scene.room), light(scene.empty)
        fgr = augment.Grade(draw, strength=0.5)(fgr)
        if config.dark > 0:
            parts = augment.blobs(draw, fgr.shape[2], fgr.shape[3], draw.uniform(0.3, 1))
            fgr = fgr * (1 - draw.chance(config.dark) * draw.uniform(0.5, 0.95) * parts)
        if config.pale > 0:
            pale = draw.chance(config.pale)
            parts = augment.blobs(draw, fgr.shape[2], fgr.shape[3], draw.uniform(0.3, 1))
            fgr = 1 - (1 - fgr) * (1 - pale * draw.uniform(0.4, 0.95) * parts)
            left = 1 - pale * draw.uniform(0.3, 0.9)
            room, empty = 1 - (1 - room) * left, 1 - (1 - empty) * left
        fgr = self._join(fgr, pha, room, draw)
        room = self._shade(self._mirror(room, fgr, pha, draw), pha, draw)
        if drift is not None:
            drifted = augment.Grade(draw, strength=drift)
            fgr, room = drifted(fgr), drifted(room)
        src = pha * fgr + (1 - pha) * room
        if config.handheld > 0:
            seen = augment.perspective(torch.cat([src, pha, fgr], dim=1), camera)
            src, pha, fgr, empty = (_middle(x, size) for x in (*seen.split([3, 1, 3], dim=1), empty))

        bgr = self._plate(empty, draw)
        expose = augment.Camera(draw, noise=config.noise, compression=config.compression)
        return Pair(expose(src), expose(bgr), pha, fgr)

    def _join(self, fgr: torch.Tensor, pha: torch.Tensor, room: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """Bring the subject's colours towards those of its room."""
        weight = pha.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        mean = (fgr * pha).sum(dim=(2, 3), keepdim=True) / weight
        toward = draw.uniform(0, 0.5)
        fgr = fgr + toward * (room.mean(dim=(2, 3), keepdim=True) - mean)

        height = room.shape[2]
        behind = augment.wide_blur(room, draw.uniform(0.02, 0.1) * height)
        own, cover = augment.wide_blur(torch.cat([fgr * pha, pha], dim=1), draw.uniform(0.02, 0.1) * height).split(
            [3, 1], 1
        )
        own = own / cover.clamp(min=0.05)
        fgr = fgr + draw.chance(self.config.same_color) * draw.uniform(0.5, 0.9) * (behind - own)

        rim = (1 - augment.wide_blur(pha, draw.uniform(0.005, 0.03) * height)).clamp(0, 1)
        fgr = torch.lerp(fgr, behind, draw.chance(self.config.spill) * draw.uniform(0, 0.6) * rim)
        return fgr.clamp(0, 1)

    def _mirror(self, room: torch.Tensor, fgr: torch.Tensor, pha: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """Lay the subject upside down below its feet, dim and soft."""
        b, _, h, _ = pha.shape
        softness = draw.uniform(0.004, 0.02) * h
        strength = draw.chance(self.config.reflection) * draw.uniform(0.05, 0.35)
        if not strength.any():
            return room
        below = pha.amax(dim=(1, 3)).gt(0.5).long() * torch.arange(1, h + 1, device=pha.device)
        feet = below.amax(dim=1).view(b, 1, 1, 1).float()
        theta = torch.eye(2, 3, device=pha.device).repeat(b, 1, 1)
        theta[:, 1, 1] = -1
        theta[:, 1, 2] = (4 * feet.flatten() / h) - 2
        grid = F.affine_grid(theta, [b, 4, *pha.shape[2:]], align_corners=False)
        upside = F.grid_sample(torch.cat([fgr * pha, pha], dim=1), grid, align_corners=False)
        upside = augment.wide_blur(upside, softness)
        floor = torch.arange(h, device=pha.device).view(1, 1, h, 1) >= feet - 1
        return room + strength * floor * (upside[:, :3] - upside[:, 3:] * room)

    def _shade(self, room: torch.Tensor, pha: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """Let the subject take light from the room: a cast shadow, soft or hard, and a dark seam where it touches.

        Source: Lin et al. 2021 subtract up to 0.3 of alpha, blurred by 20 to 40 pixels of 512; here more and harder.
        """
        _, _, h, w = room.shape
        offsets = augment.corners(
            h,
            w,
            shift=draw.uniform(-0.2, 0.2, 1, 2) * h,
            angle=draw.normal(0.05, 1, 1),
            bend=draw.normal(0.08 * h, 4, 2),
        )
        softness = draw.uniform(0, 1) ** 2 * 0.08 * h + 1
        strength = draw.chance(self.config.shadow) * draw.uniform(0.05, 0.6)
        if strength.any():
            room = room * (1 - strength * augment.wide_blur(augment.perspective(pha, offsets), softness))
        down = max(1, round(0.015 * h))
        softness = draw.uniform(0.006, 0.03) * h
        strength = draw.chance(self.config.contact) * draw.uniform(0.1, 0.6)
        if strength.any():
            room = room * (1 - strength * augment.wide_blur(F.pad(pha, [0, 0, down, -down]), softness))
        return room

    def _plate(self, empty: torch.Tensor, draw: augment.Draw) -> torch.Tensor:
        """The room as another exposure saw it, aligned and matched as well as `bgmv2.plate` can."""
        config = self.config
        _, _, h, w = empty.shape
        leaves = draw.chance(config.ripple) * augment.blobs(draw, h, w, draw.uniform(0.1, 0.5))
        bgr = augment.ripple(empty, draw, leaves * draw.uniform(0.1, 1) * 0.008 * h)
        away = draw.chance(config.far_shift).view(-1, 1, 1)
        free = 1 - draw.chance(config.still)
        offsets = augment.corners(
            h,
            w,
            shift=draw.normal(config.shift * h, 1, 2) + away * draw.uniform(-0.01, 0.01, 1, 2) * h,
            angle=draw.normal(math.radians(config.turn), 1, 1) + away * draw.uniform(-1, 1, 1, 1) * math.radians(1),
            bend=draw.normal(config.bend * h, 4, 2),
        )
        bgr = augment.perspective(bgr, offsets * free.view(-1, 1, 1))
        bgr = augment.Grade(draw, strength=config.exposure * free)(bgr)
        uneven = augment.wide_blur(augment.blobs(draw, h, w, draw.uniform(0.2, 0.8)), draw.uniform(0.1, 0.2) * h)
        bgr = bgr * (1 + free * draw.chance(config.vignette) * draw.uniform(-0.14, 0.14) * uneven)
        painted = augment.wide_blur(bgr, draw.uniform(0.05, 0.2) * h)
        hole = draw.chance(config.unseen) * augment.blobs(draw, h, w, draw.uniform(0.03, 0.15))
        return torch.lerp(bgr, painted, hole).clamp(0, 1)

    def _far(self, draw: augment.Draw, height: int, width: int) -> torch.Tensor:
        """The movement of a camera in the hand, or of somebody who sways: up to some percent and degrees."""
        return augment.corners(
            height,
            width,
            shift=draw.uniform(-0.04, 0.04, 1, 2) * height,
            angle=draw.uniform(-1, 1, 1, 1) * math.radians(1.5),
            bend=draw.normal(0.006 * height, 4, 2),
        )

    def _canvas(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the scene, of which a handheld camera sees more than the plate."""
        margin = 2 * round(HANDHELD_MARGIN * height) if self.config.handheld > 0 else 0
        return height + margin, width + margin

    def _part(self, height: int, width: int) -> Scene:
        """A scene, or a part of a larger one."""
        if self._uniform() >= self.config.part:
            return self._scene(height, width)
        zoom = self._uniform(1, 2.5)
        scene = self._scene(round(zoom * height), round(zoom * width))
        outline = ((scene.subject[3] > 0.05) & (scene.subject[3] < 0.95)).nonzero()
        middle = self._pick(outline).tolist() if len(outline) > 0 else [zoom * height / 2, zoom * width / 2]
        corner = []
        for at, want, have in zip(middle, (height, width), scene.room.shape[1:], strict=True):
            first = int(at - want * self._uniform(0.2, 0.8))
            corner.append(min(max(first, 0), have - want))
        top, left = corner
        return Scene(*(x[:, top : top + height, left : left + width] for x in scene))

    def _scene(self, height: int, width: int) -> Scene:
        """One scene, without the batch dimension."""
        room = empty = self._room(height, width)
        if self._uniform() < self.config.furniture:
            piece = self._person(height, width) if self._uniform() < 0.6 else self._thing(height, width)
            empty = _over(piece, room)
            reach = round(0.01 * height) if self._uniform() < self.config.nudge else 0
            dx, dy = (int(self._uniform(-reach, reach + 1)) for _ in range(2))
            room = _over(F.pad(piece, [dx, -dx, dy, -dy]), room)
        return Scene(room, empty, self._subject(height, width))

    def _subject(self, height: int, width: int) -> torch.Tensor:
        """Who and what is on the frame but not on the plate, ``(4, H, W)`` premultiplied."""
        subject = torch.zeros(4, height, width, device=self.device)
        if self._uniform() < self.config.empty:
            return subject
        things = self._uniform() < self.config.objects
        if not things or self._uniform() < 0.5:
            subject = self._person(height, width)
            while self._uniform() < self.config.group:
                subject = _over(self._person(height, width), subject)
        if things:
            subject = _over(self._thing(height, width), subject)
            while self._uniform() < self.config.group:
                subject = _over(self._thing(height, width), subject)
        if self.config.pierced > 0 and self._uniform() < self.config.pierced:
            subject = self._pierced(subject)
        return subject

    def _pierced(self, subject: torch.Tensor) -> torch.Tensor:
        """Cut one to four holes into a premultiplied ``(4, H, W)``."""
        _, height, width = subject.shape
        inside = (subject[3] > 0.5).nonzero()
        for _ in range(1 + int(self._uniform(0, 4)) if len(inside) > 0 else 0):
            y, x = self._pick(inside).tolist()
            size = height * math.exp(self._uniform(math.log(0.02), math.log(0.3)))
            subject = subject * (1 - self._outline(height, width, kind=self._uniform(), size=size, center=(x, y)))
        return subject

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
        cutout = self._pick(self.material.people)
        if _is_cut(cutout):
            size = self._uniform(0.5, 1.8)
            top = self._uniform(max(-0.05, 1 - size), 0.35 if size > 0.65 else 1 - size + 0.1)
        elif self._uniform() < 0.45:
            size = self._uniform(0.4, 1.1)
            top = self._uniform(-0.1, max(0.0, 1.05 - size))
        else:
            size = self._uniform(1.1, 3.2)
            top = self._uniform(-0.05, 0.35)
        zoom = size * height / cutout.shape[1]
        center = (self._uniform(0.05, 0.95) * width, (top + size / 2) * height)
        return self._place(cutout, height, width, zoom=zoom, angle=self._normal(math.radians(4)), center=center)

    def _thing(self, height: int, width: int) -> torch.Tensor:
        """An animal or object, a picture of one or a drawn one, anywhere."""
        if not self.material.things or self._uniform() < self.config.drawn:
            return self._drawn_thing(height, width)
        cutout = self._pick(self.material.things)
        size = height * math.exp(self._uniform(math.log(0.15), math.log(1.2)))
        center = (self._uniform(0, 1) * width, self._uniform(0.1, 1) * height)
        angle = self._normal(math.radians(15))
        return self._place(cutout, height, width, zoom=size / max(cutout.shape[1:]), angle=angle, center=center)

    def _drawn_thing(self, height: int, width: int) -> torch.Tensor:
        """An object of any outline, with a hole at times, bearing a piece of a room; premultiplied ``(4, H, W)``."""
        kind = self._uniform()
        texture = self._texture(height, width)
        size = height * math.exp(self._uniform(math.log(0.06), math.log(0.5)))
        alpha = self._outline(height, width, kind=kind, size=size)
        return torch.cat([texture * alpha, alpha[None]])

    def _outline(
        self, height: int, width: int, *, kind: float, size: float, center: tuple[float, float] | None = None
    ) -> torch.Tensor:
        """Alpha of a drawn outline, ``(H, W)``.

        Args:
            height: of the canvas, in pixels.
            width: of the canvas, in pixels.
            kind: 0..1; boxes, ellipses and stars to .35, then wavy blobs, and from .7 on rings.
            size: of its half, in pixels.
            center: x and y on the canvas, in pixels; anywhere, if not given.
        """
        ys = torch.arange(height, device=self.device).view(-1, 1) + 0.5
        xs = torch.arange(width, device=self.device).view(1, -1) + 0.5
        angle = self._uniform(0, math.tau)
        x, y = center or (self._uniform(0, 1) * width, self._uniform(0, 1) * height)
        dx, dy = xs - x, ys - y
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
        return alpha

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

    def _pick(self, items: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
        return items[int(torch.randint(len(items), (), generator=self.generator))]

    def _uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator))

    def _normal(self, sigma: float) -> float:
        return sigma * float(torch.randn((), generator=self.generator))


def _over(front: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
    """Lay a premultiplied ``(4, H, W)`` over a picture or over another of its kind."""
    return front[: len(back)] + (1 - front[3:]) * back


def _middle(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The middle part of pictures, of this height and width."""
    top, left = ((have - want) // 2 for have, want in zip(x.shape[2:], size, strict=True))
    return x[:, :, top : top + size[0], left : left + size[1]]


def _is_cut(cutout: torch.Tensor) -> bool:
    """Whether the picture ended before the subject did: it then has to reach below the frame."""
    return bool(cutout[3, -1].float().mean() > 0.15 * 255)
