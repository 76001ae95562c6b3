"""How much glibc keeps of the memory that requests give back.

By default it makes up to eight heaps for each core, and the gaps that requests leave there add up.
"""

import ctypes
from contextlib import suppress

HEAPS = 2
"""From so many glibc gives memory to all threads of a process."""
OWN_BLOCK_BYTES = 4 * 1024 * 1024
"""Blocks from here on go straight back to the system: an encoder's are larger, a step's are not."""
KEPT_BYTES = 16 * 1024 * 1024
"""How much free memory the end of a heap may hold."""

_MALLOPT = {-8: HEAPS, -3: OWN_BLOCK_BYTES, -1: KEPT_BYTES}
"""M_ARENA_MAX, M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h."""


def keep_little() -> None:
    """Have glibc keep less of it; to be called before there are threads."""
    with suppress(AttributeError):  # other C libraries have nothing to set
        for parameter, value in _MALLOPT.items():
            ctypes.CDLL(None).mallopt(parameter, value)
