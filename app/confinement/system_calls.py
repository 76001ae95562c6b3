"""The system calls that a confined process may make: a seccomp filter for x86-64 and aarch64.

libseccomp's bindings can't be used: they need that library on the machine, and the process that speaks loads
no package. So this is the classic BPF program itself, a few instructions for each call. A process may read,
write to open descriptors, open files for reading, allocate memory that is not executable, and start threads.
All other calls are refused with EPERM, including those of future kernels.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

X86_64, AARCH64 = "x86_64", "aarch64"


@dataclass(frozen=True)
class _Machine:
    """Its column in the table, AUDIT_ARCH_* of linux/audit.h, and the number of `seccomp`."""

    column: int
    audit: int
    seccomp: int


_MACHINES = {X86_64: _Machine(0, 0xC000_003E, 317), AARCH64: _Machine(1, 0xC000_00B7, 277)}

_CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "pread64": (17, 67),
    "write": (1, 64),
    "recvmsg": (47, 212),
    "recvfrom": (45, 207),
    "sendto": (44, 206),  # a name to send to has no effect on a connected socket, and there is no other
    "futex": (202, 98),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "readv": (19, 65),
    "writev": (20, 66),
    "preadv": (295, 69),
    "pwrite64": (18, 68),
    "ftruncate": (77, 46),
    "dup": (32, 23),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "stat": (4, None),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "membarrier": (324, 283),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
"""Calls that are allowed with any arguments: the number on x86-64, and on aarch64."""

_WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_PROT_EXEC = 4
_CLONE_THREAD = 0x1_0000
_WHOLE = 0xFFFF_FFFF
_SET_OWNER = 8
"""F_SETOWN and what follows it: a descriptor's owner can be sent any signal."""
_CLONE3 = 435
_X32 = 0x4000_0000

_Check = tuple[tuple[int | None, int | None], int, int, int]


def _checks() -> tuple[_Check, ...]:
    """Calls that are allowed if `argument & mask == value`: numbers, argument, mask, value."""
    return (
        ((257, 56), 2, _WRITES, 0),  # openat
        ((2, None), 1, _WRITES, 0),  # open
        ((9, 222), 2, _PROT_EXEC, 0),  # mmap
        ((10, 226), 2, _PROT_EXEC, 0),  # mprotect
        ((56, 220), 0, _CLONE_THREAD, _CLONE_THREAD),  # clone
        ((72, 25), 1, _WHOLE & ~(_SET_OWNER - 1), 0),  # fcntl
        ((302, 261), 0, _WHOLE, 0),  # prlimit64, which takes any process's number
        ((234, 131), 0, _WHOLE, os.getpid()),  # tgkill, with which abort() ends this one
    )


# linux/filter.h, linux/bpf_common.h and linux/seccomp.h
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000
_NUMBER, _AUDIT, _ARGUMENTS = 0, 4, 16
_SET_MODE_FILTER = 1
_ALL_THREADS, _NO_SLOWER = 1, 4
"""Without the second, kernels before 5.16 disable speculative execution for such a process."""
_PR_SET_NO_NEW_PRIVS = 38

_Instruction = tuple[int, int, int, int]
"""Operation, instructions to skip if true, if not, and its operand."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_system_calls() -> bool:
    """Allow this process only the calls above. It can't be undone.

    Returns False if there is no such filter: on other processors, or with a kernel that has none. Afterwards
    no library can be loaded, because its memory would have to be executable.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != 8:
        return False
    filters = b"".join(struct.pack("=HBBI", *instruction) for instruction in _instructions(machine))
    program = _Program(len(filters) // 8, filters)
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(number) for number in (1, 0, 0, 0))):
        return False
    flags = _ALL_THREADS | _NO_SLOWER
    arguments = (ctypes.c_long(machine.seccomp), ctypes.c_long(_SET_MODE_FILTER), ctypes.c_long(flags))
    return int(kernel.syscall(*arguments, ctypes.byref(program))) == 0


def _instructions(machine: _Machine) -> Iterator[_Instruction]:
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    yield from [(_LOAD, 0, 0, _AUDIT), (_IF_EQUAL, 1, 0, machine.audit), refuse, (_LOAD, 0, 0, _NUMBER)]
    yield from [(_IF_AT_LEAST, 0, 1, _X32), refuse]
    # ENOSYS makes glibc create threads with clone, whose flags can be checked.
    yield from [(_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _REFUSE | errno.ENOSYS)]
    for numbers in _CALLS.values():
        if (number := numbers[machine.column]) is not None:
            yield from [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for numbers, argument, mask, value in _checks():
        if (number := numbers[machine.column]) is not None:
            # Both machines are little-endian: the lower half of an argument comes first.
            yield from [(_IF_EQUAL, 0, 5, number), (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
            yield from [(_AND, 0, 0, mask), (_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW), refuse]
    yield refuse
