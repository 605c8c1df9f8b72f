"""Average the weights of several training runs, which are often better together than each alone.

    python tools/mean_weights.py out.safetensors runs/a/weights.safetensors:1 runs/b/weights.safetensors:3

takes a quarter of the first and three of the second; without numbers all count alike.

Source: Wortsman et al., *Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time*, ICML 2022.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bgmv2.errors import Bgmv2Error
from bgmv2.nn.checkpoint import load_model, mean_state, save_checkpoint


def parse_part(text: str) -> tuple[str, float]:
    """Read ``FILE`` or ``FILE:SHARE``.

    Raises:
        ValueError: the share is not above 0.
    """
    path, colon, share = text.rpartition(":")
    if not colon or not share.replace(".", "", 1).isdigit():
        return text, 1.0
    if float(share) <= 0:
        raise ValueError(f"{text}: a share is above 0")
    return path, float(share)


def main() -> None:
    """Read the flags, average, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="weights file to write; must not be there yet")
    parser.add_argument("parts", nargs="+", metavar="FILE[:SHARE]", help="weights of a run, and how much they count")
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} is there already: choose another name, or remove it")
    try:
        paths, shares = zip(*map(parse_part, args.parts), strict=True)
        models = [load_model(path) for path in paths]
        mean = mean_state([model.state_dict() for model in models], shares)
        save_checkpoint(args.output, mean, models[0].config, half=True)
    except (Bgmv2Error, OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


if __name__ == "__main__":
    main()
