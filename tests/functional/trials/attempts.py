"""What code that a hostile file has brought into a process would try, and what became of it."""

import ctypes
import json
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

kernel = ctypes.CDLL(None, use_errno=True)

PTRACE_ATTACH = 16
F_SETOWN = 8
NOWHERE = "/dev/shm/confined"
WORLD = ("192.0.2.1", 443)


def read(path: str) -> int:
    with open(path, "rb") as file:  # noqa: PTH123  pathlib is one import more
        return len(file.read())


def connect(address: tuple[str, int]) -> None:
    with socket.socket() as client:
        client.settimeout(1)
        client.connect(address)


def called(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def fork() -> None:
    if not os.fork():
        os._exit(0)


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def tries(parent: int, port: int) -> dict[str, Callable[[], object]]:
    own = (ctypes.c_char * 8)()
    return {
        "parent's environment": lambda: read(f"/proc/{parent}/environ"),
        "parent's memory": lambda: read(f"/proc/{parent}/mem"),
        "parent's files": lambda: read(f"/proc/{parent}/fd/0"),
        "parent's memory at once": lambda: called(kernel.process_vm_readv(parent, own, 1, own, 1, 0)),
        "ptrace": lambda: called(kernel.ptrace(PTRACE_ATTACH, parent, None, None)),
        "connect": lambda: connect(("127.0.0.1", port)),
        "connect to the world": lambda: connect(WORLD),
        "connect a descriptor": lambda: called(kernel.connect(2, own, 8)),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "exec": lambda: os.execv(NOWHERE, ["x"]),
        "fork": fork,
        "signal": lambda: os.kill(parent, signal.SIGCONT),
        "signal by owner": lambda: called(kernel.fcntl(2, F_SETOWN, parent)),
        "parent's limits": lambda: called(kernel.prlimit(parent, 7, None, own)),
        "new file": lambda: write(NOWHERE),
        "old file": lambda: os.close(os.open("/dev/null", os.O_RDWR)),
        "memory file": lambda: os.memfd_create("code"),
        "remove": lambda: Path(NOWHERE).unlink(),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        "io_uring": lambda: called(kernel.syscall(425, 8, own)),
        "another process's descriptor": lambda: called(kernel.syscall(438, 3, 0, 0)),
        "namespace": lambda: called(kernel.unshare(0x1000_0000)),
        "outlive the parent": lambda: called(kernel.prctl(1, 0, 0, 0, 0)),
    }


NEEDS_A_KERNEL_THAT_HAS_IT = {"io_uring", "namespace", "signal by owner", "ptrace"}
"""What may also be refused to a process that is not confined."""


def outcomes(parent: int, port: int) -> dict[str, str]:
    """The error's name of each try, "done" for one that was not refused."""
    found = {}
    for name, attempt in tries(parent, port).items():
        try:
            attempt()
            found[name] = "done"
        except OSError as error:
            found[name] = type(error).__name__
    return found


if __name__ == "__main__":
    print(json.dumps(outcomes(os.getppid(), int(sys.argv[1]))))
