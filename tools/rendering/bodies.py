"""Bodies from the parametric model anny: shaped once for the whole set, posed for each picture in numpy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .plan import BODIES, phenotype
from .shapes import Surface, aim, turn

# Bones by what they move. Names are those of the model, without the side.
TORSO = ("spine05", "spine04", "spine03", "spine02", "spine01", "breast", "clavicle", "shoulder01")
UPPER_ARM, LOWER_ARM = ("upperarm01", "upperarm02"), ("lowerarm01", "lowerarm02")
HIPS, THIGH = ("root", "pelvis", "upperleg01"), ("upperleg02",)
SHIN = ("lowerleg01", "lowerleg02")
FOOT, HAND, NECK = ("foot", "toe"), ("wrist", "finger", "metacarpal"), ("neck01", "neck02", "neck03")

# Where limbs point, as (x outwards, y, z): upper arm, lower arm, thigh, shin.
POSE_DIRECTIONS = {
    "relaxed": ((0.25, 0.0, -1), (0.12, -0.25, -1), (0.1, 0, -1), (0.05, 0, -1)),
    "akimbo": ((0.75, 0.2, -0.8), (-0.75, -0.35, -0.45), (0.2, 0, -1), (0.1, 0, -1)),
    "waving": ((0.8, -0.1, 0.35), (0.25, -0.2, 1), (0.1, 0, -1), (0.05, 0, -1)),
    "raised": ((0.6, -0.05, 0.9), (0.15, -0.1, 1), (0.15, 0, -1), (0.05, 0, -1)),
    "forward": ((0.25, -0.5, -0.8), (-0.05, -1, 0.15), (0.1, 0, -1), (0.05, 0, -1)),
    "crossed": ((0.3, -0.4, -0.9), (-0.8, -0.6, 0.15), (0.08, 0, -1), (0.0, 0, -1)),
    "sitting": ((0.25, -0.45, -0.9), (0.0, -1, -0.2), (0.2, -1, -0.1), (0.1, 0.1, -1)),
    "walking": ((0.25, -0.4, -0.9), (0.1, -0.7, -0.7), (0.05, -0.45, -1), (0.05, 0.05, -1)),
}


@dataclass(frozen=True)
class Rig:
    """What all bodies share.

    Args:
        faces: ``(F, 4)`` corners of the quads.
        bones: names of the bones, parents before their children.
        parents: ``(B,)`` number of each bone's parent, -1 for the root.
        weights: ``(V, B)`` share of each bone in each vertex.
    """

    faces: np.ndarray
    bones: list[str]
    parents: np.ndarray
    weights: np.ndarray

    def moved_by(self, names: tuple[str, ...]) -> np.ndarray:
        """``(V,)`` bool: mostly moved by bones whose names start so."""
        mine = np.array([bone.startswith(names) for bone in self.bones])
        return self.weights[:, mine].sum(1) > 0.5


@dataclass(frozen=True)
class Body:
    """A posed body.

    Args:
        rig: what it is made of.
        rest: surface before posing; regions of the head are told apart here.
        skin: posed surface, same vertices.
        rest_joints: ``(B, 3)`` where bones begin, before posing.
        joints: the same, posed.
        turns: ``(B, 3, 3)`` rotation of each bone.
    """

    rig: Rig
    rest: Surface
    skin: Surface
    rest_joints: np.ndarray
    joints: np.ndarray
    turns: np.ndarray

    def joint(self, name: str) -> np.ndarray:
        """Where a bone begins in the pose."""
        return self.joints[self.rig.bones.index(name)]

    def rest_joint(self, name: str) -> np.ndarray:
        """Where a bone begins before posing."""
        return self.rest_joints[self.rig.bones.index(name)]

    def to_head(self, points: np.ndarray) -> np.ndarray:
        """Posed points to the upright head before posing."""
        i = self.rig.bones.index("head")
        return (points - self.joints[i]) @ self.turns[i] + self.rest_joints[i]

    def from_head(self, points: np.ndarray) -> np.ndarray:
        """Points on the upright head to the pose."""
        i = self.rig.bones.index("head")
        return (points - self.rest_joints[i]) @ self.turns[i].T + self.joints[i]

    def turn_of_head(self) -> np.ndarray:
        """Rotation of the head, ``(3, 3)``."""
        return self.turns[self.rig.bones.index("head")]


def make_bank(path: Path) -> None:
    """Shape all bodies with the model and keep them in one file; takes minutes."""
    import anny
    import torch

    model = anny.create_fullbody_model()
    shapes = [phenotype(body) for body in range(BODIES)]
    vertices, joints = [], []
    with torch.inference_mode():
        for start in range(0, BODIES, 16):
            batch = shapes[start : start + 16]
            out = model(
                phenotype_kwargs={name: torch.tensor([s[name] for s in batch]) for name in batch[0]},
            )
            vertices.append(out["rest_vertices"].float().numpy())
            joints.append(out["rest_bone_heads"].float().numpy())
    part = path.with_suffix(".part.npz")
    np.savez(
        part,
        vertices=np.concatenate(vertices),
        joints=np.concatenate(joints),
        faces=model.faces.numpy().astype(np.int32),
        bones=np.array(model.bone_labels),
        parents=np.array([-1 if p is None else int(p) for p in model.bone_parents]),
        bone_indices=model.vertex_bone_indices.numpy().astype(np.int32),
        bone_weights=model.vertex_bone_weights.float().numpy(),
    )
    os.replace(part, path)


class Bank:
    """The shaped bodies."""

    def __init__(self, path: Path):
        with np.load(path) as data:
            self.vertices, self.joints = data["vertices"], data["joints"]
            bones = [str(name) for name in data["bones"]]
            weights = np.zeros((self.vertices.shape[1], len(bones)), np.float32)
            rows = np.arange(len(weights))[:, None]
            np.add.at(weights, (rows, data["bone_indices"]), data["bone_weights"])
            self.rig = Rig(data["faces"], bones, data["parents"], weights)

    def pose(self, number: int, pose: str, rng: np.random.Generator) -> Body:
        """One body in a pose, feet or whatever is lowest at z = 0."""
        rig, rest, rest_joints = self.rig, self.vertices[number].astype(float), self.joints[number].astype(float)
        goals = _goals(pose, rng)
        turns, joints = np.zeros((len(rig.bones), 3, 3)), np.zeros((len(rig.bones), 3))
        for bone, name in enumerate(rig.bones):
            parent = rig.parents[bone]
            before = np.eye(3) if parent < 0 else turns[parent]
            joints[bone] = rest_joints[bone]
            if parent >= 0:
                joints[bone] = joints[parent] + before @ (rest_joints[bone] - rest_joints[parent])
            turns[bone] = before
            if name in goals:
                end, goal = goals[name]
                if end is None:
                    turns[bone] = goal @ before
                else:
                    along = before @ (rest_joints[rig.bones.index(end)] - rest_joints[bone])
                    turns[bone] = aim(along, goal) @ before
        shifts = joints - np.einsum("bij,bj->bi", turns, rest_joints)
        blended = (rig.weights @ turns.reshape(-1, 9)).reshape(-1, 3, 3)
        posed = np.einsum("vij,vj->vi", blended, rest) + rig.weights @ shifts
        ground = np.array([0, 0, posed[:, 2].min()])
        return Body(
            rig, Surface(rest, rig.faces), Surface(posed - ground, rig.faces), rest_joints, joints - ground, turns
        )


def _goals(pose: str, rng: np.random.Generator) -> dict[str, tuple]:
    """Bone -> (bone at its far end, direction) or (None, rotation)."""
    goals: dict[str, tuple] = {}
    one_arm = rng.choice(["L", "R"]) if pose == "waving" or rng.random() < 0.35 else None
    for side, sign in (("L", 1), ("R", -1)):
        arm = POSE_DIRECTIONS[pose if one_arm in (None, side) else "relaxed"]
        leg = POSE_DIRECTIONS[pose]
        if pose == "walking" and side == "R":
            arm = leg = ((0.25, 0.3, -0.9), (0.15, -0.1, -1), (0.05, 0.3, -1), (0.05, 0.7, -1))

        def direction(goal: tuple, spread: float, sign: int = sign) -> np.ndarray:
            return np.array([sign * goal[0], goal[1], goal[2]]) + rng.normal(0, spread, 3)

        goals[f"upperarm01.{side}"] = f"lowerarm01.{side}", direction(arm[0], 0.12)
        goals[f"lowerarm01.{side}"] = f"wrist.{side}", direction(arm[1], 0.15)
        goals[f"upperleg01.{side}"] = f"lowerleg01.{side}", direction(leg[2], 0.06)
        goals[f"lowerleg01.{side}"] = f"foot.{side}", direction(leg[3], 0.04)
        goals[f"foot.{side}"] = None, aim((0, 0, -1), direction(leg[3], 0.0)).T if pose == "walking" else np.eye(3)
        if arm[0][2] > 0:  # a raised arm lifts the shoulder too
            goals[f"clavicle.{side}"] = None, turn("y", -0.3 * sign)
    goals["spine03"] = (
        None,
        turn("x", rng.normal(0, 0.05)) @ turn("y", rng.normal(0, 0.06)) @ turn("z", rng.normal(0, 0.1)),
    )
    for bone in ("neck02", "head"):
        goals[bone] = (
            None,
            turn("z", rng.normal(0, 0.16)) @ turn("x", rng.normal(0.02, 0.09)) @ turn("y", rng.normal(0, 0.07)),
        )
    return goals
