"""Things: animals with fur, furniture, plants, wheels, instruments, nets and toys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .fabric import fabric, fabric_colour
from .hair import fur
from .plan import Shot
from .shapes import Strands, Surface, ball, box, join, lattice, ring, rod, scatter, tube, turn, unit
from .stage import Stage

Parts = list[tuple[Surface, object]]
STEADY = ("chair", "stool", "table", "ladder", "bicycle", "lamp", "plant")  # seldom seen in the air

# Body length, body height, leg length, neck length, head size, snout length, ear length, tail length (metres);
# fur length, ear shape.
ANIMALS = {
    "cat": (0.36, 0.16, 0.2, 0.06, 0.075, 0.03, 0.07, 0.3, 0.018, "up"),
    "dog": (0.6, 0.26, 0.4, 0.18, 0.11, 0.13, 0.12, 0.32, 0.03, "hang"),
    "sheep": (0.75, 0.42, 0.36, 0.12, 0.12, 0.14, 0.1, 0.1, 0.05, "side"),
    "horse": (1.3, 0.5, 0.85, 0.65, 0.19, 0.33, 0.15, 0.6, 0.01, "up"),
    "bear": (0.55, 0.42, 0.28, 0.1, 0.2, 0.1, 0.1, 0.05, 0.035, "round"),
    "bird": (0.25, 0.16, 0.12, 0.08, 0.06, 0.05, 0.0, 0.16, 0.025, "none"),
}


def build(stage: Stage, shot: Shot, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Put a thing on the stage.

    Returns:
        Points that must be in the picture ``(N, 3)`` and the point to focus on ``(3,)``.
    """
    spin = turn("z", shot.yaw)
    if shot.subject not in STEADY and rng.random() < 0.35:
        spin = turn("x", rng.normal(0, 0.5)) @ turn("y", rng.normal(0, 0.7)) @ spin
    strands: list[Strands] = []
    if shot.subject in ANIMALS:
        parts, strands = animal(stage, shot.subject, rng)
    else:
        parts = BUILDERS[shot.subject](stage, rng)
    view = np.concatenate([surface.vertices @ spin.T for surface, _ in parts])
    for surface, material in parts:
        stage.add(surface.moved(spin), material, prop=True)
    look = stage.material(painted=True, roughness=0.7)
    pixel = max(np.ptp(view[:, 2]), np.ptp(view[:, 0])) / stage.size
    for group in strands:
        thick = np.maximum(group.radii, 0.35 * pixel * group.radii / group.radii.max())
        stage.add_strands(Strands(group.points @ spin.T, thick, group.colours), look, prop=True)
    if strands:  # long fur reaches beyond the skin
        view = np.concatenate([view, *[group.points[:, -1] @ spin.T for group in strands]])
    front = view[:, 1] < np.median(view[:, 1])
    return view, view[front].mean(0)


