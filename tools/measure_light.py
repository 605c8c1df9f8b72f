"""How near the plate comes to the true background when the light of a clip is not that of the plate.

    python tools/measure_light.py data/shards runs/light
    python tools/measure_light.py data/shards runs/light --scenes bands pulse --alpha

Rooms and people that training never saw are filmed under light that changes as `SCENES` say; light works on linear
values, then the camera bends them. Behind every frame the true background is known, behind the subject as well, and the
plate in the light that was measured is compared with it: mean absolute differences, times 1000, code values in 0..1.
It writes `light.json`, `light.txt`, a plot of each scene over time, and a sheet to look at.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from bgmv2 import metrics, sheets
from bgmv2.matter import Matter
from bgmv2.plate.align import Alignment
from bgmv2.plate.exposure import Exposure
from bgmv2.plate.light import LightMeter
from bgmv2.plate.place import place_plate
from bgmv2.plate.views import reduced
from bgmv2.training.data import Material, load_material
from bgmv2.video.images import write_image

WIDTH, HEIGHT, FRAMES = 480, 270, 24
# What `Aligner` shows the meter.
LONG_SIDE = 640
# Standard deviation of the camera's noise, and how long a matte's frames are apart.
NOISE, MATTE_EVERY = 0.008, 6
Array = np.ndarray


class Curve:
    """How a camera makes code values of linear light, from tables.

    Args:
        bend: linear light in 0..`TOP`, where 1 is white, to code values in 0..1; rises everywhere.
    """

    TOP = 12.0

    def __init__(self, bend: Callable[[Array], Array]):
        # Square roots spend the tables' rows where eyes and code values do.
        light = self.TOP * np.linspace(0, 1, 1 << 14) ** 2
        code = np.clip(bend(light), 0, 1)
        self._code = code.astype(np.float32)
        self._light = np.interp(np.linspace(0, 0.9995, 1 << 14), code, light).astype(np.float32)

    def code(self, light: Array) -> Array:
        """Bend."""
        index = np.sqrt(light * np.float32(1 / self.TOP)) * np.float32(len(self._code) - 1)
        return self._code[np.minimum(index + np.float32(0.5), len(self._code) - 1).astype(np.int32)]

    def light(self, code: Array) -> Array:
        """Undo `code`; what was clipped becomes the least light that is."""
        index = code * np.float32(len(self._light) / 0.9995)
        return self._light[np.minimum(index, len(self._light) - 1).astype(np.int32)]


def srgb(light: Array) -> Array:
    """The curve of sRGB. Source: IEC 61966-2-1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def film(light: Array) -> Array:
    """Film's curve, its highlights rolled off. Source: Narkowicz, *ACES Filmic Tone Mapping Curve*, 2015."""
    return srgb(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14))


CURVES = {"srgb": Curve(srgb), "film": Curve(film)}


@dataclass(frozen=True)
class Shot:
    """What a scene does to one frame.

    Args:
        light: factor of the frame's linear light, broadcast to ``(H, W, 3)``; the plate has 1.
        shadow: factor of the light that the subject leaves to the room; it is no part of the truth.
    """

    light: Array
    shadow: Array | None = None


def grid() -> tuple[Array, Array]:
    """``(H, 1)`` and ``(1, W)`` coordinates, 0..1."""
    return (np.arange(HEIGHT)[:, None] + 0.5) / HEIGHT, (np.arange(WIDTH)[None] + 0.5) / WIDTH


def stops(value: Array | float) -> Array:
    """Give exposure values as a factor."""
    return np.exp2(np.asarray(value, np.float64))


def steady(t: int, pha: Array) -> Shot:
    """Nothing changes."""
    return Shot(stops(0.0))


def drift(t: int, pha: Array) -> Shot:
    """Automatic exposure wanders by 0.7 stops to both sides."""
    return Shot(stops(0.7 * np.sin(2 * np.pi * t / FRAMES)))


