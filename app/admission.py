"""Who may come in: so many requests are worked on and so many bodies read, and nobody waits too long.

Gunicorn has 64 threads. What is neither worked on nor read here takes one of the rest for a moment
only, so that there is always one for health, metrics and refusals.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from threading import Lock

from app.errors import ServerBusy

ADMITTED = 24
"""Requests that are worked on at a time, those that wait for the model included."""
READING = 32
"""Request bodies that are read at a time."""

_BUSY_SECONDS = 5
_WINDOW_SECONDS = 30


class Places:
    """So many at a time. `taken` is how many are."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self._lock = Lock()

    def take(self) -> bool:
        """One more, if there is room; then `give_back` must follow."""
        with self._lock:
            free = self.taken < self.count
            self.taken += free
        return free

    def give_back(self) -> None:
        """One less."""
        with self._lock:
            self.taken -= 1


class Admission:
    """Permits to work and to read a body.

    `seconds_per_window` tells how fast the engine is at present, 0.0 for unknown.
    """

    def __init__(self, max_wait_seconds: float, seconds_per_window: Callable[[], float]) -> None:
        self.working = Places(ADMITTED)
        self.reading = Places(READING)
        self._max_wait_seconds = max_wait_seconds
        self._seconds_per_window = seconds_per_window

    @contextmanager
    def admit(self, *, hears: bool = True) -> Iterator[None]:
        """Hold a permit to work. Raises ServerBusy at once if there is none.

        Also if the wait for the model is too long, but for a request that hears nothing and so needs none.
        """
        if hears:
            self._check_wait()
        if not self.working.take():
            raise ServerBusy(
                f"The server is working on {ADMITTED} requests, which is its maximum. Please retry shortly.",
                retry_after_seconds=max(_BUSY_SECONDS, ceil(self._seconds_per_window())),
            )
        try:
            yield
        finally:
            self.working.give_back()

    @contextmanager
    def read(self) -> Iterator[None]:
        """Hold a place to read a body. Raises ServerBusy at once when there is none."""
        if not self.reading.take():
            raise ServerBusy(
                f"The server is reading {READING} uploads, which is its maximum. Please retry shortly.",
                retry_after_seconds=_BUSY_SECONDS,
            )
        try:
            yield
        finally:
            self.reading.give_back()

    def longest_seconds(self, limit_seconds: float) -> float:
        """The longest audio that this engine can transcribe within a limit, if it has nothing else to do."""
        pace = self._seconds_per_window()
        return limit_seconds / pace * _WINDOW_SECONDS if pace else float("inf")

    def _check_wait(self) -> None:
        """The scheduler takes turns: each running request has at most one window before this one's first."""
        ahead, pace = self.working.taken, self._seconds_per_window()
        wait = ahead * pace
        if wait > self._max_wait_seconds:
            raise ServerBusy(
                f"This request would begin after about {wait:.0f} seconds: {ahead} requests are before it, "
                f"and 30 seconds of audio take {pace:.1f} seconds at present. The longest wait on this "
                f"server is {self._max_wait_seconds:g} seconds (WHISPER_MAX_WAIT_SECONDS).",
                retry_after_seconds=ceil(wait - self._max_wait_seconds),
            )
