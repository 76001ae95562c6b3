import subprocess
import sys

import pytest

from app import memory
from tests.readme import ROOT

_FORTY_THREADS = """
import ctypes, threading
from app import memory
if {limited}:
    memory.keep_little()
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
    assert (told.stdout.count("<heap nr=") <= memory.HEAPS) is limited
