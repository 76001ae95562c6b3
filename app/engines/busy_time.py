"""How long a thread has worked, for each of those that it works for."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic


class BusyTime:
    """Seconds of one thread's work, by owner. Any thread may read them."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._seconds = defaultdict[object, float](float)
        self._owner: object = None
        self._began = 0.0

    @contextmanager
    def working_for(self, owner: object) -> Iterator[None]:
        """Count the time until it is left. Not to be nested."""
        with self._lock:
            self._owner, self._began = owner, self._clock()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[owner] += self._clock() - self._began
                self._owner = None

    def forget(self, owner: object) -> None:
        """Count an owner's time as nobody's from now on, and keep nothing alive."""
        with self._lock:
            self._seconds[None] += self._seconds.pop(owner, 0.0)

    def others_seconds(self, owner: object) -> float:
        """The time spent on others than the owner, up to now. It never decreases."""
        with self._lock:
            running = self._clock() - self._began if self._owner not in (None, owner) else 0.0
            return sum(self._seconds.values()) - self._seconds[owner] + running
