"""Calls a function at a later time."""

import logging
from collections.abc import Callable
from math import inf
from threading import Timer

_log = logging.getLogger(__name__)


class Alarm:
    """Calls `ring` in a thread of its own at the earliest of the times that were set since it rang last.

    The lock of whoever sets it must be held for each call here; `ring` is called without it, and calls
    `rang` first. It may ring once more after it was cancelled.
    """

    def __init__(self, ring: Callable[[], None], clock: Callable[[], float]) -> None:
        self._ring = ring
        self._clock = clock
        self._due = inf
        self._timer: Timer | None = None

    def set(self, due: float) -> None:
        """Ring when the clock says `due`, or before; inf: don't."""
        if due >= self._due:
            return
        self.cancel()
        timer = Timer(max(0.0, due - self._clock()), self._ring)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError as error:  # the system has no thread to spare; the next call tries again
            _log.warning("A timer can't be started: %s", error)
            return
        self._due, self._timer = due, timer

    def rang(self) -> None:
        """Forget the time that has come."""
        self._due = inf

    def cancel(self) -> None:
        """Forget all times."""
        self._due = inf
        if self._timer:
            self._timer.cancel()
