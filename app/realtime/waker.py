"""Wakes a thread that waits in `poll`."""

import os
import sys
from contextlib import suppress
from threading import Lock

_ONE = (1).to_bytes(8, sys.byteorder)
_READ_BYTES = 4096


class Waker:
    """Something to poll, which is readable once `wake` was called, in any thread, until `clear`.

    A worker has one for each session, so it is one descriptor where the system has such.
    """

    def __init__(self) -> None:
        self._reader, self._writer = _descriptors()
        self._lock = Lock()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._reader

    def wake(self) -> None:
        """Make it readable. Nothing happens once it is closed."""
        with self._lock, suppress(BlockingIOError):  # it is full, so it is readable
            if self._writer >= 0:
                os.write(self._writer, _ONE)

    def clear(self) -> None:
        """Make it unreadable."""
        with suppress(BlockingIOError):
            os.read(self._reader, _READ_BYTES)

    def close(self) -> None:
        """Give the descriptors back."""
        with self._lock:
            for descriptor in {self._reader, self._writer}:
                os.close(descriptor)
            self._reader = self._writer = -1


def _descriptors() -> tuple[int, int]:
    """One to read and one to write, which may be the same."""
    if sys.platform == "linux":
        descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return descriptor, descriptor
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer
