"""Hair of people and fur of animals, strand by strand.

A few hundred guides grow step by step: stiff at first, then combed, pulled down and blown aside, and pushed out of the
body where they meet it. Every strand follows its three nearest guides and adds its own wave, frizz and thinness.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy  # noqa: F401  mathutils comes with it
import numpy as np
from mathutils.bvhtree import BVHTree

from .bodies import Body
from .shapes import Strands, normals, scatter, unit

# Front hairline to nape: lowest height of hair for each depth, in head units (see HeadMap).
HAIRLINE = np.array([[-0.3, 0.15, 0.5, 0.8, 0.95, 1.4], [0.62, 0.5, 0.2, 0.1, -0.45, -0.6]])
FACE_BONES = (
    "head",
    "jaw",
    "special",
    "oris",
    "tongue",
    "levator",
    "eye",
    "orbicularis",
    "temporalis",
    "oculi",
    "risorius",
)


@dataclass(frozen=True)
class Style:
    """How a head of hair falls.

    Args:
        length: metres, least and most over heads.
        count: strands of a head that fills the picture.
        stiffness: of a strand at its root, against comb and weight; it fades towards the tip.
        weight: pull downwards.
        comb: direction on the upright head, in the head's frame; x means to the strand's own side.
        wave: width of curls in metres.
        turns: of a curl in a metre.
        frizz: wander of the single strand in metres.
        points: of each strand.
    """

    length: tuple[float, float]
    count: int = 6000
    stiffness: float = 0.8
    weight: float = 0.35
    comb: tuple[float, float, float] = (0.25, 0.5, 0.0)
    wave: float = 0.0
    turns: float = 0.0
    frizz: float = 0.004
    points: int = 12


STYLES = {
    "buzz": Style((0.006, 0.018), 7000, 3, 0, (0, 0, 0), frizz=0.001, points=4),
    "short": Style((0.035, 0.08), 6000, 0.9, 0.12, (0.2, 0.7, 0.0), frizz=0.005, points=8),
    "fringe": Style((0.06, 0.12), 6000, 0.5, 0.5, (0.15, -0.35, 0.0), frizz=0.004, points=10),
    "bob": Style((0.18, 0.28), 6500, 0.5, 0.5, (0.6, 0.3, 0.0), frizz=0.006, points=12),
    "long": Style((0.35, 0.6), 5500, 0.5, 0.5, (0.6, 0.5, 0.0), frizz=0.008, points=12),
    "wavy": Style((0.25, 0.5), 6000, 0.6, 0.45, (0.6, 0.5, 0.0), wave=0.008, turns=12, frizz=0.012, points=18),
    "curly": Style((0.15, 0.4), 4000, 0.9, 0.3, (0.5, 0.4, 0.0), wave=0.011, turns=26, frizz=0.016, points=24),
    "afro": Style((0.06, 0.13), 7000, 4, 0.02, (0, 0.1, 0.0), wave=0.006, turns=60, frizz=0.01, points=14),
    "ponytail": Style((0.3, 0.5), 5000, frizz=0.006, points=18),
    "bun": Style((0.15, 0.2), 5000, frizz=0.004, points=12),
}


class HeadMap:
    """The upright head in units of the height from the eyes to the crown; the middle of the eyes is the origin."""

    def __init__(self, body: Body):
        self.body = body
        self.eyes = (body.rest_joint("eye.L") + body.rest_joint("eye.R")) / 2
        self.is_head = body.rig.moved_by(FACE_BONES)
        self.unit = float(body.rest.vertices[self.is_head, 2].max() - self.eyes[2])

    def of_rest(self, points: np.ndarray) -> np.ndarray:
        """Points before posing in head units."""
        return (points - self.eyes) / self.unit

    def of_posed(self, points: np.ndarray) -> np.ndarray:
        """Posed points in head units."""
        return self.of_rest(self.body.to_head(points))

    def to_posed(self, points: np.ndarray) -> np.ndarray:
        """Head units to the pose."""
        return self.body.from_head(points * self.unit + self.eyes)

    def scalp(self) -> np.ndarray:
        """``(V,)`` bool: where hair grows."""
        x, y, z = self.of_rest(self.body.rest.vertices).T
        ear = (np.abs(x) > 0.69) & (z < 0.22)
        near = self.is_head | self.body.rig.moved_by(("neck",))
        return near & (z > np.interp(y, *HAIRLINE)) & ~ear & (y > -0.5)

    def beard(self, kind: str) -> np.ndarray:
        """``(V,)`` bool: where a beard or moustache grows."""
        x, y, z = self.of_rest(self.body.rest.vertices).T
        outside = normals(self.body.rest)[:, 1] < 0.75
        lips = (np.abs(x) < 0.26) & (np.abs(z + 0.62) < 0.1)
        lip = (np.abs(x) < 0.33) & (z > -0.57) & (z < -0.38) & (y < 0.0)
        if kind == "moustache":
            return self.is_head & outside & lip
        jaw = (z < -0.66) | ((np.abs(x) > 0.36 + 0.3 * (z + 0.6).clip(0)) & (z < -0.25)) | lip
        return self.is_head & outside & jaw & ~lips & (y < 0.62) & (np.abs(x) < 0.72) & (z > -1.2)


def strand_colours(count: int, colour: np.ndarray, rng: np.random.Generator, *, tips: bool = False) -> np.ndarray:
    """Every strand its own shade, some bleached; ``(count, 3)``."""
    shade = np.exp(rng.normal(0, 0.28, (count, 1))) * np.exp(rng.normal(0, 0.06, (count, 3)))
    out = np.asarray(colour) * shade
    if tips:
        light = rng.random(count) < 0.35
        out[light] = out[light] * 1.8 + 0.04
    return np.clip(out, 0.002, 0.95)


def hair(
    body: Body, style_name: str, colour: np.ndarray, *, wind: float, pixel: float, rng: np.random.Generator
) -> list[Strands]:
    """The hair of a head.

    Args:
        body: who wears it.
        style_name: a key of ``STYLES``.
        colour: linear RGB.
        wind: 0 is calm, 1 blows hair sideways.
        pixel: metres that a pixel sees at the head; strands are not much thinner, because samples are few.
        rng: source of chance.
    """
    head, style = HeadMap(body), STYLES[style_name]
    tree = BVHTree.FromPolygons(body.skin.vertices.tolist(), body.skin.faces.tolist())
    count = int(style.count * np.clip(0.0014 / pixel, 0.4, 1) * rng.uniform(0.75, 1.3))
    roots, out = scatter(body.skin, count, rng, chosen=head.scalp())
    picks = rng.choice(count, min(260, count), replace=False)
    length = rng.uniform(*style.length)
    if style_name in ("ponytail", "bun"):
        guides = _gathered(head, tree, roots[picks], style, length, rng, tail=style_name == "ponytail", wind=wind)
    else:
        guides = _grown(head, tree, roots[picks], out[picks], style, length, wind, rng)
    strands = _followers(guides, roots, style, pixel, rng)
    groups = [Strands(*strands, strand_colours(count, colour, rng, tips=rng.random() < 0.25))]
    if style_name == "bun":
        groups.append(_bun(head, colour, pixel, rng))
    return groups


def beard(body: Body, kind: str, colour: np.ndarray, *, pixel: float, rng: np.random.Generator) -> Strands:
    """Beard, stubble or moustache."""
    head = HeadMap(body)
    roots, out = scatter(body.skin, 700 if kind == "moustache" else 2500, rng, chosen=head.beard(kind))
    length = {"stubble": 0.004, "moustache": 0.014, "full": rng.uniform(0.012, 0.06)}[kind]
    down = body.turn_of_head() @ np.array([0, -0.25, -1])
    return fur(roots, out, colour, rng, length=length, lay=down * 1.1, radius=0.3 * pixel, points=5)


def brows(body: Body, colour: np.ndarray, *, pixel: float, rng: np.random.Generator) -> Strands:
    """Eyebrows, without which a face looks unfinished."""
    head = HeadMap(body)
    tree = BVHTree.FromPolygons(body.skin.vertices.tolist(), body.skin.faces.tolist())
    along, side = rng.random(260), rng.choice([-1, 1], 260)
    places = np.stack([side * (0.12 + 0.36 * along), -0.3 + 0.15 * along**2, 0.2 + 0.05 * np.sin(3 * along)], 1)
    places[:, 2] += rng.normal(0, 0.02, 260)
    hits = [tree.find_nearest(tuple(p))[:2] for p in head.to_posed(places)]
    roots, out = np.array([h[0] for h in hits]), np.array([h[1] for h in hits])
    lay = np.stack([side * 1.0, 0 * along, 0.35 - 0.5 * along], 1) @ body.turn_of_head().T
    return fur(roots, out * 0.4, colour * 0.7, rng, length=0.008, lay=lay, radius=0.35 * pixel, points=4)


def fur(roots, out, colour, rng, *, length, lay, radius: float, points: int = 5, curl: float = 0.0) -> Strands:
    """Short strands that lie down in one direction.

    Args:
        roots: ``(N, 3)``.
        out: ``(N, 3)`` normals.
        colour: linear RGB, one or one for each strand.
        rng: source of chance.
        length: metres, one or ``(N,)``.
        lay: direction towards which they lie, ``(3,)`` or ``(N, 3)``; its size is the strength.
        radius: at the root, metres.
        points: of each strand.
        curl: wander of the tip as a part of the length.
    """
    count = len(roots)
    t = np.linspace(0, 1, points)[None, :, None]
    size = (np.broadcast_to(length, count) * np.exp(rng.normal(0, 0.3, count)))[:, None, None]
    lay = np.broadcast_to(lay, (count, 3)) + rng.normal(0, 0.25, (count, 3))
    path = unit(out)[:, None] * t * (1 - 0.35 * t) + lay[:, None] * t**1.6
    if curl:
        path = path + curl * np.cumsum(rng.normal(0, 1, (count, points, 3)), 1) / points * t
    radii = radius * (1 - 0.85 * np.linspace(0, 1, points))[None] * np.exp(rng.normal(0, 0.25, (count, 1)))
    tints = strand_colours(count, np.broadcast_to(colour, (count, 3)), rng)
    return Strands(roots[:, None] + path * size, radii, tints)


def _grown(head, tree, roots, out, style: Style, length: float, wind: float, rng) -> np.ndarray:
    """Guides ``(G, K, 3)`` that fall freely."""
    turn = head.body.turn_of_head()
    parting = rng.normal(0, 0.15)
    local = head.of_posed(roots)
    side = np.sign(local[:, 0] - parting)
    comb = np.stack([side * style.comb[0], np.full(len(roots), style.comb[1]), np.full(len(roots), style.comb[2])], 1)
    comb[:, 0] += rng.normal(0, 0.1, len(roots))
    lengths = length * np.exp(rng.normal(0, 0.12, len(roots)))
    if style.comb[1] < 0:  # a fringe: only what grows in front falls forward
        behind = local[:, 1] > 0.35
        comb[behind, 1] = 0.5
        lengths = np.where(~behind, np.minimum(lengths, 0.62 * head.unit), lengths)
    comb = comb @ turn.T
    blow = wind * np.array([rng.choice([-1, 1]) * 0.6, rng.uniform(0, 0.5), rng.uniform(0, 0.25)])
    steps = style.points - 1
    heading, point = out.copy(), roots + out * 0.001
    guides = [point]
    for step in range(steps):
        t = step / steps
        flutter = rng.normal(0, 0.25 * wind + 0.03, heading.shape)
        pull = (1 - t) ** 2 * comb + np.array([0, 0, -style.weight]) * (0.4 + t) * 1.6 + blow * (0.3 + t) + flutter
        heading = unit(heading * style.stiffness * (1.2 - t) + pull * 0.7)
        point = point + heading * (lengths / steps)[:, None]
        point = _off_the_face(head, _outside(tree, point, 0.004), style)
        guides.append(point)
    return np.stack(guides, 1)


def _outside(tree: BVHTree, points: np.ndarray, margin: float) -> np.ndarray:
    """Points inside the body, or nearly, come out to the margin."""
    points = points.copy()
    for i, point in enumerate(points):
        place, normal, _, distance = tree.find_nearest(tuple(point))
        offset = np.array(point) - np.array(place)
        if distance < 0.06 and offset @ np.array(normal) < margin:
            points[i] = np.array(place) + np.array(normal) * margin
    return points


def _off_the_face(head: HeadMap, points: np.ndarray, style: Style) -> np.ndarray:
    """Hair hangs beside the face, not through it; a fringe may fall to the brows."""
    local = head.of_posed(points)
    lowest = 0.2 if style.comb[1] < 0 else 0.45
    over = (local[:, 1] < 0.25) & (np.abs(local[:, 0]) < 0.62) & (local[:, 2] < lowest) & (local[:, 2] > -1.2)
    local[over, 0] = np.where(local[over, 0] < 0, -0.64, 0.64)
    return np.where(over[:, None], head.to_posed(local), points)


def _gathered(head, tree, roots, style: Style, length: float, rng, *, tail: bool, wind: float) -> np.ndarray:
    """Guides that run along the skull to a knot; a tail hangs from there."""
    knot = head.to_posed(np.array([rng.normal(0, 0.05), 1.5, rng.uniform(-0.1, 0.75)]))
    skull = head.to_posed(np.array([0, 0.55, 0.15]))
    onto = int(style.points * 0.45) if tail else style.points
    t = np.linspace(0, 1, onto)[None, :, None]
    spoke, goal = roots - skull, knot - skull
    reach = np.linalg.norm(spoke, axis=1)[:, None, None] * (1 - t) + np.linalg.norm(goal) * t
    path = skull + unit(spoke[:, None] * (1 - t) + goal * t) * reach
    flat = _outside(tree, path[:, 1:-1].reshape(-1, 3), 0.005).reshape(len(roots), onto - 2, 3)
    path = np.concatenate([path[:, :1], flat, path[:, -1:]], 1)
    if not tail:
        return path
    steps = style.points - onto
    away = head.body.turn_of_head() @ np.array([0, 0.8, 0.35])
    drift = wind * np.array([rng.choice([-1, 1]) * 0.8, 0.3, 0.3])
    fan = rng.normal(0, 0.2, (len(roots), 3))
    point, guides = path[:, -1] + rng.normal(0, 0.007, (len(roots), 3)), []
    for step in range(steps):
        heading = unit(away * (1 - step / steps) ** 3 + np.array([0, 0, -0.9]) * (0.3 + step / steps) + fan + drift)
        point = _outside(tree, point + heading * length / steps, 0.008)
        guides.append(point)
    return np.concatenate([path, np.stack(guides, 1)], 1)


def _bun(head: HeadMap, colour, pixel: float, rng) -> Strands:
    """A ball of wound strands at the back of the head."""
    centre, radius = head.to_posed(np.array([0, 1.55, rng.uniform(0.1, 0.9)])), rng.uniform(0.03, 0.045)
    count, angle = 900, np.linspace(0, 2.5, 12)
    a = unit(rng.normal(0, 1, (count, 3)))
    b = unit(np.cross(a, rng.normal(0, 1, (count, 3))))
    size = radius * rng.uniform(0.85, 1.08, (count, 1, 1)) + (rng.random((count, 1, 1)) < 0.05) * 0.012
    points = centre + size * (a[:, None] * np.cos(angle)[None, :, None] + b[:, None] * np.sin(angle)[None, :, None])
    radii = np.full((count, 12), 0.45 * pixel)
    return Strands(points, radii, strand_colours(count, colour, rng))


def _followers(guides: np.ndarray, roots: np.ndarray, style: Style, pixel: float, rng) -> tuple[np.ndarray, np.ndarray]:
    """All strands: a mix of the nearest guides and some life of their own."""
    count, points = len(roots), guides.shape[1]
    distance = np.linalg.norm(roots[:, None] - guides[None, :, 0], axis=2)
    near = np.argpartition(distance, 3, axis=1)[:, :3]
    weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-3) ** 2
    weight /= weight.sum(1, keepdims=True)
    offsets = guides - guides[:, :1]
    path = roots[:, None] + np.einsum("ng,ngkd->nkd", weight, offsets[near])
    t = np.linspace(0, 1, points)[None, :, None]
    length = np.linalg.norm(np.diff(path, axis=1), axis=2).sum(1)[:, None, None]
    if style.wave:
        a = unit(np.cross(path[:, -1] - path[:, 0], rng.normal(0, 1, (len(guides), 3))[near[:, 0]]))
        b = unit(np.cross(path[:, -1] - path[:, 0], a))
        phase = rng.uniform(0, 6.3, len(guides))[near[:, 0]] + rng.normal(0, 0.5, count)
        angle = 2 * np.pi * style.turns * length * t * rng.uniform(0.85, 1.15, (count, 1, 1)) + phase[:, None, None]
        width = style.wave * np.minimum(1, 4 * t) * rng.uniform(0.6, 1.3, (count, 1, 1))
        path = path + width * (a[:, None] * np.cos(angle) + b[:, None] * np.sin(angle))
    loose = np.where(rng.random(count) < 0.05, rng.uniform(1.5, 4, count), 1.0)[:, None, None]
    bends = np.cumsum(rng.normal(0, 1, (count, points, 3)), 1) / np.sqrt(points)
    path = path + style.frizz * loose * bends * t**1.3
    path = path[:, :1] + (path - path[:, :1]) * np.exp(rng.normal(0, 0.1, (count, 1, 1)))
    radius = max(0.00009, 0.32 * pixel) * np.exp(rng.normal(0, 0.25, (count, 1)))
    return path, np.where(loose[:, :, 0] > 1, 0.7, 1.0) * radius * (1 - 0.75 * t[..., 0] ** 2)
