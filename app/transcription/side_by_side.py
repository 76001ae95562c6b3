"""Iterators that work ahead while others are read."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar, cast

T = TypeVar("T")


class SideBySide:
    """Threads in which up to `width` iterators advance at the same time.

    They only wait for the engine. On leaving, those that haven't begun never do; those that have end
    by themselves, once their recording is closed.
    """

    def __init__(self, width: int) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="side-by-side")

    def __enter__(self) -> "SideBySide":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ahead(self, items: Iterator[T]) -> Iterator[T]:
        """The same items, produced in a thread from now on. Raises what `items` raises."""
        made: SimpleQueue[tuple[bool, T | None]] = SimpleQueue()
        running = self._pool.submit(_produce, items, made)
        return _consume(made, running.result)


def _produce(items: Iterator[T], made: "SimpleQueue[tuple[bool, T | None]]") -> None:
    try:
        for item in items:
            made.put((True, item))
    finally:
        made.put((False, None))


def _consume(made: "SimpleQueue[tuple[bool, T | None]]", finish: Callable[[], None]) -> Iterator[T]:
    while (entry := made.get())[0]:
        yield cast(T, entry[1])
    finish()
