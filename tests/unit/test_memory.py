import ctypes
import os
import subprocess
import sys
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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
