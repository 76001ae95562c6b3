"""The filter for both machines, run here instruction by instruction, and by this machine's kernel."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from app.confinement import system_calls
from app.confinement.system_calls import AARCH64, X86_64, filter_system_calls

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = "allowed"
AUDIT = {X86_64: 0xC000_003E, AARCH64: 0xC000_00B7}
I386 = 0x4000_0003


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> str:
    """ALLOWED, or the error's name."""
    program = list(system_calls._instructions(system_calls._MACHINES[machine]))
    words = {0: number, 4: AUDIT[machine] if audit is None else audit}
    words |= {16 + 8 * place: value & 0xFFFF_FFFF for place, value in enumerate((*arguments, *(6 * [0]))[:6])}
    kept, place = 0, 0
    while True:
        operation, if_true, if_not, operand = program[place]
        place += 1
        if operation == 0x20:
            kept = words[operand]
        elif operation == 0x54:
            kept &= operand
        elif operation == 0x15:
            place += if_true if kept == operand else if_not
        elif operation == 0x35:
            place += if_true if kept >= operand else if_not
        else:
            assert operation == 0x06
            return ALLOWED if operand == 0x7FFF_0000 else errno.errorcode[operand & 0xFFFF]


CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "recvmsg": (47, 212),
    "pread64": (17, 67),
    "exit_group": (231, 94),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "sendmsg": (46, 211),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kill": (62, 129),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "openat2": (437, 437),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "prctl": (157, 167),
    "ioctl": (16, 29),
    "unlinkat": (263, 35),
    "a call of years to come": (999, 999),
}
KEPT = {"read", "write", "recvmsg", "pread64", "exit_group"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("column", "machine"), list(enumerate((X86_64, AARCH64))))
def test_calls(name: str, column: int, machine: str) -> None:
    number = CALLS[name][column]
    assert verdict(machine, number) == (ALLOWED if name in KEPT else "EPERM")
    assert verdict(machine, number | 0x4000_0000) == "EPERM"  # x32's numbers
    assert verdict(machine, number, audit=I386) == "EPERM"


WRITES = (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDONLY | os.O_CREAT, 3)


@pytest.mark.parametrize(("number", "machine", "place"), [(257, X86_64, 2), (2, X86_64, 1), (56, AARCH64, 2)])
def test_files_are_opened_for_reading_only(number: int, machine: str, place: int) -> None:
    before = (0,) * place
    assert verdict(machine, number, *before, os.O_RDONLY | os.O_CLOEXEC) == ALLOWED
    assert {verdict(machine, number, *before, flags) for flags in WRITES} == {"EPERM"}


@pytest.mark.parametrize(
    ("numbers", "good", "bad"),
    [
        ((9, 222), (0, 0, 3), (0, 0, 7)),
        ((10, 226), (0, 0, 1), (0, 0, 4)),
        ((56, 220), (0x3D_0F00,), (0x11,)),
        ((72, 25), (2, 1), (2, 8)),
        ((72, 25), (2, 3), (2, 10)),
        ((302, 261), (0, 7), (1, 7)),
        ((234, 131), (os.getpid(), 1), (os.getpid() + 1, 1)),
    ],
    ids=["mmap", "mprotect", "clone", "F_SETOWN", "F_SETSIG", "prlimit64", "tgkill"],
)
def test_what_depends_on_arguments(
    numbers: tuple[int, int], good: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    for number, machine in zip(numbers, (X86_64, AARCH64), strict=True):
        assert verdict(machine, number, *good) == ALLOWED
        assert verdict(machine, number, *bad) == "EPERM"


def test_threads_are_made_in_the_way_that_can_be_looked_at() -> None:
    assert {verdict(machine, 435) for machine in AUDIT} == {"ENOSYS"}


PROGRAM = """
import os, socket, threading
from app.confinement import filter_system_calls
assert filter_system_calls()
open(__import__("app").__file__).close()
done = []
thread = threading.Thread(target=done.append, args=(1,))
thread.start(); thread.join()
for attempt in (socket.socket, os.fork, lambda: os.open("/dev/null", os.O_WRONLY)):
    try:
        attempt()
    except PermissionError:
        done.append(0)
print(done, flush=True)
os.abort()
"""


@pytest.mark.skipif(platform.machine() not in AUDIT, reason="there is no filter for this machine")
def test_this_kernel_keeps_it() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "[1, 0, 0, 0]\n", done.stderr
    assert done.returncode == -6


def test_another_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not filter_system_calls()
