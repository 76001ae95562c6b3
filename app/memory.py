"""How much glibc keeps of the memory that requests give back. Other C libraries are left alone."""

import ctypes
from contextlib import suppress

HEAPS = 2
"""From so many glibc gives memory to all threads of a process."""

_M_ARENA_MAX = -8  # malloc.h


def share_heaps() -> None:
    """Let all threads take their memory from a few heaps; to be called before there are threads.

    By default glibc makes up to eight for each core, and the gaps that requests leave there add up.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)


def give_back() -> None:
    """Return free memory to the system: by itself glibc does so only at the end of a heap."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
