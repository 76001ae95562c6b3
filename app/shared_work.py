"""Work that takes long, done once for all who ask for it at the same time."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from threading import Condition
from typing import Any, TypeVar

from app.background import tried_in_background
from app.errors import ServerBusy

T = TypeVar("T")


class SharedWork:
    """Runs each piece of work in a thread of its own. `changed` is notified when one has ended."""

    def __init__(self, changed: Condition) -> None:
        self._changed = changed
        self._running: dict[Hashable, Future[Any]] = {}

    def result(self, key: Hashable, work: Callable[[], T], wait: Callable[[], None]) -> T:
        """What `work`, or that of another caller with this key which is not done yet, returns or raises.

        `wait`, called with the lock of `changed`, waits for a change, and raises if there is no reason to go
        on; the work goes on for others. Raises ServerBusy if the system has no thread to spare.
        """
        with self._changed:
            future = self._running.get(key) or self._start(key, work)
            while not future.done():
                wait()
        result: T = future.result()
        return result

    def _start(self, key: Hashable, work: Callable[[], T]) -> Future[T]:
        future = Future[T]()
        if not tried_in_background(partial(self._run, key, work, future), "model-checker"):
            raise ServerBusy("The server has no thread to spare. Please retry.", retry_after_seconds=5)
        self._running[key] = future
        return future

    def _run(self, key: Hashable, work: Callable[[], T], future: Future[T]) -> None:
        try:
            finish = partial(future.set_result, work())
        except BaseException as error:  # whatever it is, others wait for it
            finish = partial(future.set_exception, error)
        with self._changed:  # at once: who asks from now on gets new work
            del self._running[key]
            finish()
            self._changed.notify_all()
