"""What this process takes of the system's memory, and gives back.

With another C library than glibc `limit_arenas` and `trim` do nothing.
"""

import ctypes
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAX_ARENAS = 1
"""glibc's heaps in one process; its default is eight for each core.

Of any but the first, `trim` leaves what is free at the end, after an unloaded model tens of MB.
"""

_M_ARENA_MAX = -8  # malloc.h

_MAPPING = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) r(?P<writable>[w-]).p \S+ \S+ \S+ +(?P<path>/.*)\n"
    r"(?P<counts>(?:[A-Z].*\n)+)",
    re.MULTILINE,
)
_COUNT = re.compile(r"^(Rss|Anonymous): +(\d+) kB", re.MULTILINE)
"""What /proc/PID/smaps says of a private mapping of a file."""
_NO_MEMORY = re.compile("(can't|cannot) allocate memory|can't start new thread", re.IGNORECASE)
"""What torch's allocator says on a CPU, and the system of a mapping."""


def limit_arenas() -> None:
    """Let all threads share one arena, as fragmentation adds up. Call it before there are threads."""
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


def drop_file_pages(path: Path | None = None) -> None:
    """Let go of a mapped file's pages, or those of all files, libraries' code above all.

    The system reads a page again when it is needed. Pages of this process's own, which differ from the
    file's, stay. Nobody may write to a file's mapping meanwhile; those of libraries' variables, which other
    threads may write to, are left alone. Does nothing where there is no /proc.
    """
    with suppress(OSError, AttributeError):
        madvise = ctypes.CDLL(None).madvise
        for start, end in list(_clean_mappings(Path("/proc/self/smaps").read_text(), path)):
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def _clean_mappings(smaps: str, path: Path | None) -> Iterator[tuple[int, int]]:
    """Where each private mapping of a file starts and ends that has pages, none of them changed."""
    for found in _MAPPING.finditer(smaps):
        counts = dict(_COUNT.findall(found["counts"]))
        wanted = found["writable"] == "-" if path is None else found["path"] == str(path)
        if wanted and counts["Rss"] != "0" and counts["Anonymous"] == "0":
            yield int(found["start"], 16), int(found["end"], 16)


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is for want of memory.

    torch has an error of its own for GPUs; on a CPU it is a RuntimeError, as where no thread can be started.
    What fails in an engine's thread, as a warm-up does, is an EngineFailure that hides the cause.
    """
    if error is None:
        return False
    names = {kind.__name__ for kind in type(error).__mro__}
    found = names & {"MemoryError", "OutOfMemoryError"} or _NO_MEMORY.search(str(error))
    return bool(found) or out_of_memory(error.__cause__)
