"""What a process and its children hold, read from /proc."""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ProcessState:
    """`resident_mb` in MiB; `temporary_files` are open ones that have no name any more."""

    resident_mb: float
    threads: int
    descriptors: int
    temporary_files: int

    @classmethod
    def of(cls, pid: int) -> "ProcessState":
        """The sum over a process and all that it has started."""
        family = list(with_descendants(pid))
        status = [Path(f"/proc/{member}/status").read_text() for member in family]
        opened = [target for member in family for target in open_files(member).values()]
        return cls(
            resident_mb=sum(_number(text, "VmRSS") for text in status) / 1024,
            threads=sum(_number(text, "Threads") for text in status),
            descriptors=len(opened),
            temporary_files=sum(target.startswith("/") and "(deleted)" in target for target in opened),
        )


REST_SECONDS = 4.0
"""After less than this without work a worker has given its free memory back to the system."""


def at_rest(pid: int, descriptors: int, patience_seconds: float) -> ProcessState:
    """The state once the connections and files of the last requests are closed, or still are not."""
    time.sleep(REST_SECONDS)
    deadline = time.monotonic() + patience_seconds
    while (state := ProcessState.of(pid)).descriptors > descriptors and time.monotonic() < deadline:
        time.sleep(0.1)
    return state


def children(pid: int) -> list[int]:
    """The process ids that any of a process's threads has started."""
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for several in found for child in several]


def with_descendants(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in children(pid):
        yield from with_descendants(child)


def open_files(pid: int) -> dict[int, str]:
    """What each file descriptor of a process points to."""
    targets = {}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            targets[int(descriptor.name)] = str(descriptor.readlink())
    return targets


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found, f"no {name} in {status}"
    return int(found[1])
