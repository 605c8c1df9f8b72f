"""Surfaces and strands as arrays: everything that is built without Blender.

**Convention**: metres, z up, subjects face -y and their left hand is at +x. Angles are in radians.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Surface:
    """Quads; triangles repeat their last corner.

    Args:
        vertices: ``(V, 3)``.
        faces: ``(F, 4)`` int.
    """

    vertices: np.ndarray
    faces: np.ndarray

    def moved(self, rotation: np.ndarray, offset: np.ndarray | tuple = (0, 0, 0)) -> Surface:
        """The surface turned by a ``(3, 3)`` matrix about the origin, then shifted."""
        return Surface(self.vertices @ np.asarray(rotation).T + np.asarray(offset), self.faces)


@dataclass(frozen=True)
class Strands:
    """Hair, fur, grass, strings: thin curves of equal point count.

    Args:
        points: ``(N, K, 3)``, root first.
        radii: ``(N, K)``.
        colours: ``(N, 3)`` linear RGB, 0..1.
    """

    points: np.ndarray
    radii: np.ndarray
    colours: np.ndarray


def join(surfaces: list[Surface]) -> Surface:
    """Several surfaces as one."""
    starts = np.cumsum([0] + [len(s.vertices) for s in surfaces[:-1]])
    return Surface(
        np.concatenate([s.vertices for s in surfaces]),
        np.concatenate([s.faces + start for s, start in zip(surfaces, starts, strict=True)]),
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length one along the last axis; zero stays zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def turn(axis: str, angle: float) -> np.ndarray:
    """Rotation matrix about the axis ``"x"``, ``"y"`` or ``"z"``."""
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    matrix = np.eye(3)
    matrix[j, j] = matrix[k, k] = np.cos(angle)
    matrix[k, j] = np.sin(angle)
    matrix[j, k] = -matrix[k, j]
    return matrix


def aim(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The smallest rotation that brings one direction onto another."""
    a, b = unit(np.asarray(start, float)), unit(np.asarray(end, float))
    v, c = np.cross(a, b), float(a @ b)
    if c < -0.9999:
        side = unit(np.cross(a, [0.3, 0.5, 0.8]))
        return 2 * np.outer(side, side) - np.eye(3)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + c)


def tube(path: np.ndarray, radii, *, sides: int = 14, closed: bool = False, capped: bool = True) -> Surface:
    """A round tube along a path: rods, cones, vases, rings.

    Args:
        path: ``(K, 3)``.
        radii: one radius or one for each point of the path.
        sides: corners of the cross-section.
        closed: the path ends where it begins.
        capped: close the ends with discs.
    """
    path = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radii, float), len(path))
    ahead = unit(np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0))
    if capped and not closed:
        path, ahead = (np.concatenate([a[:1], a, a[-1:]]) for a in (path, ahead))
        radii = np.concatenate([[0], radii, [0]])
    side = np.cross(ahead[0], [0.0, 0.0, 1.0])
    if np.linalg.norm(side) < 0.1:
        side = np.cross(ahead[0], [1.0, 0.0, 0.0])
    rings, angles = [], np.linspace(0, 2 * np.pi, sides, endpoint=False)
    for point, tangent, radius in zip(path, ahead, radii, strict=True):
        side = unit(side - tangent * (side @ tangent))  # carried along, so that the tube does not twist
        up = np.cross(tangent, side)
        rings.append(point + radius * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up))
    return lattice(np.array(rings), wrap_rows=closed, wrap_columns=True)


def lattice(points: np.ndarray, *, wrap_rows: bool = False, wrap_columns: bool = False) -> Surface:
    """Quads over an ``(R, C, 3)`` field of points."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    if wrap_rows:
        number = np.concatenate([number, number[:1]], 0)
    if wrap_columns:
        number = np.concatenate([number, number[:, :1]], 1)
    corners = [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]]
    return Surface(points.reshape(-1, 3), np.stack(corners, -1).reshape(-1, 4))


def rod(start, end, radius: float, *, end_radius: float | None = None, sides: int = 12) -> Surface:
    """A straight tube or cone."""
    return tube(np.array([start, end], float), [radius, radius if end_radius is None else end_radius], sides=sides)


def ball(centre, radii, *, rotation: np.ndarray | None = None, part: float = 1.0) -> Surface:
    """An ellipsoid; ``part`` below one keeps a cap of it, cut across z."""
    angle = np.linspace(1e-3, np.pi * part - 1e-3, 18)
    path = np.zeros((18, 3))
    path[:, 2] = np.cos(angle)
    surface = tube(path, np.sin(angle), sides=24, capped=False)
    return Surface(surface.vertices * np.asarray(radii, float), surface.faces).moved(
        np.eye(3) if rotation is None else rotation, centre
    )


def box(centre, sizes, *, rotation: np.ndarray | None = None) -> Surface:
    """A cuboid."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * np.asarray(sizes, float) / 2
    faces = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return Surface(corners, faces).moved(np.eye(3) if rotation is None else rotation, centre)


def ring(centre, radius: float, thickness: float, *, rotation: np.ndarray | None = None, arc: float = 1.0) -> Surface:
    """A torus about z, or the first part of it."""
    angle = np.linspace(0, 2 * np.pi * arc, 40, endpoint=arc < 1)
    path = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], 1)
    surface = tube(path, thickness, sides=8, closed=arc == 1)
    return surface.moved(np.eye(3) if rotation is None else rotation, centre)


def normals(surface: Surface) -> np.ndarray:
    """Unit normals of the vertices, ``(V, 3)``."""
    corner = surface.vertices[surface.faces]
    of_face = np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1])
    out = np.zeros_like(surface.vertices)
    for i in range(4):
        np.add.at(out, surface.faces[:, i], of_face)
    return unit(out)


def scatter(surface: Surface, count: int, rng: np.random.Generator, *, chosen: np.ndarray | None = None):
    """Random places, even by area.

    Args:
        surface: the ground.
        count: how many.
        rng: source of chance.
        chosen: ``(V,)`` bool; only faces all of whose corners are chosen count.

    Returns:
        Places ``(count, 3)`` and unit normals ``(count, 3)``; none where nothing is chosen.
    """
    faces = surface.faces if chosen is None else surface.faces[chosen[surface.faces].all(1)]
    corner = surface.vertices[faces]
    area = np.linalg.norm(np.cross(corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1]), axis=1)
    if area.sum() <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3))
    picked = rng.choice(len(faces), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    weight = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], 1)
    corner_normals = normals(surface)[faces[picked]]
    return (corner[picked] * weight).sum(1), unit((corner_normals * weight).sum(1))