def animal(stage: Stage, name: str, rng: np.random.Generator) -> tuple[Parts, list[Strands]]:
    """Four legs or two, a tail, ears, and fur in one to three colours."""
    long, deep, leg, neck, skull, snout, ear, tail, hair, ears = np.array(ANIMALS[name], object)
    long, deep, leg, neck, skull = (value * rng.uniform(0.8, 1.25) for value in (long, deep, leg, neck, skull))
    hair = hair * np.exp(rng.normal(0.1, 0.45))
    back, wide = leg + deep / 2, deep * rng.uniform(0.45, 0.6)
    sitting = name in ("cat", "dog", "bear") and rng.random() < 0.35
    pitch = turn("x", 0.75 if sitting else rng.normal(0.05, 0.06))  # lifts the chest, which is at -y
    hips = np.array([0, long / 2, deep * 0.55 if sitting else back])
    chest = hips + pitch @ np.array([0, -long, 0])
    chest[2] = max(chest[2], back * 0.9)
    middle = (hips + chest) / 2
    skins = [
        tube(
            np.linspace(hips + (hips - chest) * 0.22, chest + (chest - hips) * 0.2, 14),
            wide * np.sqrt(np.clip(1 - np.linspace(-1, 1, 14) ** 4, 0.01, 1)) * np.linspace(0.95, 1.08, 14),
            sides=20,
        )
    ]
    rise = rng.uniform(0.5, 1.2)
    head = chest + neck * np.array([rng.normal(0, 0.15), -np.cos(rise), np.sin(rise)]) + [0, -skull * 0.5, deep * 0.25]
    skins.append(tube(np.linspace(chest + [0, 0, deep * 0.1], head, 8), np.linspace(wide * 0.75, skull * 0.72, 8)))
    look = turn("z", rng.normal(0, 0.5)) @ turn("x", rng.normal(0.1, 0.2))
    skins.append(ball(head, (skull * 0.9, skull, skull * 0.9)))
    nose = head + look @ np.array([0, -skull * 0.8 - snout, -skull * 0.25])
    skins.append(
        tube(np.linspace(head, nose, 8), np.linspace(skull * 0.7, skull * (0.12 if name == "bird" else 0.38), 8))
    )
    for s in (-1, 1):
        place = head + look @ np.array([s * skull * 0.6, 0, skull * 0.6])
        if ears == "up":
            skins.append(rod(place, place + look @ np.array([s * 0.3 * ear, 0, ear]), ear * 0.42, end_radius=0.004))
        elif ears in ("hang", "side"):
            way = np.array([s, 0.1, -1.2 if ears == "hang" and rng.random() < 0.7 else 0.5])
            end = place + look @ (unit(way) * ear + [s * 0.02, 0, 0])
            skins.append(tube(np.linspace(place, end, 7), ear * np.array([0.2, 0.3, 0.36, 0.36, 0.3, 0.2, 0.08])))
        elif ears == "round":
            skins.append(ball(place, (skull * 0.33, skull * 0.15, skull * 0.33)))
    pairs = [(chest, rng.normal(0, 0.12)), (hips, rng.normal(0, 0.12))]
    for number, (root, swing) in enumerate(pairs if name != "bird" else [(middle, 0.0)]):
        for s in (-1, 1):
            top = root + [s * wide * 0.6, 0, -deep * 0.1]
            foot = np.array([top[0], top[1] + s * swing * leg * 2, 0.0])
            if sitting and number == 1:
                foot = top + np.array([s * 0.3 * wide, -long * 0.45, 0])
                foot[2] = 0.02
            knee = (top + foot) / 2 + [0, (0.1 if number else -0.04) * leg, 0]
            thick = (0.004 if name == "bird" else wide * 0.48) * np.array([1, 0.55, 0.3, 0.3])
            skins.append(tube(np.array([top, knee, foot + [0, 0, 0.02], foot]), thick))
            if name != "bird":
                skins.append(ball(foot + [0, -0.02, 0.015], (wide * 0.3, wide * 0.45, 0.03)))
    t = np.linspace(0, 1, 10)[:, None]
    curl = rng.uniform(-0.8, 1.6)
    bend = np.concatenate([0 * t, np.cos(curl * t), np.sin(curl * t) - 0.2], 1)
    path = hips + [0, long * 0.15, deep * 0.15] + np.cumsum(bend, 0) * tail / 10
    thin = 0.09 if name in ("cat", "dog") else 0.12
    skins.append(tube(path, np.linspace(deep * thin * 1.5, deep * thin * 0.6, 10)))
    if name == "bird":
        skins.append(ball(middle + [0, 0.02, 0.03], (wide * 1.15, long * 0.5, wide * 0.5)))
    skin = join(skins)
    colours = _coat(skin.vertices, rng)
    parts: Parts = [(skin, stage.material(np.median(colours, 0) * 0.6, roughness=0.9))]
    dark = stage.material((0.01, 0.008, 0.008), roughness=0.2)
    eyes = [
        ball(head + look @ np.array([s * skull * 0.45, -skull * 0.78, skull * 0.2]), (skull * 0.14,) * 3)
        for s in (-1, 1)
    ]
    parts.append((join([*eyes, ball(nose, (skull * 0.2,) * 3)]), dark))
    count = int(rng.uniform(6000, 10000))
    roots, out = scatter(skin, count, rng)
    grown = fur(
        roots,
        out,
        _coat(roots, np.random.default_rng(int(rng.integers(1 << 30))))
        if rng.random() < 0.3
        else _near(roots, skin, colours),
        rng,
        length=hair * np.where(np.linalg.norm(roots - nose, axis=1) < skull * 1.1, 0.35, 1.0),
        lay=np.array([0, 0.7, -0.5]) * rng.uniform(0.5, 1.3),
        radius=0.0005,
        points=7 if name == "sheep" else 5,
        curl=1.2 if name == "sheep" else 0.3,
    )
    strands = [grown]
    if name in ("cat", "dog"):
        side = rng.choice([-1, 1], 24)
        start = nose + np.stack([side * skull * 0.2, rng.normal(0, 0.008, 24), rng.normal(0, 0.008, 24)], 1)
        way = np.stack([side * 1.0, rng.normal(0, 0.3, 24), rng.normal(0, 0.3, 24)], 1)
        strands.append(fur(start, way, (0.7, 0.7, 0.68), rng, length=0.08, lay=np.array([0, 0.1, -0.3]), radius=0.0004))
    if name == "horse":
        t = rng.random(900)[:, None]
        mane = (chest + [0, 0, deep * 0.3]) * (1 - t) + (head + [0, 0.05, skull * 0.7]) * t
        lay = np.array([rng.choice([-0.7, 0.7]), 0.2, -1.0])
        strands.append(
            fur(mane, np.tile([0, 0.3, 0.6], (900, 1)), colours[0] * 0.4, rng, length=0.2, lay=lay, radius=0.001)
        )
        ends = path[rng.integers(3, 10, 900)]
        strands.append(
            fur(
                ends,
                np.tile([0, 0.4, 0], (900, 1)),
                colours[0] * 0.4,
                rng,
                length=0.5,
                lay=np.array([0, 0, -1.0]),
                radius=0.001,
            )
        )
    return parts, strands


