"""Make the benchmark for `bgmv2 eval`: composites of subjects and rooms that training never saw, with their true alpha.

    python tools/make_benchmark.py data/shards data/benchmark --seed 2026
    python tools/make_benchmark.py data/shards data/easy --easy

One seed and one folder of data give one benchmark. What is hard about each category stands in `CATEGORIES`; in `EASY`
nothing is, but that the camera may be held in a hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from bgmv2.compose import to_uint8
from bgmv2.evaluate import INDEX, VERSION
from bgmv2.training.compose import ComposeConfig, Composer, Pair
from bgmv2.training.data import Material, load_material
from bgmv2.video.images import write_image
from bgmv2.video.sink import beside

# A subject that hardly shows, or hides the room, tells little.
LEAST_SHARE, LARGEST_SHARE = 0.03, 0.7
TRIES = 20
ENOUGH = 4  # of each kind for one item that may show a group, so that this is not one person twice


def hairiest(material: Material) -> Material:
    """Keep the fifth of the people whose alpha is soft in the largest part; enough for six items of their own."""

    def softness(cutout: torch.Tensor) -> float:
        alpha = cutout[None, 3:].float() / 255
        alpha = F.interpolate(alpha, size=(400, max(1, round(400 * alpha.shape[3] / alpha.shape[2]))), mode="area")
        return float(soft(alpha).sum() / (alpha > 0.1).sum().clamp(min=1))

    people = sorted(material.people, key=softness, reverse=True)
    return replace(material, people=people[: max(1, len(people) // 5)])


def soft(pha: torch.Tensor) -> torch.Tensor:
    """Tell where alpha is neither subject nor background."""
    return (pha > 0.1) & (pha < 0.9)


@dataclass(frozen=True)
class Category:
    """One kind of difficulty.

    Args:
        config: how its pictures are composed.
        count: of items.
        frames: of each item; more than one make a clip.
        choose: the material that suits it.
        draws: of so many composites, the one with the most soft pixels is taken.
    """

    config: ComposeConfig
    count: int = 6
    frames: int = 1
    choose: Callable[[Material], Material] = lambda material: material
    draws: int = 1


# What all pictures have: people, filmed from a tripod by a camera with some noise and lossy files.
PLAIN = ComposeConfig(
    part=0,
    empty=0,
    objects=0,
    drawn=0,
    group=0.1,
    furniture=0,
    nudge=0,
    same_color=0,
    spill=0.3,
    shadow=0,
    contact=0.5,
    reflection=0,
    motion=0,
    noise=0.03,
    compression=0.5,
    exposure=0.03,
    vignette=0,
    still=0,
    shift=0,
    turn=0,
    bend=0,
    far_shift=0,
    ripple=0,
    unseen=0,
    handheld=0,
)
CATEGORIES = {
    "static": Category(PLAIN),
    "handheld": Category(replace(PLAIN, handheld=1)),
    "shadow": Category(replace(PLAIN, shadow=1, reflection=0.3)),
    "exposure": Category(replace(PLAIN, exposure=0.3, vignette=0.3)),
    "colours": Category(replace(PLAIN, same_color=1)),
    "objects": Category(replace(PLAIN, objects=1)),
    "hair": Category(PLAIN, choose=hairiest, draws=4),
    "clip": Category(replace(PLAIN, drift=0.3), count=2, frames=5),
    "handheld clip": Category(replace(PLAIN, handheld=1), count=2, frames=5),
}
ALONE = replace(PLAIN, group=0, spill=0)
EASY = {"static": Category(ALONE, count=18), "handheld": Category(replace(ALONE, handheld=1), count=18)}


def deal(material: Material, number: int, total: int, *, enough: int = ENOUGH) -> Material:
    """Give each of `total` items its own share, so that nothing is seen in two of them; all, if there is not enough."""

    def share(pictures: list[torch.Tensor]) -> list[torch.Tensor]:
        own = pictures[number::total]
        return own if len(own) >= enough else pictures

    return Material(*(share(pictures) for pictures in (material.people, material.things, material.rooms)))


def shuffled(material: Material, seed: int) -> Material:
    """Bring everything into a random order."""
    generator = torch.Generator().manual_seed(seed)

    def shuffle(pictures: list[torch.Tensor]) -> list[torch.Tensor]:
        return [pictures[i] for i in torch.randperm(len(pictures), generator=generator)]

    return Material(*(shuffle(pictures) for pictures in (material.people, material.things, material.rooms)))


def compose(category: Category, material: Material, seed: int, height: int, width: int) -> Pair:
    """Compose one item; the subject is well in the picture, and the upper border cuts off nobody's head.

    Raises:
        ValueError: no composite shows enough of the subject.
    """
    composer = Composer(material, category.config, seed=seed)
    good: list[Pair] = []
    for _ in range(TRIES):
        pair = (
            composer.batch(1, height, width) if category.frames == 1 else composer.clip(category.frames, height, width)
        )
        shares = pair.pha.mean(dim=(1, 2, 3))
        if shares.min() >= LEAST_SHARE and shares.max() <= LARGEST_SHARE and pair.pha[:, :, 0].max() < 0.5:
            good.append(pair)
        if len(good) == category.draws:
            break
    if not good:
        raise ValueError(f"none of {TRIES} composites shows enough of its subject: the cut-outs are unusual")
    return max(good, key=lambda pair: int(soft(pair.pha).sum()))


def write_item(folder: Path, name: str, category: str, pair: Pair) -> dict[str, object]:
    """Write an item's pictures; returns its entry in the index. A clip has the plate of its first frame."""
    (folder / name).mkdir()
    entry: dict[str, object] = {"name": name, "category": category, "plate": f"{name}/plate.png"}
    write_image(folder / name / "plate.png", pixels(pair.bgr[0]))
    frames = []
    for index in range(len(pair.src)):
        suffix = f"-{index:06d}" if len(pair.src) > 1 else ""
        frame = {role: f"{name}/{role}{suffix}.png" for role in ("src", "pha", "fgr")}
        for role, path in frame.items():
            write_image(folder / path, pixels(getattr(pair, role)[index]))
        frames.append(frame)
    return {**entry, "frames": frames}


