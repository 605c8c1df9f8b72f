"""Colours and looks of cloth, paint and wood."""

from __future__ import annotations

import numpy as np

from .stage import PATTERNS, Stage


def fabric_colour(palette: str, rng: np.random.Generator) -> np.ndarray:
    """Linear RGB of a cloth."""
    if palette == "black":
        return np.full(3, rng.uniform(0.004, 0.025))
    if palette == "white":
        return np.array([0.8, 0.79, 0.77]) * rng.uniform(0.85, 1.08)
    if palette == "muted":
        return np.clip(rng.uniform(0.03, 0.35) * np.exp(rng.normal(0, 0.15, 3)), 0.01, 0.8)
    return np.clip(rng.beta(0.7, 1.3, 3) ** 1.5, 0.01, 0.85)


def fabric(stage: Stage, palette: str, rng: np.random.Generator):
    """A look in one or two colours, plain or with a pattern."""
    first, second = fabric_colour(palette, rng), fabric_colour(palette, rng)
    return stage.material(
        first,
        second=second,
        pattern=str(rng.choice(PATTERNS)),
        scale=float(np.exp(rng.uniform(np.log(6), np.log(40)))),
        angle=rng.uniform(0, np.pi),
        roughness=rng.uniform(0.6, 1.0),
    )
