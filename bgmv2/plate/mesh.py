"""What one homography leaves: lens distortion and parallax, met by a smooth displacement on a coarse mesh.

**Convention**: a mesh is ``(rows, columns, 2)`` float32, x and y in pixels of the frame, over the frame: its first node
stands on the centre of the first pixel, its last on that of the last, and between nodes it goes on bilinearly. What the
homography puts at `p` is found at about ``p + mesh(p)``; exactly, the frame's pixel `q` shows what of the plate the
homography puts at ``q - mesh(q)``, so that one resampling serves both.
"""

from __future__ import annotations

import cv2
import numpy as np

from bgmv2.plate.dense import Dense, Refined, believed, sampled, softened, weighed
from bgmv2.plate.geometry import looked_up

# Nodes stand so far apart, in reduced pixels.
_CELL = 40
# Neighbours differ by some tenths of a reduced pixel, and what is not known is nought.
_STEP_SPREAD, _SPREAD = 0.3, 3.0
# A cell's pixels err together, as by a highlight that is clipped otherwise: they place it no better than so.
_CELL_SPREAD = 0.1
# Nothing bends by more, as a share of the long side: 6 px of 1280.
_LARGEST = 6 / 1280
# Corners that were followed tell where to begin: they are right to some tenths of a pixel, or wrong by several.
_CORNER_SPREAD, _CORNER_LIMITS = 0.3, (4.0, 2.0, 1.0, 1.0)
# The misses that shifts of single cells would explain, as a share of their squares, before a mesh is tried at all; to
# which share it must then lower what is not believed; and how far it must bend in the mean to be worth it, as a share
# of the long side: what is less is as likely an edge that only seems moved, as highlights are when they are clipped.
_PROMISE, _GAIN, _LEAST = 0.33, 0.85, 0.3 / 1280
# Steps of Gauss-Newton at half the size, then at the reduced size itself; and those that go on from the frame before.
_FIRST_STEPS, _STEPS = (True, True, False, False), (False,)


