"""Restricts a process before it handles untrusted input.

Used by the processes that read audio files and that speak. It imports the standard library only, so that the
latter starts fast. A restriction that fails raises OSError, so that the process does not start. Only
`filter_system_calls` returns whether it worked: some machines have no such filter.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

from app.confinement.system_calls import filter_system_calls

__all__ = ["confine", "filter_system_calls", "hide_memory", "limit_cpu"]

_MAX_DESCRIPTORS = 32

# Names and numbers of linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x2008_0522
_MAX_CAPABILITIES = 64


def hide_memory() -> None:
    """Let no other process of the same user read this one's memory, environment and open files.

    The kernel then refuses `ptrace` and most of /proc/PID to all who lack CAP_SYS_PTRACE. Other systems
    than Linux are left alone.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_DUMPABLE, 0)


def confine(memory_bytes: int, file_bytes: int) -> None:
    """Drop all privileges and set limits. Called once, by a process with one thread.

    The process is killed when the thread that started it ends. It ignores signals that stop a worker, because
    they may be sent to it too while it has work to finish. It has no capabilities, may take `memory_bytes`
    more than now, and may write files of at most `file_bytes`.
    """
    _drop_capabilities()
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(asked, signal.SIG_IGN)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError):  # if memory runs out, the kernel kills this process before a worker
        Path("/proc/self/oom_score_adj").write_text("1000")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + memory_bytes)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_NOFILE, _MAX_DESCRIPTORS)
    _limit(resource.RLIMIT_CORE, 0)
    hide_memory()  # from other processes like this one


def limit_cpu(seconds: float) -> None:
    """Allow so many more seconds of processor time; then SIGXCPU ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, allowed = resource.getrlimit(resource.RLIMIT_CPU)
    most = _at_most(allowed, int(used.ru_utime + used.ru_stime + seconds))
    resource.setrlimit(resource.RLIMIT_CPU, (most, allowed))


def _limit(kind: int, most: int) -> None:
    """Set a hard limit, which a process without capabilities can't raise again."""
    _, allowed = resource.getrlimit(kind)
    resource.setrlimit(kind, (_at_most(allowed, most),) * 2)


def _at_most(allowed: int, most: int) -> int:
    return most if allowed == resource.RLIM_INFINITY else min(most, allowed)


def _drop_capabilities() -> None:
    """Drop all: without them, root can read neither its parent's environment nor other users' files."""
    with suppress(OSError):  # a kernel before 4.3 has no ambient ones
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_MAX_CAPABILITIES):
        with suppress(OSError):  # there is none of this number, or who isn't root may not drop it
            if _prctl(_PR_CAPBSET_READ, capability):
                _prctl(_PR_CAPBSET_DROP, capability)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    none = bytes(2 * struct.calcsize("=III"))  # effective, permitted, inheritable, of 32 each
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise _last_error("capset")


def _prctl(option: int, value: int) -> int:
    numbers = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    result: int = ctypes.CDLL(None, use_errno=True).prctl(option, *numbers)
    if result < 0:
        raise _last_error(f"prctl {option}")
    return result


def _last_error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), call)