def balance(t: int, pha: Array) -> Shot:
    """White balance wanders from cold to warm."""
    return Shot(stops(np.array([0.3, 0.0, -0.4]) * np.cos(np.pi * t / FRAMES)))


def both(t: int, pha: Array) -> Shot:
    """Exposure and white balance wander."""
    return Shot(drift(t, pha).light * balance(t, pha).light)


def vignette(t: int, pha: Array) -> Shot:
    """Corners lost half of their light, as with a wider aperture."""
    y, x = grid()
    square = ((x - 0.5) ** 2 * (WIDTH / HEIGHT) ** 2 + (y - 0.5) ** 2) / (((WIDTH / HEIGHT) ** 2 + 1) / 4)
    return Shot(stops(-square)[..., None])


def lamp(t: int, pha: Array) -> Shot:
    """A warm lamp is switched on at one side after a third of the clip."""
    y, x = grid()
    glow = np.exp(-((x - 0.15) ** 2 + (y - 0.3) ** 2) / (2 * 0.22**2))[..., None] * np.array([1.0, 0.8, 0.5])
    return Shot(1 + glow * (t >= FRAMES // 3))


def cloud(t: int, pha: Array) -> Shot:
    """The sun leaves one side of the room."""
    _, x = grid()
    return Shot(stops(-0.8 * t / FRAMES / (1 + np.exp(-(x - 0.55) / 0.12)) + 0 * grid()[0])[..., None])


def bands(t: int, pha: Array) -> Shot:
    """Lamps flicker while the shutter rolls: bands wander through the picture."""
    y, _ = grid()
    wave = 0.15 * np.sin(2 * np.pi * (2.4 * y + 0.37 * t)) + 0.03 * np.sin(2 * np.pi * (4.8 * y + 0.74 * t))
    return Shot((1 + wave)[..., None] * np.array([1.0, 0.98, 0.94]))


def pulse(t: int, pha: Array) -> Shot:
    """Lamps flicker and the whole frame pulses."""
    return Shot(np.float64(1 + 0.08 * (-1) ** t))


def shadow(t: int, pha: Array) -> Shot:
    """The subject's shadow falls beside it, which is no change of the room's light."""
    moved = cv2.warpAffine(pha, np.float64([[1, 0.15, 40], [0, 1, 6]]), (WIDTH, HEIGHT))
    return Shot(stops(0.0), 1 - 0.6 * cv2.GaussianBlur(moved, (0, 0), 12)[..., None])


SCENES: dict[str, Callable[[int, Array], Shot]] = {
    scene.__name__: scene for scene in (steady, drift, balance, both, vignette, lamp, cloud, bands, pulse, shadow)
}


@dataclass(frozen=True, eq=False)
class Filmed:
    """One frame, and what is true of it.

    Args:
        src: ``(H, W, 3)`` uint8.
        room: ``(H, W, 3)`` float, the background in the light of the frame, without the subject's shadow.
        pha: ``(H, W)`` float.
    """

    src: Array
    room: Array
    pha: Array


def fill(picture: Array) -> Array:
    """Cut a room to the shape of a frame and scale it, ``(H, W, 3)`` float in 0..1."""
    height, width = picture.shape[:2]
    zoom = max(WIDTH / width, HEIGHT / height)
    size = max(WIDTH, round(width * zoom)), max(HEIGHT, round(height * zoom))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - HEIGHT) // 2, (large.shape[1] - WIDTH) // 2
    return large[top : top + HEIGHT, left : left + WIDTH] * np.float32(1 / 255)


def standing(cutout: Array, at: float) -> Array:
    """Stand a cut-out ``(h, w, 4)`` into an empty frame; ``(H, W, 4)`` float, straight. `at` is its middle, 0..1."""
    zoom = 0.95 * HEIGHT / cutout.shape[0]
    place = np.float64([[zoom, 0, at * WIDTH - zoom * cutout.shape[1] / 2], [0, zoom, 0.06 * HEIGHT]])
    size = (WIDTH, HEIGHT)
    colours = cv2.warpAffine(cutout[..., :3], place, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(cutout[..., 3], place, size, flags=cv2.INTER_AREA)
    return np.dstack([colours, alpha]) * np.float32(1 / 255)


def pixels(picture: Array, rng: np.random.Generator) -> Array:
    """Expose a picture: noise, and 8 bit."""
    noisy = picture + np.float32(NOISE) * rng.standard_normal(picture.shape, np.float32)
    return (255 * np.clip(noisy, 0, 1) + 0.5).astype(np.uint8)


class Studio:
    """Films people in rooms.

    Args:
        material: of the test split.
        seed: of all that is random.
    """

    def __init__(self, material: Material, seed: int):
        self._people = [person.permute(1, 2, 0).numpy() for person in material.people if person.shape[1] > 250]
        self._rooms = [room.permute(1, 2, 0).numpy() for room in material.rooms]
        self._seed = seed

    def film(self, scene: str, number: int, curve: str) -> tuple[Array, Iterator[Filmed]]:
        """Return a plate ``(H, W, 3)`` uint8, and the frames."""
        rng = np.random.default_rng([self._seed, number])
        camera = CURVES[curve]
        room = camera.light(fill(self._rooms[rng.integers(len(self._rooms))]))
        people = [self._people[i] for i in rng.integers(len(self._people), size=2)]

        def frames() -> Iterator[Filmed]:
            for t in range(FRAMES):
                pha = np.zeros((HEIGHT, WIDTH), np.float32)
                layers = [standing(person, at + 0.012 * t) for person, at in zip(people, (0.3, 0.55), strict=True)]
                for layer in layers:
                    pha = np.maximum(pha, layer[..., 3])
                shot = SCENES[scene](t, pha)
                light = shot.light.astype(np.float32)
                truth = camera.code(room * light)
                picture = truth if shot.shadow is None else camera.code(room * light * shot.shadow)
                for layer in layers:
                    picture = picture + layer[..., 3:] * (camera.code(camera.light(layer[..., :3]) * light) - picture)
                yield Filmed(pixels(picture, rng), truth, pha)

        return pixels(camera.code(room), rng), frames()


@dataclass(frozen=True)
class Score:
    """Errors of one frame, times 1000.

    Args:
        before: of the plate as it is.
        after: of the plate in the measured light.
        behind: of that, where the subject stands.
        seconds: that measuring took.
        mad: of alpha with the measured light; None if nobody asked.
        mad_before: of alpha with the plate as it is.
    """

    before: float
    after: float
    behind: float
    seconds: float
    mad: float | None = None
    mad_before: float | None = None


def relit(bgr: torch.Tensor, light: Exposure) -> torch.Tensor:
    """Bring the plate into a light."""
    return place_plate(bgr, Alignment(np.eye(3), light, "fixed"))


def measure(plate: Array, frames: Iterator[Filmed], matter: Matter | None) -> tuple[list[Score], list[Array]]:
    """Follow the light of a clip; returns its scores, and pictures of its frame in the middle for a sheet."""
    meter = LightMeter(reduced(plate, LONG_SIDE))
    bgr = torch.from_numpy(plate).permute(2, 0, 1)[None] / 255
    scores, shown = [], []
    for t, frame in enumerate(frames):
        small = reduced(frame.src, LONG_SIDE)
        begin = time.perf_counter()
        light = meter.measure(small, np.eye(3), doubtful=False)
        seconds = time.perf_counter() - begin
        known = relit(bgr, light)
        errors = [1000 * np.abs(x[0].permute(1, 2, 0).numpy() - frame.room).mean(axis=2) for x in (bgr, known)]
        behind = frame.pha > 0.5
        mads = [None, None]
        if matter is not None and t % MATTE_EVERY == MATTE_EVERY - 1:
            phas = (matter.matte(frame.src, plate=x).pha[0, 0].cpu().numpy() for x in (known, bgr))
            mads = [1000 * metrics.mad(pha, frame.pha) for pha in phas]
        scores.append(
            Score(*map(float, (errors[0].mean(), errors[1].mean(), errors[1][behind].mean(), seconds)), *mads)
        )
        if t == FRAMES * 2 // 3:
            heat = [np.dstack([np.clip(3 * error, 0, 255).astype(np.uint8)] * 3) for error in errors]
            shown = [frame.src, *heat]
    return scores, shown


def plot(path: Path, curves: dict[str, list[list[Score]]]) -> None:
    """Draw the errors of each scene over time."""
    from matplotlib.figure import Figure

    columns = 5
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.6 * rows), layout="constrained")
    for index, (name, clips) in enumerate(curves.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        for field, label in (
            ("before", "plate as it is"),
            ("after", "in measured light"),
            ("behind", "behind subject"),
        ):
            axes.plot([fmean(getattr(clip[t], field) for clip in clips) for t in range(FRAMES)], label=label)
        axes.set(title=name, yscale="log", ylim=(1, 300))
        if not index:
            axes.legend(fontsize=7)
    figure.savefig(path, dpi=80)


def main() -> None:
    """Read the flags, film, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by tools/prepare_data.py")
    parser.add_argument("output", type=Path, help="a folder for what is found")
    parser.add_argument(
        "--scenes", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE", help="default: all"
    )
    parser.add_argument("--clips", type=int, default=4, help="of each scene and curve; default: %(default)s")
    parser.add_argument("--seed", type=int, default=2026, help="default: %(default)s")
    parser.add_argument("--alpha", action="store_true", help="matte some frames, with and without the light")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    studio = Studio(load_material(args.data, split="test"), args.seed)
    matter = Matter() if args.alpha else None
    found: dict[str, list[list[Score]]] = {}
    rows = []
    jobs = [(scene, curve, number) for scene in args.scenes for curve in CURVES for number in range(args.clips)]
    for scene, curve, number in tqdm(jobs, unit="clip"):
        scores, shown = measure(*studio.film(scene, number, curve), matter)
        found.setdefault(f"{scene} {curve}", []).append(scores)
        if number == 0:
            row = np.hstack([sheets.sized(picture, long_side=320) for picture in shown])
            sheets.label(row, f"{scene} {curve}: frame, error of the plate x3, error in measured light x3")
            rows.append(row)
    lines, told = [f"{'mean absolute difference x1000':32} before  after behind  worst    MAD  was"], {}
    for name, clips in found.items():
        every = [score for clip in clips for score in clip]
        mads = [(s.mad, s.mad_before) for s in every if s.mad is not None and s.mad_before is not None]
        values: dict[str, Any] = {
            **{field: round(fmean(getattr(s, field) for s in every), 3) for field in ("before", "after", "behind")},
            "worst": round(max(s.after for s in every), 3),
            "mad": round(fmean(m[0] for m in mads), 3) if mads else None,
            "mad_before": round(fmean(m[1] for m in mads), 3) if mads else None,
        }
        told[name] = values
        shown_mads = "".join(f" {values[key]:6.2f}" for key in ("mad", "mad_before") if mads)
        lines.append(
            f"{name:32}" + "".join(f" {values[k]:6.2f}" for k in ("before", "after", "behind", "worst")) + shown_mads
        )
    seconds = median(score.seconds for clips in found.values() for clip in clips for score in clip)
    lines.append(f"measuring a frame took {1000 * seconds:.1f} ms (median)")
    text = "\n".join(lines)
    print(text)
    (args.output / "light.txt").write_text(text + "\n", encoding="utf-8")
    (args.output / "light.json").write_text(json.dumps({"scenes": told, "seconds": seconds}, indent=1) + "\n")
    plot(args.output / "light.png", found)
    write_image(args.output / "sheet.png", sheets.grid(rows, 2), overwrite=True)


if __name__ == "__main__":
    main()
