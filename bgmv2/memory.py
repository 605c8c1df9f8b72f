"""How the C library deals with the memory of pictures."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_memory() -> None:
    """Let this process keep what it frees, for the next picture; does nothing where the C library is another.

    glibc gives large pieces back to the system at once, and each new one costs a page fault for every 4 KiB: half the
    time of what is done with pictures on the CPU. It also keeps a heap for each thread, which grow one after another.
    The peak of memory stays what it is, but it is not given back before the process ends; so this is for commands, not
    for programs that have other things to do.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)):
        mallopt(option, value)
