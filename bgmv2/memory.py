"""How the C library deals with the memory of pictures."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
# Encoders have filled their look-ahead after so many frames; until then, what is free is given back every so many.
_SETTLED, _EVERY = 96, 16
# Memory that grows back within so many frames is needed, and giving it back again and again would only take time.
_NEEDED = 8
_keeps = False


def keep_memory() -> None:
    """Let this process keep what it frees, for the next picture; does nothing where the C library is another.

    glibc gives large pieces back to the system at once, and each new one costs a page fault for every 4 KiB: half the
    time of what is done with pictures on the CPU. It also keeps a heap for each thread, which grow one after another.
    What is freed is not given back before the process ends, or a `Lid` says so; so this is for commands, not for
    programs that have other things to do.
    """
    global _keeps
    try:
        libc = ctypes.CDLL(None)
        mallopt, _ = libc.mallopt, libc.malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)):
        mallopt(option, value)
    _keeps = True


class Lid:
    """Holds a run to about the memory that its first frames took; call it after each frame.

    What is freed and kept breaks up: what lives long, as an encoder's look-ahead does, comes to lie between, the next
    large piece fits nowhere, and the heap grows more and more slowly, but without end. So what is free goes back to the
    system now and then, and later on whenever more is held than at first. Does nothing without `keep_memory`.
    """

    def __init__(self) -> None:
        self._frames = self._trimmed = self._most = 0

    def __call__(self) -> None:
        """Look whether memory has grown."""
        if not _keeps:
            return
        held = _resident()
        self._frames += 1
        learns = self._frames <= _SETTLED
        since = self._frames - self._trimmed
        is_due = since == _EVERY if learns else since > _NEEDED and held > self._most
        if is_due:
            self._trimmed = self._frames
            ctypes.CDLL(None).malloc_trim(0)
        if learns or since <= _NEEDED:
            self._most = max(self._most, held)


def _resident() -> int:
    """Bytes of this process that lie in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
