"""What each picture shows, drawn by lot from the seed and the number of the picture alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

PEOPLE_SHARE = 0.66
BODIES = 160
FRAMINGS = {"full": 0.3, "knees": 0.18, "half": 0.3, "portrait": 0.22}
POSES = {"relaxed": 3, "akimbo": 2, "waving": 2, "raised": 2, "forward": 2, "crossed": 1, "sitting": 2, "walking": 2}
HAIR_STYLES = {
    "bald": 1,
    "buzz": 1,
    "short": 4,
    "fringe": 2,
    "bob": 2,
    "long": 5,
    "wavy": 4,
    "curly": 4,
    "afro": 2,
    "ponytail": 3,
    "bun": 2,
}
# Linear RGB.
HAIR_COLOURS = {
    "black": (0.008, 0.007, 0.006),
    "dark brown": (0.03, 0.016, 0.009),
    "brown": (0.09, 0.045, 0.022),
    "red": (0.28, 0.07, 0.02),
    "blond": (0.5, 0.33, 0.14),
    "light blond": (0.75, 0.6, 0.36),
    "grey": (0.32, 0.31, 0.3),
    "white": (0.8, 0.78, 0.74),
    "pink": (0.75, 0.1, 0.35),
    "blue": (0.03, 0.12, 0.5),
    "green": (0.05, 0.35, 0.1),
}
HAIR_COLOUR_WEIGHTS = (4, 4, 4, 2, 3, 2, 2, 1.5, 0.5, 0.5, 0.4)
TOPS = {"none": 0.3, "t-shirt": 3, "shirt": 3, "jumper": 3, "turtleneck": 1, "top": 1.5}
BOTTOMS = {"trousers": 5, "shorts": 1.5, "skirt": 2, "dress": 2}
PALETTES = {"any": 6, "black": 1.5, "white": 1.5, "muted": 3}
HELD = {"nothing": 10, "ball": 1, "box": 1, "cup": 2, "phone": 2, "stick": 1.5, "guitar": 1, "umbrella": 1}
WORN = {"nothing": 8, "glasses": 4, "cap": 1.5, "hat": 1, "headphones": 2}
THINGS = {
    "cat": 5,
    "dog": 7,
    "sheep": 1.5,
    "bird": 1.5,
    "horse": 1.5,
    "bear": 1.5,
    "chair": 2,
    "stool": 1,
    "table": 1,
    "bag": 2,
    "balls": 1,
    "bottle": 1,
    "lamp": 1.5,
    "plant": 3,
    "twigs": 1.5,
    "bicycle": 2,
    "guitar": 1,
    "violin": 1,
    "drum": 1,
    "ladder": 1,
    "net": 1.5,
    "umbrella": 1,
    "toy": 1.5,
}


@dataclass(frozen=True)
class Shot:
    """One picture to take.

    Args:
        index: number of the picture.
        seed: for everything that is drawn while the subject is built.
        kind: ``person`` or ``thing``.
        subject: ``person`` or what the thing is.
        framing: how much of a person is seen.
        yaw: by which the subject is turned, radians.
        elevation: of the camera, radians; above zero it looks down.
        lens: focal length on a 36 mm film.
        exposure: factor on the light of the surroundings.
        lamp: an extra lamp, ``none``, ``rim`` or ``key``.
        aperture: f-number of a blurred lens, 0 where all is sharp.
        motion: what moves while the shutter is open: ``none``, ``camera`` or ``prop``.
        body, pose, hair, hair_colour, beard, wind, top, bottom, palette, held, worn, trim: of a person.
    """

    index: int
    seed: int
    kind: str
    subject: str
    framing: str = "full"
    yaw: float = 0.0
    elevation: float = 0.0
    lens: float = 50.0
    exposure: float = 1.0
    lamp: str = "none"
    aperture: float = 0.0
    motion: str = "none"
    body: int = 0
    pose: str = "relaxed"
    hair: str = "short"
    hair_colour: str = "brown"
    beard: str = "none"
    wind: float = 0.0
    top: str = "shirt"
    bottom: str = "trousers"
    palette: str = "any"
    held: str = "nothing"
    worn: str = "nothing"
    trim: str = "none"

    @property
    def file(self) -> str:
        """Name of the picture."""
        return f"{self.kind}_{self.index:05d}.png"

    def rng(self) -> np.random.Generator:
        """The source of chance for what the plan leaves open."""
        return np.random.default_rng((self.seed, self.index, 1))

    def as_line(self) -> dict:
        """For the manifest."""
        return {"file": self.file, **asdict(self)}


def plan(seed: int, index: int, *, only: str | None = None) -> Shot:
    """What picture ``index`` shows.

    Args:
        seed: of the whole set, >= 0.
        index: number of the picture, >= 0.
        only: ``"people"`` or ``"things"``.
    """
    rng = np.random.default_rng((seed, index, 0))

    def one_of(table: dict[str, float]) -> str:
        weights = np.array(list(table.values()), float)
        return str(rng.choice(list(table), p=weights / weights.sum()))

    person = rng.random() < PEOPLE_SHARE
    if only is not None:
        person = only == "people"
    common = dict(
        index=index,
        seed=seed,
        lens=float(rng.uniform(35, 85)),
        exposure=float(rng.uniform(0.8, 1.7)),
        lamp=one_of({"none": 6, "rim": 2, "key": 2}),
        aperture=float(np.exp(rng.uniform(np.log(0.6), np.log(2.5)))) if rng.random() < 0.25 else 0.0,
        motion=one_of({"none": 10, "camera": 1.3, "prop": 0.7}),
    )
    if not person:
        return Shot(
            kind="thing",
            subject=one_of(THINGS),
            yaw=float(rng.uniform(-np.pi, np.pi)),
            elevation=float(rng.uniform(-0.1, 0.6)),
            **common,
        )
    body = int(rng.integers(BODIES))
    hair = one_of(HAIR_STYLES)
    return Shot(
        kind="person",
        subject="person",
        framing=one_of(FRAMINGS),
        yaw=float(rng.uniform(-np.pi, np.pi) if rng.random() < 0.15 else rng.normal(0, 0.55)),
        elevation=float(rng.normal(0.03, 0.1)),
        body=body,
        pose=one_of(POSES),
        hair=hair,
        hair_colour=str(rng.choice(list(HAIR_COLOURS), p=np.array(HAIR_COLOUR_WEIGHTS) / np.sum(HAIR_COLOUR_WEIGHTS))),
        beard=one_of({"none": 1, "stubble": 0.3, "full": 0.5, "moustache": 0.3}) if bearded(body) else "none",
        wind=float(rng.uniform(0.4, 1.2)) if rng.random() < 0.25 else 0.0,
        top=one_of(TOPS),
        bottom=one_of(BOTTOMS),
        palette=one_of(PALETTES),
        held=one_of(HELD),
        worn=one_of(WORN),
        trim=one_of({"none": 6, "fur": 1, "fringe": 1}),
        **common,
    )


def phenotype(body: int) -> dict[str, float]:
    """Shape of one of the ``BODIES`` bodies in the terms of the body model, each 0..1."""
    rng = np.random.default_rng((7, body))
    return {
        "gender": float(np.clip(rng.choice([0.08, 0.92]) + rng.normal(0, 0.08), 0, 1)),
        "age": float(rng.uniform(0.35, 0.55) if rng.random() < 0.15 else rng.uniform(0.62, 0.97)),
        "muscle": float(rng.uniform(0.25, 0.75)),
        "weight": float(rng.uniform(0.25, 0.8)),
        "height": float(rng.uniform(0.3, 0.75)),
        "proportions": float(rng.uniform(0.3, 0.8)),
    }


def bearded(body: int) -> bool:
    """Whether a beard may grow. The model's gender runs from male (0) to female (1)."""
    shape = phenotype(body)
    return shape["gender"] < 0.5 and shape["age"] > 0.6
