"""A timer for the earliest of several times."""

from collections.abc import Callable
from math import inf
from threading import Timer


class Alarm:
    """Calls `ring` in a thread of its own at the earliest time that has been set; then none is set any more.

    Whoever uses it must see to it that `set`, `rung` and `cancel` are not called at the same time.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at = inf
        self._timer: Timer | None = None

    def set(self, at: float, now: float) -> None:
        """Ring at a time, unless it does so earlier. Raises RuntimeError where no thread can be started."""
        if at >= self._at:
            return
        self.cancel()
        timer = Timer(at - now, self._ring)
        timer.daemon = True
        timer.start()
        self._timer, self._at = timer, at

    def rung(self) -> None:
        """To be called by `ring` first."""
        self._timer, self._at = None, inf

    def cancel(self) -> None:
        """Forget what has been set."""
        if self._timer:
            self._timer.cancel()
        self._timer, self._at = None, inf
