"""What each key of the preview does; help texts tell it before anything slow is imported."""

from __future__ import annotations

from typing import Literal

Action = Literal["plate", "go", "backdrop", "view", "mirror", "freeze", "quit"]
KEYS: dict[str, Action] = {
    "p": "plate",
    "g": "go",
    "b": "backdrop",
    "v": "view",
    "m": "mirror",
    "f": "freeze",
    "q": "quit",
    "\x1b": "quit",
}
HELP = "P plate anew   B backdrop   V view   M mirror   F freeze   Q quit"