def _coat(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours with soft patches, ``(N, 3)``."""
    tones = [
        (0.02, 0.015, 0.012),
        (0.12, 0.06, 0.03),
        (0.45, 0.24, 0.1),
        (0.75, 0.7, 0.62),
        (0.25, 0.24, 0.23),
        (0.5, 0.4, 0.28),
    ]
    first, second = (np.array(tones[i]) for i in rng.choice(len(tones), 2, replace=False))
    if rng.random() < 0.35:
        second = first
    wave = sum(np.sin(places @ rng.normal(0, 14, 3) + rng.uniform(0, 6)) for _ in range(4))
    share = 1 / (1 + np.exp(-4 * (wave - rng.normal(0, 1))))[:, None]
    return first * (1 - share) + second * share


def _near(places: np.ndarray, skin: Surface, colours: np.ndarray) -> np.ndarray:
    step = max(1, len(skin.vertices) // 300)
    some = skin.vertices[::step]
    nearest = ((places[:, None] - some[None]) ** 2).sum(2).argmin(1)
    return colours[::step][nearest]


def chair(stage: Stage, rng: np.random.Generator) -> Parts:
    """Seat, four legs, a back of bars or a board."""
    wide, deep, high = rng.uniform(0.38, 0.55, 3)
    thick, tall = rng.uniform(0.012, 0.025), rng.uniform(0.35, 0.6)
    frame = [box((0, 0, high), (wide, deep, 0.04))]
    for x in (-1, 1):
        for y in (-1, 1):
            frame.append(rod((x * wide * 0.45, y * deep * 0.45, high), (x * wide * 0.5, y * deep * 0.5, 0), thick))
        frame.append(rod((x * wide * 0.45, deep * 0.45, high), (x * wide * 0.45, deep * 0.55, high + tall), thick))
        if rng.random() < 0.4:
            frame.append(
                rod((x * wide * 0.48, -deep * 0.4, high + 0.2), (x * wide * 0.45, deep * 0.5, high + 0.22), thick)
            )
    if rng.random() < 0.7:
        for x in np.linspace(-0.4, 0.4, rng.integers(3, 8)):
            frame.append(rod((x * wide, deep * 0.46, high), (x * wide, deep * 0.55, high + tall), thick * 0.6))
    else:
        frame.append(box((0, deep * 0.5, high + tall * 0.65), (wide * 0.9, 0.025, tall * 0.6)))
    frame.append(rod((-wide * 0.45, deep * 0.55, high + tall), (wide * 0.45, deep * 0.55, high + tall), thick * 1.2))
    return [(join(frame), fabric(stage, "any", rng))]


def stool(stage: Stage, rng: np.random.Generator) -> Parts:
    """A round seat on three or four legs with a ring."""
    high, wide = rng.uniform(0.4, 0.8), rng.uniform(0.15, 0.22)
    legs = [ring((0, 0, high * 0.35), wide * 0.95, 0.009)]
    for angle in np.linspace(0, 2 * np.pi, rng.integers(3, 5), endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle), 0])
        legs.append(rod(way * wide * 0.8 + [0, 0, high], way * wide * 1.1, 0.014))
    seat = tube(np.array([[0, 0, high], [0, 0, high + 0.05]]), wide, sides=32)
    return [(join(legs), fabric(stage, "muted", rng)), (seat, fabric(stage, "any", rng))]


def table(stage: Stage, rng: np.random.Generator) -> Parts:
    """A board on legs, with a vase at times."""
    wide, deep, high = rng.uniform(0.7, 1.4), rng.uniform(0.5, 0.8), rng.uniform(0.4, 0.75)
    parts = [box((0, 0, high), (wide, deep, 0.035))]
    for x in (-1, 1):
        for y in (-1, 1):
            parts.append(rod((x * wide * 0.45, y * deep * 0.43, high), (x * wide * 0.45, y * deep * 0.43, 0), 0.025))
    out: Parts = [(join(parts), fabric(stage, "muted", rng))]
    return out + [(s.moved(np.eye(3), (0.1, 0, high + 0.02)), m) for s, m in bottle(stage, rng)]


def bag(stage: Stage, rng: np.random.Generator) -> Parts:
    """A pouch with handles."""
    wide, deep, high = rng.uniform(0.25, 0.45), rng.uniform(0.1, 0.2), rng.uniform(0.2, 0.4)
    body = ball((0, 0, 0), (1, 1, 1)).vertices
    shape = np.sign(body) * np.abs(body) ** 0.45 * np.array([wide, deep, high]) / 2
    shape[:, :2] *= 1 - 0.25 * (shape[:, 2:] / high + 0.5)
    pouch = Surface(shape, ball((0, 0, 0), (1, 1, 1)).faces)
    handles = [
        ring((0, y * deep * 0.3, high * 0.42), wide * 0.3, 0.01, rotation=turn("x", np.pi / 2), arc=0.5)
        for y in (-1, 1)
    ]
    return [(pouch, fabric(stage, "any", rng)), (join(handles), fabric(stage, "muted", rng))]


def balls(stage: Stage, rng: np.random.Generator) -> Parts:
    """One to five balls in the air."""
    return [
        (ball(rng.normal(0, 0.3, 3), (rng.uniform(0.04, 0.16),) * 3), fabric(stage, "any", rng))
        for _ in range(rng.integers(1, 6))
    ]


def bottle(stage: Stage, rng: np.random.Generator) -> Parts:
    """A turned shape: bottle, vase, jug."""
    height = np.array([0, 0.01, 0.3, 0.55, 0.7, 0.8, 1.0])
    radius = np.array(
        [0.8, 1, 1, rng.uniform(0.8, 1.3), rng.uniform(0.4, 1), rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.8)]
    )
    path = np.stack([0 * height, 0 * height, height * rng.uniform(0.2, 0.35)], 1)
    parts = [tube(path, radius * rng.uniform(0.03, 0.06), sides=28)]
    if rng.random() < 0.4:
        parts.append(ring((0.07, 0, 0.13), 0.045, 0.008, rotation=turn("x", np.pi / 2)))
    return [(join(parts), fabric(stage, "any", rng))]


def lamp(stage: Stage, rng: np.random.Generator) -> Parts:
    """A foot, a thin pole, a shade."""
    high = rng.uniform(0.4, 1.5)
    stand = join([tube(np.array([[0, 0, 0], [0, 0, 0.02]]), 0.13, sides=28), rod((0, 0, 0), (0, 0, high), 0.01)])
    shade = tube(
        np.array([[0, 0, high - 0.12], [0, 0, high + 0.12]]), [rng.uniform(0.13, 0.22), 0.09], sides=28, capped=False
    )
    return [(stand, fabric(stage, "muted", rng)), (shade, fabric(stage, "any", rng))]


def plant(stage: Stage, rng: np.random.Generator) -> Parts:
    """Leaves on bent stems, in a pot or without."""
    stems, leaves = [], []
    narrow, size = rng.uniform(0.12, 0.5), rng.uniform(0.06, 0.2)
    for _ in range(rng.integers(6, 22)):
        way = unit(np.array([*rng.normal(0, 0.5, 2), 1.0]))
        t = np.linspace(0, 1, 9)[:, None]
        droop = rng.uniform(0, 0.35) * t**2 * np.array([0, 0, -1])
        path = (way * t + droop + [0.15, 0, 0] * np.sin(3 * t)) * rng.uniform(0.3, 0.8)
        stems.append(tube(path, np.linspace(0.006, 0.002, 9), sides=6))
        for place in np.linspace(0.3, 1, rng.integers(2, 9)):
            root = path[int(place * 8)]
            leaves.append(_leaf(root, unit(rng.normal(0, 1, 3) + way), size * rng.uniform(0.6, 1.2), narrow, rng))
    green = np.array([0.05, 0.13, 0.025]) * np.exp(rng.normal(0, 0.35, 3))
    out: Parts = [
        (join(stems), stage.material(green * 0.7)),
        (join(leaves), stage.material(np.clip(green, 0, 0.8), second=green * 2, pattern="noise", scale=9)),
    ]
    if rng.random() < 0.6:
        pot = tube(np.array([[0, 0, -0.2], [0, 0, 0.02]]), [0.08, 0.13], sides=28)
        out.append((pot, fabric(stage, "any", rng)))
    return out


def _leaf(root: np.ndarray, way: np.ndarray, size: float, narrow: float, rng: np.random.Generator) -> Surface:
    side = unit(np.cross(way, rng.normal(0, 1, 3)))
    t = np.linspace(0, 1, 7)[:, None]
    middle = root + way * size * t + np.array([0, 0, -0.35]) * size * t**2
    half = side * size * narrow * np.sin(np.pi * t**0.8) * 0.5
    return lattice(np.stack([middle - half, middle, middle + half], 1))


def twigs(stage: Stage, rng: np.random.Generator) -> Parts:
    """A branch that forks into thin twigs."""
    pieces: list[Surface] = []

    def grow(start: np.ndarray, way: np.ndarray, size: float, thick: float, level: int) -> None:
        bend = np.cumsum(rng.normal(0, 0.12, (6, 3)), 0)
        path = start + np.cumsum((unit(way) + bend) * size / 6, 0)
        path = np.concatenate([start[None], path])
        pieces.append(tube(path, np.linspace(thick, thick * 0.6, 7), sides=6))
        if level:
            for _ in range(rng.integers(2, 5)):
                grow(path[rng.integers(2, 7)], way + rng.normal(0, 0.6, 3), size * 0.7, thick * 0.55, level - 1)

    grow(np.zeros(3), np.array([0, 0, 1.0]), 0.4, 0.012, 3)
    return [(join(pieces), stage.material(np.array([0.1, 0.06, 0.03]) * rng.uniform(0.4, 2.5)))]


def bicycle(stage: Stage, rng: np.random.Generator) -> Parts:
    """Two wheels with spokes and a frame; at times a wheel alone."""
    upright, radius = turn("x", np.pi / 2), 0.34
    hubs = [np.array([x, 0, radius]) for x in (-0.52, 0.52)][: 1 if rng.random() < 0.3 else 2]
    tyres, spokes = [], []
    for hub in hubs:
        tyres.append(ring(hub, radius, rng.uniform(0.012, 0.025), rotation=upright))
        for angle in np.linspace(0, 2 * np.pi, rng.integers(14, 30), endpoint=False):
            spokes.append(rod(hub, hub + radius * np.array([np.cos(angle), 0, np.sin(angle)]), 0.002, sides=5))
    out: Parts = [
        (join(tyres), stage.material((0.015,) * 3)),
        (join(spokes), stage.material((0.6,) * 3, metallic=1, roughness=0.3)),
    ]
    if len(hubs) == 2:
        pedal, saddle, bars = np.array([-0.08, 0, 0.3]), np.array([-0.22, 0, 0.85]), np.array([0.36, 0, 0.85])
        pairs = [(hubs[0], pedal), (hubs[0], saddle), (pedal, saddle), (pedal, bars), (saddle, bars), (bars, hubs[1])]
        frame = [rod(a, b, 0.016) for a, b in pairs]
        frame += [rod(bars + [0, -0.25, 0.1], bars + [0, 0.25, 0.1], 0.014), rod(bars, bars + [0, 0, 0.1], 0.014)]
        frame.append(ball(saddle + [0, 0, 0.05], (0.13, 0.07, 0.03)))
        out.append((join(frame), stage.material(fabric_colour("any", rng), roughness=0.35)))
    return out


def guitar(stage: Stage, rng: np.random.Generator) -> Parts:
    """Body, neck along +z, strings."""
    return _strung(stage, rng, scale=1.0, strings=6)


def violin(stage: Stage, rng: np.random.Generator) -> Parts:
    """A small guitar with a bow."""
    bow = join(
        [rod((0.2, -0.1, -0.25), (0.28, -0.1, 0.45), 0.004), rod((0.215, -0.1, -0.25), (0.295, -0.1, 0.45), 0.0015)]
    )
    return [*_strung(stage, rng, scale=0.6, strings=4), (bow, stage.material((0.12, 0.05, 0.02)))]


def _strung(stage: Stage, rng: np.random.Generator, *, scale: float, strings: int) -> Parts:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    outline = (0.17 + 0.035 * np.cos(2 * angle) + 0.02 * np.cos(angle)) * np.where(
        np.abs(np.sin(angle)) > 0.85, 0.85, 1
    )
    flat = np.stack([outline * np.sin(angle), 0 * angle, -1.25 * outline * np.cos(angle)], 1)
    rows = [flat * 0.01 - [0, 0.045, 0], flat - [0, 0.045, 0], flat + [0, 0.045, 0], flat * 0.01 + [0, 0.045, 0]]
    body = lattice(np.array(rows), wrap_columns=True)
    neck = join([box((0, -0.04, 0.45), (0.05, 0.025, 0.6)), box((0, -0.03, 0.8), (0.075, 0.02, 0.15))])
    wires = [
        rod((x, -0.06, -0.12), (x * 0.8, -0.06, 0.75), 0.0012, sides=4) for x in np.linspace(-0.018, 0.018, strings)
    ]
    hole = tube(np.array([[0, -0.0465, 0.05], [0, -0.046, 0.05]]), 0.045, sides=24)
    wood = np.array([0.4, 0.16, 0.05]) * rng.uniform(0.3, 1.8) if rng.random() < 0.7 else fabric_colour("any", rng)
    parts = [
        (body, stage.material(np.clip(wood, 0, 0.9), roughness=0.25)),
        (neck, stage.material((0.06, 0.03, 0.02))),
        (join([*wires]), stage.material((0.7, 0.65, 0.5), metallic=1, roughness=0.3)),
        (hole, stage.material((0.005,) * 3)),
    ]
    return [(Surface(s.vertices * scale, s.faces), m) for s, m in parts]


def drum(stage: Stage, rng: np.random.Generator) -> Parts:
    """A shell, two skins, a pair of sticks."""
    wide, high = rng.uniform(0.15, 0.3), rng.uniform(0.12, 0.4)
    shell = tube(np.array([[0, 0, 0], [0, 0, high]]), wide, sides=36, capped=False)
    skins = join([tube(np.array([[0, 0, z], [0, 0, z + 0.01]]), wide * 1.03, sides=36) for z in (0, high)])
    sticks = join([rod((x, -0.2, high + 0.05), (0.5 * x, 0.1, high + 0.25), 0.008) for x in (-0.15, 0.2)])
    return [
        (shell, fabric(stage, "any", rng)),
        (skins, fabric(stage, "white", rng)),
        (sticks, fabric(stage, "muted", rng)),
    ]


def ladder(stage: Stage, rng: np.random.Generator) -> Parts:
    """Two rails and rungs, one side or two."""
    wide, high, lean = rng.uniform(0.3, 0.45), rng.uniform(1, 2.2), rng.uniform(0.15, 0.35)
    pieces = []
    for s in (-1, 1)[: rng.integers(1, 3)]:
        foot = np.array([0, s * lean * high, 0])
        for x in (-1, 1):
            pieces.append(rod(foot + [x * wide / 2, 0, 0], (x * wide / 2 * 0.85, 0, high), 0.02))
        for t in np.arange(0.12, 0.97, 0.25 / high):
            place = foot * (1 - t) + np.array([0, 0, high * t])
            pieces.append(rod(place - [wide / 2, 0, 0], place + [wide / 2, 0, 0], 0.014))
    return [(join(pieces), fabric(stage, "any", rng))]


def net(stage: Stage, rng: np.random.Generator) -> Parts:
    """A mesh of cord, flat, bent to a basket or closed to a cage."""
    lines, bend, cord = rng.integers(6, 18), rng.uniform(0, 1.0), rng.uniform(0.0015, 0.006)
    t = np.linspace(-1, 1, 25)
    pieces = []
    for place in np.linspace(-1, 1, lines):
        for swap in (False, True):
            a, b = (t, np.full(25, place)) if swap else (np.full(25, place), t)
            sag = bend * (1 - (a**2 + b**2) / 2) + 0.03 * np.sin(5 * a + 2 * b)
            pieces.append(tube(np.stack([a, sag, b], 1) * 0.35, cord, sides=5))
    if rng.random() < 0.5:
        pieces.append(ring((0, 0, 0), 0.48, 0.012, rotation=turn("x", np.pi / 2)))
        pieces.append(rod((0, 0, -0.48), (0, 0, -1.1), 0.012))
    return [(join(pieces), fabric(stage, "any", rng))]


def umbrella(stage: Stage, rng: np.random.Generator) -> Parts:
    """A dome of eight panels on a stick; the hand is at the origin."""
    wide, high = rng.uniform(0.4, 0.55), rng.uniform(0.55, 0.75)
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    scallop = 1 - 0.06 * np.abs(np.sin(4 * angle))
    rows = []
    for t in np.linspace(0.02, 1, 10):
        reach = wide * t * (1 - (1 - scallop) * t)
        rows.append(np.stack([reach * np.cos(angle), reach * np.sin(angle), high + 0.25 * (1 - t**2) + 0 * angle], 1))
    dome = lattice(np.array(rows), wrap_columns=True)
    stick = join(
        [
            rod((0, 0, -0.15), (0, 0, high + 0.32), 0.008),
            ring((0.04, 0, -0.15), 0.04, 0.01, rotation=turn("x", -np.pi / 2), arc=0.5),
        ]
    )
    return [(dome, fabric(stage, "any", rng)), (stick, fabric(stage, "muted", rng))]


def toy(stage: Stage, rng: np.random.Generator) -> Parts:
    """Blocks, cones, rings and balls heaped up."""
    out: Parts = []
    for _ in range(rng.integers(4, 12)):
        place = rng.normal(0, 0.22, 3)
        shape = rng.choice(["box", "ball", "ring", "cone"])
        spin = turn("x", rng.uniform(0, 6)) @ turn("y", rng.uniform(0, 6))
        if shape == "box":
            made = box(place, rng.uniform(0.05, 0.25, 3), rotation=spin)
        elif shape == "ball":
            made = ball(place, rng.uniform(0.04, 0.14, 3), rotation=spin)
        elif shape == "ring":
            made = ring(place, rng.uniform(0.08, 0.16), rng.uniform(0.01, 0.04), rotation=spin)
        else:
            made = rod((0, 0, 0), (0, 0, rng.uniform(0.1, 0.3)), rng.uniform(0.05, 0.12), end_radius=0.003).moved(
                spin, place
            )
        out.append((made, fabric(stage, "any", rng)))
    return out


BUILDERS: dict[str, Callable[[Stage, np.random.Generator], Parts]] = {
    "chair": chair,
    "stool": stool,
    "table": table,
    "bag": bag,
    "balls": balls,
    "bottle": bottle,
    "lamp": lamp,
    "plant": plant,
    "twigs": twigs,
    "bicycle": bicycle,
    "guitar": guitar,
    "violin": violin,
    "drum": drum,
    "ladder": ladder,
    "net": net,
    "umbrella": umbrella,
    "toy": toy,
}