class Bender:
    """Fits meshes to what homographies leave.

    Args:
        dense: the plate's pixels that have structure.
        view: ``(h, w)`` uint8, the structure of the plate, of which they are.
        size: ``(h, w)`` of the frames' views.
    """

    def __init__(self, dense: Dense, view: np.ndarray, size: tuple[int, ...]):
        self._dense, self._size = dense, size
        self._shape = max(2, round(size[0] / _CELL) + 1), max(2, round(size[1] / _CELL) + 1)
        self._limit = _LARGEST * max(size)
        soft = _halved(softened(view))
        at = _at_half(dense.points)
        slopes = [cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 16) for dx in (1, 0)]
        self._coarse = sampled(soft, at), np.stack([sampled(slope, at) for slope in slopes], axis=1)
        self._prior = self._expected()

    def bend(
        self,
        view: np.ndarray,
        refined: Refined,
        corners: np.ndarray,
        *,
        start: np.ndarray | None,
        hidden: np.ndarray | None,
    ) -> tuple[np.ndarray | None, Refined]:
        """Fit a mesh to what a homography leaves, where plate and frame agree.

        Args:
            view: ``(h, w)`` uint8, the structure of the frame.
            refined: where a homography puts the plate's pixels.
            corners: ``(N, 4)``, where it puts the plate's corners, and where they were followed to.
            start: the mesh of the frame before, in reduced pixels.
            hidden: ``(rows, columns)`` bool over the frame, where the subject hides the plate.

        Returns:
            The mesh in reduced pixels, None if it explains too little; and what is left then.
        """
        open_ = np.ones(len(refined.at), bool) if hidden is None else ~looked_up(hidden, refined.at, self._size)
        if start is None and self._promise(refined, open_) < _PROMISE:
            return None, refined
        soft = softened(view)
        cells, hats = self._hats(refined.at)
        mesh = self._begun(corners) if start is None else start
        half = _halved(soft) if start is None else None
        values, slopes = self._dense.values[refined.pixels], self._dense.slopes[refined.pixels]
        coarse_values, coarse_slopes = (part[refined.pixels] for part in self._coarse)
        for is_coarse in _FIRST_STEPS if start is None else _STEPS:
            at = refined.at + _moved(mesh, cells, hats)
            if is_coarse:
                assert half is not None
                misses, along = sampled(half, _at_half(at)) - coarse_values, coarse_slopes
            else:
                misses, along = sampled(soft, at) - values, slopes
            sigma, weights = weighed(misses[open_])
            step = self._solved(mesh, along[open_], misses[open_], weights / sigma**2, cells[open_], hats[open_])
            mesh = np.clip(mesh + step, -self._limit, self._limit).astype(np.float32)
        at = refined.at + _moved(mesh, cells, hats)
        misses = sampled(soft, at) - values
        sigma, weights = weighed(misses[open_])
        before = believed(refined.misses[open_], sigma)
        bend = float(np.sqrt((mesh**2).sum(axis=2).mean()))
        if 1 - weights.mean() > _GAIN * (1 - before.mean()) or bend < _LEAST * max(self._size):
            return None, refined
        return mesh, refined._replace(at=at, misses=misses, weights=believed(misses, sigma))

    def _begun(self, corners: np.ndarray) -> np.ndarray:
        """Fit a mesh to corners ``(N, 4)``, of which some were led astray."""
        columns = self._shape[1]
        apart = corners[:, 2:] - corners[:, :2]
        cells, hats = self._hats(corners[:, :2].astype(np.float32))
        matrix = np.zeros((len(corners), self._shape[0] * columns))
        matrix[np.arange(len(corners))[:, None], cells[:, None] + np.array([0, 1, columns, columns + 1])] = hats
        mesh = np.zeros((matrix.shape[1], 2))
        for limit in _CORNER_LIMITS:
            distance = np.linalg.norm(apart - matrix @ mesh, axis=1)
            weights = np.clip(1 - (distance / limit) ** 2, 0, None) ** 2 / _CORNER_SPREAD**2
            weighted = matrix * weights[:, None]
            mesh = np.linalg.solve(self._prior[::2, ::2] + weighted.T @ matrix, weighted.T @ apart)
        return np.clip(mesh, -self._limit, self._limit).reshape(*self._shape, 2).astype(np.float32)

    def _promise(self, refined: Refined, open_: np.ndarray) -> float:
        """The share of the squared misses that would vanish if every cell could be shifted by itself."""
        cells, _ = self._hats(refined.at[open_])
        (x, y), misses = self._dense.slopes[refined.pixels[open_]].T, refined.misses[open_]
        weights = refined.weights[open_]
        xx, xy, yy, xm, ym, mm = (
            np.bincount(cells, weights=weights * product)
            for product in (x * x, x * y, y * y, x * misses, y * misses, misses * misses)
        )
        # A little certainty that nothing moves keeps single edges from moving along themselves.
        xx, yy = xx + 0.02 * (xx + yy) + 1, yy + 0.02 * (xx + yy) + 1
        explained = (yy * xm * xm - 2 * xy * xm * ym + xx * ym * ym) / (xx * yy - xy * xy)
        return float(explained.sum() / max(mm.sum(), 1e-6))

    def _hats(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell in which cell points lie, by its first node's number ``(N,)``, and how near to its four nodes each."""
        rows, columns = self._shape
        scale = np.array([(columns - 1) / (self._size[1] - 1), (rows - 1) / (self._size[0] - 1)], np.float32)
        x, y = (at * scale).T
        column, row = np.clip(x.astype(int), 0, columns - 2), np.clip(y.astype(int), 0, rows - 2)
        x, y = x - column, y - row
        hats = np.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], axis=1)
        return row * columns + column, hats.astype(np.float32)

    def _solved(
        self,
        mesh: np.ndarray,
        slopes: np.ndarray,
        misses: np.ndarray,
        weights: np.ndarray,
        cells: np.ndarray,
        hats: np.ndarray,
    ) -> np.ndarray:
        """One step of Gauss-Newton, ``(rows, columns, 2)``; smooth, and nought where nothing is known."""
        columns, nodes = self._shape[1], mesh.shape[0] * mesh.shape[1]
        around = np.array([0, 1, columns, columns + 1])
        normal, right = self._prior.copy(), -self._prior @ mesh.reshape(-1).astype(np.float64)
        jacobian = (hats[:, :, None] * slopes[:, None]).reshape(-1, 8)
        order = np.argsort(cells, kind="stable")
        jacobian, weights, misses, cells = jacobian[order], weights[order], misses[order], cells[order]
        bounds = np.flatnonzero(np.diff(cells, prepend=-1, append=nodes))
        for first, last in zip(bounds[:-1], bounds[1:], strict=True):
            own = (2 * (cells[first] + around)[:, None] + np.arange(2)).reshape(-1)
            part = jacobian[first:last]
            weighted = part * weights[first:last, None]
            known = weighted.T @ part
            worth = min(1.0, 2 / _CELL_SPREAD**2 / max(float(known.trace()), 1e-9))
            normal[own[:, None], own] += worth * known
            right[own] -= worth * (misses[first:last] @ weighted)
        return np.linalg.solve(normal, right).reshape(mesh.shape)

    def _expected(self) -> np.ndarray:
        """What is known of a mesh before looking: the normal matrix of its being smooth, and nought."""
        rows, columns = self._shape
        nodes = np.arange(rows * columns).reshape(rows, columns)
        pairs = [(nodes[:, :-1], nodes[:, 1:]), (nodes[:-1], nodes[1:])]
        normal = np.eye(rows * columns) / _SPREAD**2
        for first, second in ((a.ravel(), b.ravel()) for a, b in pairs):
            for a, b, sign in ((first, first, 1), (second, second, 1), (first, second, -1), (second, first, -1)):
                np.add.at(normal, (a, b), sign / _STEP_SPREAD**2)
        return np.kron(normal, np.eye(2))


def _moved(mesh: np.ndarray, cells: np.ndarray, hats: np.ndarray) -> np.ndarray:
    """Displacements ``(N, 2)`` of points."""
    nodes, columns = mesh.reshape(-1, 2), mesh.shape[1]
    around = nodes[cells[:, None] + np.array([0, 1, columns, columns + 1])]
    return np.einsum("nk,nkc->nc", hats, around)


def _halved(picture: np.ndarray) -> np.ndarray:
    return cv2.pyrDown(picture)


def _at_half(points: np.ndarray) -> np.ndarray:
    """Where points are in a picture of half the size, as `cv2.pyrDown` makes it: even pixels stay."""
    return points / np.float32(2)
