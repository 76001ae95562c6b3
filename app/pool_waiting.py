"""Waiting for a change of a ModelPool: so many requests at a time, and each at most so long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from threading import Condition

from app.errors import ServerBusy
from app.pool_slots import PoolLimits
from app.waiting import POLL_SECONDS, Check

_BUSY_SECONDS = 5

Wait = Callable[[], None]
"""Waits for one change, or a short time, with the pool's lock. Raises if there is no reason to go on."""


class WaitingRequests:
    """Those that wait for a change. `loaded` says, in a sentence, what they could have at once."""

    def __init__(
        self, changed: Condition, limits: PoolLimits, loaded: Callable[[], str], clock: Callable[[], float]
    ) -> None:
        self._changed = changed
        self._limits = limits
        self._loaded = loaded
        self._clock = clock
        self.count = 0

    @contextmanager
    def place(self, name: str, check: Check, deadline: float = inf) -> Iterator[Wait]:
        """How one request waits for the model of a name. It counts from its first wait to the end.

        The wait raises ServerBusy after the longest time, past `deadline`, or where too many wait, and what
        `check` raises.
        """
        deadline, counted = min(deadline, self._clock() + self._limits.wait_seconds), False

        def wait() -> None:
            nonlocal counted
            check()
            if not counted and self.count >= self._limits.waiting:
                raise self._busy(f"{self.count} requests wait for a model to be loaded, the maximum")
            if self._clock() >= deadline:
                raise self._busy(f"The model '{name}' could not be loaded in time")
            self.count += not counted
            counted = True
            self._changed.wait(POLL_SECONDS)

        try:
            yield wait
        finally:
            with self._changed:
                self.count -= counted

    def _busy(self, why: str) -> ServerBusy:
        return ServerBusy(f"{why}. {self._loaded()} Please retry.", retry_after_seconds=_BUSY_SECONDS)
