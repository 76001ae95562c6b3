import ctypes
import errno
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import memory
from tests.readme import ROOT

_FORTY_THREADS = """
import ctypes, threading
from app import memory
if {limited}:
    memory.limit_arenas()
libc = ctypes.CDLL(None)
together = threading.Barrier(40)
def work():
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(40)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.parametrize("limited", [True, False])
def test_threads_share_a_few_heaps(limited: bool) -> None:
    """Without the limit there are more, or this would show nothing."""
    program = _FORTY_THREADS.format(limited=limited)
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert (told.stdout.count("<heap nr=") <= memory.MAX_ARENAS) is limited


def test_gaps_in_a_heap_go_back_to_the_system() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    blocks = [ctypes.c_void_p(libc.malloc(100_000)) for _ in range(1_000)]
    for block in blocks:
        libc.memset(block, 1, 100_000)
    for block in blocks[:-1]:
        libc.free(block)
    before = resident_bytes()
    memory.trim()
    assert before - resident_bytes() > 50_000_000
    libc.free(blocks[-1])


def test_lazy_zeros_take_memory_where_they_are_written_to_and_until_they_are_cleared() -> None:
    before = resident_bytes()
    zeros = memory.lazy_zeros(64 * 2**20)
    assert resident_bytes() - before < 2**20
    zeros[:: mmap.PAGESIZE] = bytes([1]) * (len(zeros) // mmap.PAGESIZE)
    assert resident_bytes() - before > 60 * 2**20
    memory.clear(zeros)
    assert resident_bytes() - before < 4 * 2**20
    assert not zeros[0]
    assert zeros[:] == bytes(len(zeros))


@contextmanager
def mapping(path: Path, protection: int) -> Iterator[mmap.mmap]:
    """A file's private mapping, all of whose pages have been read."""
    path.write_bytes(bytes(range(256)) * 2**14)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=protection) as pages,
    ):
        assert pages.find(b"not there") == -1
        yield pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some file"


@pytest.fixture
def pages(path: Path) -> Iterator[mmap.mmap]:
    with mapping(path, mmap.PROT_READ) as pages:
        yield pages


@pytest.fixture
def writable_pages(path: Path) -> Iterator[mmap.mmap]:
    with mapping(path, mmap.PROT_READ | mmap.PROT_WRITE) as pages:
        yield pages


def resident_of(path: Path) -> int:
    """kB of a file that this process has mapped and in memory."""
    smaps = Path("/proc/self/smaps").read_text()
    return sum(map(int, re.findall(rf" {re.escape(str(path))}\n(?:[A-Z].*\n)*?Rss: +(\d+) kB", smaps)))


@pytest.mark.parametrize("every", [True, False])
def test_pages_of_a_file_go_and_are_read_again(path: Path, pages: mmap.mmap, every: bool) -> None:
    assert resident_of(path) == 4096
    memory.drop_file_pages(None if every else path)
    assert resident_of(path) == 0
    assert pages[:256] == bytes(range(256))


def test_other_files_pages_stay(path: Path, pages: mmap.mmap) -> None:
    memory.drop_file_pages(path.with_name("another file"))
    assert resident_of(path) == 4096


def test_what_others_may_write_to_goes_only_by_its_name(path: Path, writable_pages: mmap.mmap) -> None:
    memory.drop_file_pages()
    assert resident_of(path) == 4096
    memory.drop_file_pages(path)
    assert resident_of(path) == 0
    assert writable_pages[:256] == bytes(range(256))


def test_what_this_process_has_written_stays(path: Path, writable_pages: mmap.mmap) -> None:
    writable_pages[100_000] = 7
    memory.drop_file_pages()
    memory.drop_file_pages(path)
    assert writable_pages[100_000] == 7


def test_the_code_that_starting_needed_is_let_go_of() -> None:
    """In a process of its own, where importing torch has touched 70 MB of libraries."""
    program = (
        "import torch, re; from pathlib import Path; from app import memory\n"
        "def held(): return int(re.search('RssFile:.*?([0-9]+)', Path('/proc/self/status').read_text())[1])\n"
        "before = held(); memory.drop_file_pages(); after = held()\n"
        "assert before > 4 * after, (before, after)\n"
        "assert torch.ones(3).sum() == 3"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def caused_by(cause: Exception) -> Exception:
    """What hides a failure in an engine's thread."""
    error = RuntimeError("The model failed on this request.")
    error.__cause__ = cause
    return error


class OutOfMemoryError(RuntimeError):
    """torch's, by its name."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("unable to mmap 75562455 bytes from file </x.pt>: Cannot allocate memory (12)"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_errors_for_want_of_memory(error: Exception) -> None:
    assert memory.out_of_memory(error)
    assert memory.out_of_memory(caused_by(caused_by(error)))


@pytest.mark.parametrize(
    "error", [None, ValueError("memory"), OSError(errno.ENOSPC, "full"), caused_by(OSError())]
)
def test_other_errors(error: Exception | None) -> None:
    assert not memory.out_of_memory(error)
