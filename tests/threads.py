"""Waiting for what other threads do, and a system that has no thread to spare."""

from collections.abc import Callable
from time import monotonic, sleep

PATIENCE_SECONDS = 60.0


def wait_until(happened: Callable[[], object]) -> None:
    """Look again and again whether something has happened; fail if it never does."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not happened():
        assert monotonic() < deadline, "it has not happened"
        sleep(0.01)


def no_thread(*_: object) -> None:
    """In place of `Thread.start`: what that raises when the system has none to spare."""
    raise RuntimeError("can't start new thread")
