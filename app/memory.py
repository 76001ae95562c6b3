"""What this process takes of the system's memory, and gives back.

With another C library than glibc `limit_arenas` and `trim` do nothing.
"""

import ctypes
import mmap
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


def lazy_zeros(size: int) -> mmap.mmap:
    """A buffer of so many zero bytes, of which each page takes memory only once it has been written to."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def clear(zeros: mmap.mmap) -> None:
    """Give the pages of `lazy_zeros` back: all is zero again, at the same address."""
    zeros.madvise(mmap.MADV_DONTNEED)