def pixels(picture: torch.Tensor) -> np.ndarray:
    """``(C, H, W)`` in 0..1 to ``(H, W, C)``, or ``(H, W)`` if C is 1, as uint8."""
    array = to_uint8(picture).permute(1, 2, 0).cpu().numpy()
    return array[..., 0] if array.shape[2] == 1 else array


def main() -> None:
    """Read the flags, compose, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder made by tools/prepare_data.py")
    parser.add_argument("output", type=Path, help="the benchmark's folder; must not be there yet")
    parser.add_argument("--seed", type=int, default=2026, help="default: %(default)s")
    parser.add_argument("--easy", action="store_true", help="one photographed person each, and nothing hard")
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"))
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} is there already: choose another name, or remove it")
    try:
        material = shuffled(load_material(args.data, split="test", rendered=not args.easy), args.seed)
        args.output.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    categories = EASY if args.easy else CATEGORIES
    jobs = [(name, number) for name, category in categories.items() for number in range(category.count)]
    entries = []
    temporary = beside(args.output)
    temporary.mkdir()
    try:
        for position, (name, number) in enumerate(tqdm(jobs, unit="item")):
            category = categories[name]
            chosen = category.choose(material)
            is_special = chosen is not material
            place = (number, category.count) if is_special else (position, len(jobs))
            own = deal(chosen, *place, enough=ENOUGH if category.config.group > 0 else 1)
            # Seeds of neighbouring categories and benchmarks never meet.
            digest = hashlib.sha256(f"{args.seed} {name} {number}{' easy' * args.easy}".encode()).digest()
            pair = compose(category, own, int.from_bytes(digest[:6]), args.size[1], args.size[0])
            entries.append(write_item(temporary, f"{name.replace(' ', '-')}-{number}", name, pair))
        digests = [hashlib.sha256(path.read_bytes()).digest() for path in sorted(temporary.rglob("*.png"))]
        index = {
            "version": VERSION,
            "seed": args.seed,
            "sha256": hashlib.sha256(b"".join(digests)).hexdigest(),
            "items": entries,
        }
        (temporary / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, args.output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"wrote {len(entries)} items to {args.output}; score them with: bgmv2 eval {args.output}")


if __name__ == "__main__":
    main()
