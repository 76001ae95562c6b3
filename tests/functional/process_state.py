"""What a process and its children hold, read from /proc."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.processes import children, open_files, status


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
        family = {member: status(member) for member in with_descendants(pid)}
        running = {member: text for member, text in family.items() if "VmRSS" in text}
        assert pid in running, f"process {pid} has ended"
        opened = [target for member in running for target in open_files(member).values()]
        return cls(
            resident_mb=sum(_number(text, "VmRSS") for text in running.values()) / 1024,
            threads=sum(_number(text, "Threads") for text in running.values()),
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


def with_descendants(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in children(pid):
        yield from with_descendants(child)


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found, f"no {name} in {status}"
    return int(found[1])
