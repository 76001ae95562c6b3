"""The one thread of a worker that runs the model."""

import logging
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from app import memory
from app.engines.busy_time import BusyTime
from app.engines.timed_future import TimedFuture
from app.errors import EngineFailure, SpeechError, StartError

T = TypeVar("T")

_log = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
"""After this long without work, memory that only work needs is returned to the system."""


class _QueuedCall(NamedTuple):
    future: Future[Any]
    run: Callable[[], Any]
    is_abandoned: Callable[[], bool]


def _never_abandoned() -> bool:
    return False


class CallQueue(Protocol):
    """Where an engine's calls run, one after the other in one thread."""

    @property
    def alive(self) -> bool:
        """True while calls are taken."""

    @property
    def others_seconds(self) -> float:
        """How long the thread has worked for others, up to now."""

    def submit(self, run: Callable[[], T], is_abandoned: Callable[[], bool] = ...) -> Future[T]:
        """Queue a call. It is cancelled if `is_abandoned()` before it runs, or if this is closed."""

    def when_idle(self, release: Callable[[], object]) -> None:
        """Call `release` in the thread, until this is closed, whenever that has had no work for a while."""

    def close(self) -> None:
        """Cancel what is queued, after the call that is running."""


class EngineThread:
    """Runs calls one after the other, in the order in which they were submitted.

    All calls of the model run here. It must be made after the fork: torch starts a team of OpenMP threads for
    every thread that runs it, and teams don't survive a fork.
    """

    others_seconds = 0.0

    def __init__(self) -> None:
        self.busy_time = BusyTime()
        self._queue: queue.SimpleQueue[_QueuedCall | None] = queue.SimpleQueue()
        self._closing = False
        self._releases: tuple[Callable[[], object], ...] = ()
        self._submit_lock = threading.Lock()  # no call may be queued behind the None that ends the thread
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while calls are taken."""
        return self._thread.is_alive() and not self._closing

    def submit(self, run: Callable[[], T], is_abandoned: Callable[[], bool] = _never_abandoned) -> Future[T]:
        """Queue a call. It is cancelled if `is_abandoned()` before it runs, or if the thread is closed."""
        call = _QueuedCall(TimedFuture(), run, is_abandoned)
        with self._submit_lock:
            if not self._closing:
                self._queue.put(call)
                return call.future
        _cancel(call)
        return call.future

    def when_idle(self, release: Callable[[], object]) -> None:
        """Call `release` in the thread whenever it has had no work for IDLE_SECONDS."""
        with self._submit_lock:
            self._releases += (release,)

    def forget(self, release: Callable[[], object]) -> None:
        """Don't call `release` any more, and keep nothing alive that it refers to."""
        with self._submit_lock:
            self._releases = tuple(each for each in self._releases if each != release)

    def close(self) -> None:
        """End the thread after the call that is running; queued calls are cancelled."""
        with self._submit_lock:
            self._closing = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (call := self._next()) is not None:
                if self._closing or call.is_abandoned():
                    _cancel(call)
                elif call.future.set_running_or_notify_cancel():
                    _complete(call)
                del call  # or it would keep a model alive for as long as the thread has nothing else to do
        finally:
            self._cancel_queued()

    def _next(self) -> _QueuedCall | None:
        try:
            return self._queue.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            self._give_back()
        return self._queue.get()

    def _give_back(self) -> None:
        try:
            for release in self._releases:
                release()
            memory.trim()
        except Exception:  # the memory stays, and so does the thread
            _log.exception("memory that only work needs was not given back")

    def _cancel_queued(self) -> None:
        """However the thread ends, nobody waits for it any more."""
        with self._submit_lock:
            self._closing = True
        while not self._queue.empty():
            if call := self._queue.get():
                _cancel(call)


class EngineLane:
    """A CallQueue for one of the engines that share an EngineThread. Closing it leaves the thread as it is.

    A batched engine that has work keeps one call in the thread's queue at a time, for one task or one step,
    and queues the next one when it has run. So engines that have work take turns.
    """

    def __init__(self, thread: EngineThread) -> None:
        self._thread = thread
        self._closed = False
        self._submit_lock = threading.Lock()  # no call may be queued behind the one that `close` waits for
        self._releases: list[Callable[[], object]] = []

    @property
    def alive(self) -> bool:
        """True while calls are taken."""
        return self._thread.alive and not self._closed

    @property
    def others_seconds(self) -> float:
        """How long the thread has worked for other lanes, up to now."""
        return self._thread.busy_time.others_seconds(self)

    def submit(self, run: Callable[[], T], is_abandoned: Callable[[], bool] = _never_abandoned) -> Future[T]:
        """Queue a call. It is cancelled if `is_abandoned()` before it runs, or if the lane is closed."""
        with self._submit_lock:
            if not self._closed:
                return self._thread.submit(partial(self._timed, run), lambda: self._closed or is_abandoned())
        call = _QueuedCall(TimedFuture(), run, is_abandoned)
        _cancel(call)
        return call.future

    def when_idle(self, release: Callable[[], object]) -> None:
        """Call `release` in the thread whenever that has had no work for a while, until it is closed."""
        self._releases.append(release)
        self._thread.when_idle(release)

    def close(self) -> None:
        """Cancel this lane's queued calls, after the one that is running; not to be called in the thread.

        Afterwards the thread keeps nothing alive that the lane's calls refer to.
        """
        with self._submit_lock:
            self._closed = True
        for release in self._releases:
            self._thread.forget(release)
        wait([self._thread.submit(lambda: None)])
        self._thread.busy_time.forget(self)

    def _timed(self, run: Callable[[], T]) -> T:
        with self._thread.busy_time.working_for(self):
            return run()


def _cancel(call: _QueuedCall) -> None:
    call.future.cancel()
    call.future.set_running_or_notify_cancel()  # wakes the threads that wait for it


def _complete(call: _QueuedCall) -> None:
    try:
        call.future.set_result(call.run())
    except (SpeechError, StartError) as error:
        call.future.set_exception(error)
    except Exception as error:
        _log.exception("the engine failed")
        failure = EngineFailure("The model failed on this request.")
        failure.__cause__ = error
        call.future.set_exception(failure)


def use_threads(count: int) -> None:
    """Set torch's number of threads for the calling thread; 0: one per core."""
    torch.set_num_threads(count or os.cpu_count() or 1)
