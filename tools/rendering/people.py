"""A person: body, skin, hair, clothes, and what is worn and held."""

from __future__ import annotations

import numpy as np

from . import hair as hairdresser
from .bodies import FOOT, HAND, HIPS, LOWER_ARM, NECK, SHIN, THIGH, TORSO, UPPER_ARM, Bank, Body
from .fabric import fabric, fabric_colour
from .plan import HAIR_COLOURS, Shot
from .shapes import Surface, aim, ball, box, join, lattice, normals, ring, rod, scatter, tube, turn
from .stage import Stage
from .things import guitar, umbrella

SLEEVES = {"t-shirt": UPPER_ARM, "shirt": UPPER_ARM + LOWER_ARM, "jumper": UPPER_ARM + LOWER_ARM}
SLEEVES |= {"turtleneck": UPPER_ARM + LOWER_ARM, "top": (), "none": ()}
THICKNESS = {"t-shirt": 0.008, "shirt": 0.01, "jumper": 0.018, "turtleneck": 0.012, "top": 0.006}


def build(stage: Stage, shot: Shot, bank: Bank, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put a person on the stage.

    Returns:
        Points that must be in the picture ``(N, 3)`` and the point to focus on ``(3,)``.
    """
    body = _turned(bank.pose(shot.body, shot.pose, rng), shot.yaw)
    head = hairdresser.HeadMap(body)
    view = _view(shot, body, head)
    extent = np.ptp(view, axis=0)
    pixel = max(extent[2], np.hypot(*extent[:2])) / stage.size
    colour = np.array(HAIR_COLOURS[shot.hair_colour]) * rng.uniform(0.7, 1.3)
    covered = _dress(stage, shot, body, pixel, rng)
    _skin(stage, shot, body, head, covered, colour, rng)
    _grow_hair(stage, shot, body, colour, pixel, rng)
    extra = _wear(stage, shot, head, rng) + _hold(stage, shot, body, rng)
    if shot.framing in ("full", "knees"):
        view = np.concatenate([view, *extra])
    return view, head.to_posed(np.array([0, -0.3, 0.0]))


def _turned(body: Body, yaw: float) -> Body:
    spin = turn("z", yaw)
    skin = Surface(body.skin.vertices @ spin.T, body.skin.faces)
    return Body(body.rig, body.rest, skin, body.rest_joints, body.joints @ spin.T, spin @ body.turns)


def _view(shot: Shot, body: Body, head: hairdresser.HeadMap) -> np.ndarray:
    """What must be in the picture."""
    vertices = body.skin.vertices
    crown = head.to_posed(np.array([[0, 0.5, 1.6 if shot.hair in ("afro", "curly") else 1.25]]))
    if shot.framing == "full":
        return np.concatenate([vertices, crown])
    if shot.framing == "portrait":
        corners = np.array([[x, y, z] for x in (-1.5, 1.5) for y in (-0.5, 1.3) for z in (-2.2, 1.45)])
        return head.to_posed(corners)
    bone = {"knees": "lowerleg01.L", "half": "spine04"}[shot.framing]
    if shot.pose == "sitting" and shot.framing == "knees":
        bone = "foot.L"
    low = vertices[:, 2] > body.joint(bone)[2]
    arms = body.rig.moved_by(UPPER_ARM + LOWER_ARM + HAND) & (shot.framing == "half")
    keep = low & ~(arms & (np.abs(vertices[:, 0] - body.joint("spine01")[0]) > 0.45))
    return np.concatenate([vertices[keep], crown])


def _skin(stage: Stage, shot: Shot, body: Body, head: hairdresser.HeadMap, covered, hair_colour, rng) -> None:
    """Bare skin with lips, eyes and a shadow of hair on the scalp."""
    melanin = rng.random()
    tone = np.array([0.72, 0.46, 0.35]) * (1 - melanin) + np.array([0.075, 0.032, 0.018]) * melanin
    tone = tone * np.exp(rng.normal(0, [0.05, 0.08, 0.1]))
    local = head.of_rest(body.rest.vertices)
    shade = np.tile(tone, (len(local), 1)) * np.exp(rng.normal(0, 0.03, (len(local), 1)))
    lips = head.is_head & (np.abs(local[:, 0]) < 0.22) & (np.abs(local[:, 2] + 0.62) < 0.085) & (local[:, 1] < -0.1)
    shade[lips] = tone * rng.choice([[0.8, 0.5, 0.5], [0.9, 0.25, 0.25]])
    cheek = np.exp(-(((np.abs(local[:, 0]) - 0.42) / 0.2) ** 2) - ((local[:, 2] + 0.35) / 0.2) ** 2) * head.is_head
    shade *= 1 - cheek[:, None] * [0.0, 0.18, 0.15]
    if shot.hair != "bald":
        shade[head.scalp()] = hair_colour * 0.6
    iris = rng.choice([[0.05, 0.02, 0.01], [0.04, 0.12, 0.25], [0.07, 0.1, 0.03]])
    for side in "LR":
        ball_of_eye = body.rig.moved_by((f"eye.{side}",))
        spots = body.rest.vertices[ball_of_eye]
        centre = (spots.min(0) + spots.max(0)) / 2
        off_axis = np.hypot(*(spots - centre)[:, [0, 2]].T)
        white = np.where((off_axis < 0.0065)[:, None], iris, [0.75, 0.72, 0.7])
        white = np.where((spots[:, 1] > centre[1])[:, None], [0.75, 0.72, 0.7], white)
        shade[ball_of_eye] = np.where(((off_axis < 0.003) & (spots[:, 1] < centre[1]))[:, None], 0.005, white)
    bare = ~covered[body.skin.faces].all(1)
    surface = Surface(body.skin.vertices, body.skin.faces[bare])
    stage.add(
        surface, stage.material(painted=True, roughness=rng.uniform(0.4, 0.65)), colours=np.clip(shade, 0.003, 0.9)
    )


def _grow_hair(stage: Stage, shot: Shot, body: Body, colour, pixel: float, rng) -> None:
    look = stage.material(painted=True, roughness=0.45)
    stage.add_strands(hairdresser.brows(body, colour, pixel=pixel, rng=rng), look)
    if shot.hair != "bald":
        for strands in hairdresser.hair(body, shot.hair, colour, wind=shot.wind, pixel=pixel, rng=rng):
            stage.add_strands(strands, look)
    if shot.beard != "none":
        stage.add_strands(hairdresser.beard(body, shot.beard, colour, pixel=pixel, rng=rng), look)


def _dress(stage: Stage, shot: Shot, body: Body, pixel: float, rng) -> np.ndarray:
    """Clothes; returns ``(V,)`` bool, the skin that they hide."""
    covered = np.zeros(len(body.skin.vertices), bool)
    height = body.rest.vertices[:, 2]
    hip = body.rest_joint("upperleg01.L")[2]
    waist, hem = hip + rng.uniform(0.07, 0.14), hip + rng.uniform(-0.06, 0.05)
    below = {"shorts": hip - rng.uniform(0.12, 0.4), "trousers": -np.inf}
    flared = shot.bottom in ("skirt", "dress") and shot.pose != "sitting"
    ends_at = below.get(shot.bottom, hip - 0.1 if flared else -np.inf)
    lower = body.rig.moved_by(TORSO + HIPS + THIGH + SHIN) & (height < waist) & (height > ends_at)
    layers = [(lower, rng.uniform(0.007, 0.014), "bottom")]
    if shot.top != "none" or shot.bottom == "dress":
        top = "top" if shot.top == "none" else shot.top
        collar = body.rest_joint("neck03" if top == "turtleneck" else "neck01")[2] + rng.uniform(0, 0.02)
        upper = body.rig.moved_by(TORSO + HIPS + THIGH + NECK + SLEEVES[top]) & (height > hem) & (height < collar)
        layers.append((upper, THICKNESS[top] + 0.008, "top"))
    if rng.random() < 0.8:
        layers.append((body.rig.moved_by(FOOT), 0.01, "shoes"))
    for mask, thickness, kind in layers:
        cloth, used = _garment(body, mask, thickness)
        palette = "muted" if kind == "shoes" else shot.palette
        stage.add(cloth, fabric(stage, palette, rng))
        covered |= used
        if kind == "top" and shot.trim != "none":
            _trim(stage, shot, cloth, pixel, rng)
    if flared:
        stage.add(_skirt(body, rng), fabric(stage, shot.palette, rng))
    return covered


def _garment(body: Body, mask: np.ndarray, thickness: float) -> tuple[Surface, np.ndarray]:
    """A region of the skin, lifted and smoothed; and the part of the skin that is safely beneath it."""
    faces = body.skin.faces[mask[body.skin.faces].all(1)]
    lifted = body.skin.vertices + normals(body.skin) * thickness
    edges = np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)])
    number = np.zeros(len(lifted))
    np.add.at(number, edges.ravel(), 1)
    smooth = lifted
    for _ in range(4):
        total = np.zeros_like(lifted)
        np.add.at(total, edges[:, 0], smooth[edges[:, 1]])
        np.add.at(total, edges[:, 1], smooth[edges[:, 0]])
        smooth = np.where(number[:, None] > 0, total / np.maximum(number, 1)[:, None], smooth)
    out = normals(body.skin)
    sunk = np.clip(thickness - ((smooth - body.skin.vertices) * out).sum(1), 0, None)
    used = np.unique(faces)
    near_rim = np.zeros(len(lifted), bool)
    near_rim[_rim(faces)] = True
    for _ in range(2):  # smoothing draws the rim inwards, so skin stays beneath it
        near_rim[np.unique(faces[near_rim[faces].any(1)])] = True
    renumber = np.zeros(len(lifted), int)
    renumber[used] = np.arange(len(used))
    hidden = np.zeros(len(lifted), bool)
    hidden[used] = True
    hidden[near_rim] = False
    return Surface((smooth + out * sunk[:, None])[used], renumber[faces]), hidden


def _rim(faces: np.ndarray) -> np.ndarray:
    """Vertices at open borders of a piece of cloth."""
    edges = np.sort(np.concatenate([faces[:, [i, (i + 1) % 4]] for i in range(4)]), 1)
    found, times = np.unique(edges, axis=0, return_counts=True)
    return np.unique(found[times == 1])


def _trim(stage: Stage, shot: Shot, cloth: Surface, pixel: float, rng) -> None:
    """Fur or threads at the borders of a garment."""
    border = np.zeros(len(cloth.vertices), bool)
    border[_rim(cloth.faces)] = True
    for _ in range(2 if shot.trim == "fur" else 1):
        border[np.unique(cloth.faces[border[cloth.faces].any(1)])] = True
    roots, out = scatter(cloth, 2500 if shot.trim == "fur" else 700, rng, chosen=border)
    look = stage.material(painted=True, roughness=0.8)
    colour = fabric_colour(shot.palette, rng)
    if shot.trim == "fur":
        strands = hairdresser.fur(
            roots, out, colour, rng, length=0.022, lay=np.array([0, 0, -0.4]), radius=0.4 * pixel, curl=0.5
        )
    else:
        strands = hairdresser.fur(
            roots, out * 0.2, colour, rng, length=0.07, lay=np.array([0, 0, -1.0]), radius=0.7 * pixel
        )
    stage.add_strands(strands, look)


def _skirt(body: Body, rng: np.random.Generator) -> Surface:
    """A flared cone with folds from the waist down."""
    waist, knee = body.joint("spine05"), body.joint("lowerleg01.L")
    hips = body.skin.vertices[body.rig.moved_by(HIPS)]
    centre = hips.mean(0)
    ends_at = knee[2] + rng.uniform(-0.25, 0.15)
    folds, flare, depth = rng.integers(7, 16), rng.uniform(0.05, 0.3), rng.uniform(0.01, 0.035)
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    heading = np.stack([np.cos(angle), np.sin(angle)], 1)
    reach = ((hips[:, :2] - centre[:2]) @ heading.T).max(0) + 0.012
    rows = []
    for t in np.linspace(0, 1, 14):
        wide = reach * (0.88 + 0.12 * min(1, 4 * t)) + flare * t + depth * t * np.sin(folds * angle + 1.5 * t)
        height = np.full((96, 1), waist[2] + 0.06 - t * (waist[2] + 0.06 - ends_at))
        rows.append(np.concatenate([centre[:2] + heading * wide[:, None], height], 1))
    return lattice(np.array(rows), wrap_columns=True)


def _wear(stage: Stage, shot: Shot, head: hairdresser.HeadMap, rng) -> list[np.ndarray]:
    """Glasses, caps, headphones: built in head units and carried along with the head."""

    def add(surface: Surface, material) -> np.ndarray:
        placed = head.to_posed(surface.vertices)
        stage.add(Surface(placed, surface.faces), material)
        return placed

    colour = fabric_colour("any", rng)
    if shot.worn == "glasses":
        apart = head.body.rest_joint("eye.L")[0] / head.unit
        size, wire = rng.uniform(0.2, 0.26), rng.uniform(0.012, 0.03)
        upright = turn("x", np.pi / 2)
        frame = [ring((s * apart, -0.42, -0.04), size, wire, rotation=upright) for s in (-1, 1)]
        frame.append(rod((-apart + size, -0.42, 0), (apart - size, -0.42, 0), wire))
        for s in (-1, 1):
            frame.append(rod((s * (apart + size), -0.42, 0), (s * 0.7, -0.3, 0.05), wire))
            frame.append(rod((s * 0.7, -0.3, 0.05), (s * 0.75, 0.75, 0.05), wire))
        return [add(join(frame), stage.material(colour * 0.4, roughness=0.3))]
    if shot.worn in ("cap", "hat"):
        crown = ball((0, 0.52, 0.38), (0.84, 1.08, 0.9), part=0.52)
        if shot.worn == "cap":
            brim = ball((0, -0.75, 0.44), (0.6, 0.75, 0.06))
        else:
            brim = ball((0, 0.52, 0.42), (1.6, 1.75, 0.05))
        look = fabric(stage, shot.palette, rng)
        return [add(join([crown, brim]), look)]
    if shot.worn == "headphones":
        band = ring((0, 0.55, 0.0), 0.98, 0.06, rotation=turn("x", np.pi / 2), arc=0.5)
        band = Surface(band.vertices * [0.9, 1, 1.25], band.faces)
        cups = [tube(np.array([[s * 0.72, 0.6, -0.08], [s * 1.0, 0.6, -0.08]]), [0.36, 0.3], sides=24) for s in (-1, 1)]
        return [add(join([band, *cups]), stage.material(colour * 0.5, roughness=0.4))]
    return []


def _hold(stage: Stage, shot: Shot, body: Body, rng) -> list[np.ndarray]:
    """Something in the hand."""
    side = rng.choice(["L", "R"])
    wrist, palm = body.joint(f"wrist.{side}"), body.joint(f"finger3-1.{side}")
    along = palm - wrist
    grip = palm + 0.25 * along
    shaft = aim(np.array([0, 0, 1.0]), np.array([rng.normal(0, 0.3), rng.normal(0, 0.3), 1.0]))
    look = fabric(stage, "any", rng)
    made: Surface | None = None
    if shot.held == "ball":
        radius = rng.uniform(0.05, 0.14)
        made = ball(palm + along / np.linalg.norm(along) * radius, (radius,) * 3)
    elif shot.held == "box":
        made = box(palm + along * 0.6, rng.uniform(0.08, 0.35, 3), rotation=shaft)
    elif shot.held == "cup":
        path = np.array([[0, 0, -0.05], [0, 0, 0.06], [0, 0, 0.055], [0, 0, -0.04]])
        cup = tube(path, [0.03, 0.042, 0.038, 0.026], sides=24)
        handle = ring((0.055, 0, 0), 0.025, 0.006, rotation=turn("x", np.pi / 2))
        made = join([cup, handle]).moved(shaft, grip)
    elif shot.held == "phone":
        made = box(grip, (0.072, 0.01, 0.15), rotation=shaft)
    elif shot.held == "stick":
        made = rod((0, 0, -rng.uniform(0.2, 0.8)), (0, 0, rng.uniform(0.3, 0.9)), 0.012).moved(shaft, grip)
    elif shot.held == "guitar":
        chest = body.joint("spine03") + turn("z", shot.yaw) @ np.array([0, -0.22, -0.05])
        lean = turn("z", shot.yaw) @ turn("y", rng.uniform(0.9, 1.3))
        for surface, material in guitar(stage, rng):
            stage.add(surface.moved(lean, chest), material, prop=True)
        return []
    elif shot.held == "umbrella":
        out = []
        for surface, material in umbrella(stage, rng):
            placed = surface.moved(shaft, grip)
            stage.add(placed, material, prop=True)
            out.append(placed.vertices)
        return out
    if made is None:
        return []
    stage.add(made, look, prop=True)
    return [made.vertices]
