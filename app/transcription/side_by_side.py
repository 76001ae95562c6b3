"""Reads several iterators ahead, in threads that all requests of a worker share."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Condition, Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SideBySide:
    """At most `width` threads that read ahead, for all requests of a worker.

    A thread reads one item, then the next request is served: requests are served round-robin, and within a
    request the first iterators come first. If no thread is advancing an iterator, its reader advances it in
    its own thread. So every request makes progress however busy the threads are, an iterator may itself
    read others ahead, and with a width of 0 all iterators are read in order.
    """

    def __init__(self, width: int) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="side-by-side") if width else None
        self._lock = Lock()
        self._requests = deque[deque[_ReadAhead[Any]]]()  # the queue of each request, the next one first

    @contextmanager
    def read_ahead(self, iterators: Sequence[Iterator[T]]) -> Iterator[list[Iterator[T]]]:
        """The same iterators, read ahead from now on; they raise what the originals raise.

        On leaving they are closed. One that a thread is advancing is closed by that thread afterwards, which
        is soon once its recording is closed.
        """
        waiting = deque[_ReadAhead[T]]()
        members = [_ReadAhead(items, self._lock, partial(self._queue, waiting)) for items in iterators]
        with self._lock:
            for member in reversed(members):
                self._queue(waiting, member)
        try:
            yield [iter(member) for member in members]
        finally:
            with self._lock:
                waiting.clear()
            for member in members:
                member.close()

    def close(self) -> None:
        """Stop the threads. Iterators are then advanced by their readers."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._requests.clear()
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)

    def _queue(self, waiting: "deque[_ReadAhead[T]]", member: "_ReadAhead[T]") -> None:
        """Queue it to be advanced, before the others of its request. Called with the lock held."""
        if self._pool and not member.queued:
            if not waiting:
                self._requests.append(waiting)
            waiting.appendleft(member)
            member.queued = True
            self._pool.submit(self._advance_next)

    def _advance_next(self) -> None:
        with self._lock:
            member = self._next()
        if member:
            member.advance()

    def _next(self) -> "_ReadAhead[Any] | None":
        while self._requests:
            waiting = self._requests.popleft()
            while waiting:
                member = waiting.popleft()
                member.queued = False
                if member.try_start():
                    if waiting:
                        self._requests.append(waiting)
                    return member
        return None


class _ReadAhead(Generic[T]):
    """An iterator that one thread at a time advances. `enqueue(self)` is called when another one may.

    After `try_start`, called with the lock held, has returned True, the caller must call `advance`, without
    the lock.
    """

    def __init__(self, items: Iterator[T], lock: Lock, enqueue: "Callable[[_ReadAhead[T]], None]") -> None:
        self.queued = False
        self._items = items
        self._changed = Condition(lock)
        self._enqueue = enqueue
        self._items_ahead = deque[T]()
        self._error: BaseException | None = None
        self._busy = False
        self._exhausted = False
        self._closed = False

    def try_start(self) -> bool:
        """Whether the caller may advance it: no other thread does, and it is not exhausted."""
        free = not self._busy and not self._exhausted
        self._busy = self._busy or free
        return free

    def advance(self) -> None:
        """Read one more item."""
        exhausted = True
        try:
            self._items_ahead.append(next(self._items))
            exhausted = False
        except StopIteration:
            pass
        except BaseException as error:
            self._error = error
        with self._changed:
            self._busy = False
            closed = self._closed
            self._exhausted = exhausted or closed
            if not self._exhausted:
                self._enqueue(self)
            self._changed.notify()
        if closed:
            self._release_items()

    def __iter__(self) -> Iterator[T]:
        while self._items_ahead or not self._exhausted:
            with self._changed:
                self._changed.wait_for(lambda: self._items_ahead or not self._busy)
                starts = not self._items_ahead and self.try_start()
            if starts:
                self.advance()
            elif self._items_ahead:
                yield self._items_ahead.popleft()
        error, self._error = self._error, None
        if error:
            try:
                raise error
            finally:
                del error  # a cycle: the error refers to this frame

    def close(self) -> None:
        """Stop reading it ahead, and close the iterator."""
        with self._changed:
            self._closed = self._exhausted = True
            busy = self._busy
        if not busy:
            self._release_items()

    def _release_items(self) -> None:
        self._items_ahead.clear()
        self._error = None
        if isinstance(self._items, Generator):
            self._items.close()
