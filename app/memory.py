"""How much freed memory glibc keeps. With other C libraries these functions do nothing."""

import ctypes
from contextlib import suppress

MAX_ARENAS = 2
"""glibc's heaps in one process; its default is eight for each core."""

_M_ARENA_MAX = -8  # malloc.h


def limit_arenas() -> None:
    """Let all threads share MAX_ARENAS arenas, as fragmentation adds up. Call it before there are threads."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MAX_ARENAS)


def trim() -> None:
    """Return free memory to the system. By itself glibc returns only what is free at the end of a heap."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
