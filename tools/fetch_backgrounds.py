"""Fetch photographs to put behind subjects from packages of Debian, with their authors and licences.

    python tools/fetch_backgrounds.py data/backgrounds

The packages hold paintings and patterns too; the photographs among their pictures were chosen by eye.
`manifest.json` says of each who made it, and under which terms; every seventh is for the test. Needs apt-get and dpkg,
which Debian and its descendants have.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bgmv2.errors import Bgmv2Error
from bgmv2.training.data import MANIFEST
from bgmv2.video.sink import beside, check_folder

ONE_IN = 7  # is for the test


@dataclass(frozen=True)
class Photograph:
    """Where a photograph is found, and whom to thank.

    Args:
        package: of Debian.
        pattern: of the file's path in the package. Of several matches the first is taken.
        author: as the package names them.
        licence: of the picture.
    """

    package: str
    pattern: str
    author: str
    licence: str


def _lomiri(name: str, author: str, licence: str) -> Photograph:
    return Photograph("lomiri-wallpapers-16.04", f"usr/share/backgrounds/{name}_by_*.jpg", author, licence)


def _mate(name: str, author: str) -> Photograph:
    return Photograph("mate-backgrounds", f"usr/share/backgrounds/mate/nature/{name}.jpg", author, "GPL-2+")


def _plasma(name: str, author: str) -> Photograph:
    pattern = f"usr/share/wallpapers/{name}/contents/images/*x*.jpg"
    return Photograph("plasma-workspace-wallpapers", pattern, author, "LGPL-3")


PHOTOGRAPHS = [
    _lomiri("Bridge", "Sander Klootwijk", "CC-BY-SA-4.0"),
    _lomiri("Dragonfly", "Bolly", "CC-BY-SA-4.0"),
    _lomiri("Picture_0B", "Trevor Freespace", "CC-BY-4.0"),
    _lomiri("Picture_1A", "Trevor Freespace", "CC-BY-4.0"),
    _lomiri("Wine", "Jakub Mede", "CC-BY-4.0"),
    _lomiri("aitzgorri", "Aitzol Berasategi", "CC-BY-4.0"),
    _lomiri("free", "Peter Nerlich", "CC-BY-SA-4.0"),
    _lomiri("friends", "Aitzol Berasategi", "CC-BY-4.0"),
    _lomiri("greentock", "Peter Nerlich", "CC-BY-SA-4.0"),
    _lomiri("life", "Aitzol Berasategi", "CC-BY-4.0"),
    _lomiri("picosdeeuropa", "Aitzol Berasategi", "CC-BY-4.0"),
    _lomiri("seeding", "Clemens Engelhardt", "CC0-1.0"),
    _lomiri("sunset", "Aitzol Berasategi", "CC-BY-4.0"),
    _mate("Aqua", "Charles Barbin"),
    _mate("Blinds", "Lennart Poettering, Andrea Cimitan"),
    _mate("Dune", "Marco Cogoni, Hylke Bons"),
    _mate("FreshFlower", "Jens Ansorg"),
    _mate("Garden", "Charles Barbin"),
    _mate("GreenMeadow", "Timothy Schellhase, Lapo Calamandrei"),
    _mate("LadyBird", "Charles Barbin"),
    _mate("RainDrops", "blackcombwhistler07"),
    _mate("Storm", "Sergey Nazarov"),
    _mate("TwoWings", "Charles Barbin, Hylke Bons"),
    _mate("Wood", "Jean-François Fortin Tam"),
    _mate("YellowFlower", "Charles Barbin"),
    _plasma("BytheWater", "Maciej Wiklo"),
    _plasma("ColdRipple", "Risto Saukonpää"),
    _plasma("ColorfulCups", "Dmitri Popov"),
    _plasma("DarkestHour", "Risto Saukonpää"),
    _plasma("EveningGlow", "Ian Hex"),
    _plasma("FallenLeaf", "Martin Klapetek"),
    _plasma("Grey", "Sigi Sagi"),
    _plasma("Kite", "Risto Saukonpää"),
    _plasma("OneStandsOut", "Risto Saukonpää"),
    _plasma("Path", "Risto Saukonpää"),
    _plasma("summer_1am", "Risto Saukonpää"),
]


def unpack(package: str, folder: Path) -> Path:
    """Download and unpack a package of Debian, without installing it.

    Args:
        package: its name.
        folder: where to work.

    Returns:
        The folder with its files.

    Raises:
        ValueError: it cannot be had.
    """
    root = folder / f"{package}-files"
    _run(["apt-get", "download", package], folder)
    _run(["dpkg", "-x", next(folder.glob(f"{package}_*.deb")).name, root.name], folder)
    return root


def _run(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise ValueError(f"{command[0]} is missing: run this on Debian or one of its descendants")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")


def main() -> None:
    """Fetch them, and write down where they are from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder to make")
    args = parser.parse_args()
    output = args.output.absolute()
    try:
        check_folder(output)
        if output.exists():
            raise ValueError(f"{output} is there already: delete it, or choose another folder")
        with tempfile.TemporaryDirectory() as scratch:
            packages = sorted({photograph.package for photograph in PHOTOGRAPHS})
            roots = {package: unpack(package, Path(scratch)) for package in tqdm(packages, unit="package")}
            fetch(roots, output)
    except (Bgmv2Error, OSError, ValueError) as error:
        sys.exit(f"fetch_backgrounds: {error}")
    print(f"wrote {len(PHOTOGRAPHS)} photographs to {args.output}")


def fetch(roots: dict[str, Path], output: Path) -> None:
    """Copy all photographs and list them, under their final name only when all are there.

    Args:
        roots: the files of each package.
        output: the folder to make.

    Raises:
        ValueError: a package does not hold what it should.
    """
    temporary = beside(output)
    temporary.mkdir()
    try:
        rows = []
        for i, photograph in enumerate(PHOTOGRAPHS):
            found = sorted(roots[photograph.package].glob(photograph.pattern))
            if not found:
                raise ValueError(f"{photograph.package} no longer holds {photograph.pattern}: take it off the list")
            file = f"{i:03}.jpg"
            shutil.copyfile(found[0], temporary / file)
            rows.append(
                {
                    "file": file,
                    "kind": "room",
                    "split": "test" if i % ONE_IN == 0 else "train",
                    "source": f"Debian {photograph.package}",
                    "author": photograph.author,
                    "licence": photograph.licence,
                }
            )
        (temporary / MANIFEST).write_text(json.dumps({"pictures": rows}, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
