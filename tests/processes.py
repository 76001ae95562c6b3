"""What processes run and hold, read from /proc; each may end, and each file be closed, while it is read."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ENDED = (FileNotFoundError, ProcessLookupError)
"""What reading about a process, a thread or a descriptor that is gone raises."""


def children(pid: int, command: str = "") -> list[int]:
    """The processes that any thread of a process has started, of those whose command line names this."""
    found: list[int] = []
    with suppress(*ENDED):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(*ENDED):
                found += [int(child) for child in (thread / "children").read_text().split()]
    return [child for child in found if command in command_line(child)]


def command_line(pid: int) -> str:
    """The words it was started with; empty for one that has ended."""
    with suppress(*ENDED):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    return ""


def is_running(pid: int) -> bool:
    """False also for one that has ended and that nobody has asked about."""
    with suppress(*ENDED):
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    return False


def status(pid: int) -> str:
    """Its lines of numbers, none on memory once it has ended, empty once it is gone."""
    with suppress(*ENDED):
        return Path(f"/proc/{pid}/status").read_text()
    return ""


def open_files(pid: int) -> dict[int, str]:
    """What each of its file descriptors points to."""
    targets = {}
    with suppress(*ENDED):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(*ENDED):
                targets[int(descriptor.name)] = str(descriptor.readlink())
    return targets


@contextmanager
def limited(pid: int, what: int, soft: int) -> Iterator[None]:
    """A process with less of something, one of resource.RLIMIT_*."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (soft, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)
