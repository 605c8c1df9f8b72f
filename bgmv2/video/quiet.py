"""C libraries write what went wrong to stderr past Python; users shall read one line of ours instead."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep C libraries from writing to stderr; what is wrong is told by an exception."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed, as in a service
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
