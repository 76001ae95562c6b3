"""Iterators that are read ahead by a worker's few threads, while others are read."""

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

    A thread takes one item of an iterator, and the next thread one of another request's: requests take
    turns, and within a request the first iterators come first. Reading one that no thread is advancing
    advances it in the reader's own thread. So every request goes on however busy these threads are, an
    iterator may itself read others ahead, and with a width of 0 all are read in order.
    """

    def __init__(self, width: int) -> None:
        self._pool = ThreadPoolExecutor(width, thread_name_prefix="side-by-side") if width else None
        self._lock = Lock()
        self._turns = deque[deque[_Ahead[Any]]]()  # what waits of each request; the next one's first

    @contextmanager
    def ahead(self, iterators: Sequence[Iterator[T]]) -> Iterator[list[Iterator[T]]]:
        """The same iterators, read ahead from now on; they raise what the given ones raise.

        On leaving they are closed. One that is being advanced is closed by who does that, which doesn't
        take long once its recording is closed.
        """
        waiting = deque[_Ahead[T]]()
        members = [_Ahead(items, self._lock, partial(self._queue, waiting)) for items in iterators]
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
        """Read nothing ahead any more."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._turns.clear()
        if pool:
            pool.shutdown(wait=False, cancel_futures=True)

    def _queue(self, waiting: "deque[_Ahead[T]]", member: "_Ahead[T]") -> None:
        """Let a thread advance it, before the others of its request. Called with the lock held."""
        if self._pool and not member.queued:
            if not waiting:
                self._turns.append(waiting)
            waiting.appendleft(member)
            member.queued = True
            self._pool.submit(self._take_turn)

    def _take_turn(self) -> None:
        with self._lock:
            member = self._next()
        if member:
            member.advance()

    def _next(self) -> "_Ahead[Any] | None":
        while self._turns:
            waiting = self._turns.popleft()
            while waiting:
                member = waiting.popleft()
                member.queued = False
                if member.begin():
                    if waiting:
                        self._turns.append(waiting)
                    return member
        return None


class _Ahead(Generic[T]):
    """An iterator that one thread advances at a time, and one reads. `again` is told when it can go on.

    Whoever calls `begin`, with the lock held, and gets True calls `advance` without it.
    """

    def __init__(self, items: Iterator[T], lock: Lock, again: "Callable[[_Ahead[T]], None]") -> None:
        self.queued = False
        self._items = items
        self._changed = Condition(lock)
        self._again = again
        self._made = deque[T]()
        self._error: BaseException | None = None
        self._busy = False
        self._over = False
        self._unwanted = False

    def begin(self) -> bool:
        """Whether the caller is to advance it."""
        free = not self._busy and not self._over
        self._busy = self._busy or free
        return free

    def advance(self) -> None:
        """Make one more item."""
        over = True
        try:
            self._made.append(next(self._items))
            over = False
        except StopIteration:
            pass
        except BaseException as error:
            self._error = error
        with self._changed:
            self._busy = False
            unwanted = self._unwanted
            self._over = over or unwanted
            if not self._over:
                self._again(self)
            self._changed.notify()
        if unwanted:
            self._let_go()

    def __iter__(self) -> Iterator[T]:
        while self._made or not self._over:
            with self._changed:
                self._changed.wait_for(lambda: self._made or not self._busy)
                own_turn = not self._made and self.begin()
            if own_turn:
                self.advance()
            elif self._made:
                yield self._made.popleft()
        error, self._error = self._error, None
        if error:
            try:
                raise error
            finally:
                del error  # or this frame, which the error knows, would keep it and all that it knows

    def close(self) -> None:
        """Nobody reads it any more."""
        with self._changed:
            self._unwanted = self._over = True
            busy = self._busy
        if not busy:
            self._let_go()

    def _let_go(self) -> None:
        self._made.clear()
        self._error = None
        if isinstance(self._items, Generator):
            self._items.close()
