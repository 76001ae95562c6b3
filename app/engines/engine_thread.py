"""The one thread of a worker in which the model works."""

import logging
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import torch

from app import memory
from app.engines.timed_future import TimedFuture
from app.errors import EngineFailure, SpeechError, StartError

T = TypeVar("T")

_log = logging.getLogger(__name__)

IDLE_SECONDS = 2.0
"""After so long without a job the memory that jobs have given back goes to the system."""


class _Job(NamedTuple):
    future: Future[Any]
    work: Callable[[], Any]
    unwanted: Callable[[], bool]


def _wanted() -> bool:
    return False


class EngineThread:
    """Runs jobs one after the other, in the order they came.

    torch starts a team of OpenMP threads for every thread that runs it, and teams don't survive a
    fork: so everything that touches the model goes through here, and this is made after the fork.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closing = False
        self._gate = threading.Lock()  # no job gets into the queue behind the closing None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while jobs are taken."""
        return self._thread.is_alive() and not self._closing

    def submit(self, work: Callable[[], T], unwanted: Callable[[], bool] = _wanted) -> Future[T]:
        """Queue a job. It is cancelled if `unwanted()` once its turn comes, or if this is closed."""
        job = _Job(TimedFuture(), work, unwanted)
        with self._gate:
            if not self._closing:
                self._jobs.put(job)
                return job.future
        _cancel(job)
        return job.future

    def close(self) -> None:
        """End after the job that runs now; queued ones are cancelled."""
        with self._gate:
            self._closing = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            if self._closing or job.unwanted():
                _cancel(job)
            elif job.future.set_running_or_notify_cancel():
                _settle(job)

    def _next(self) -> _Job | None:
        try:
            return self._jobs.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            memory.give_back()
        return self._jobs.get()


def _cancel(job: _Job) -> None:
    job.future.cancel()
    job.future.set_running_or_notify_cancel()  # wakes who waits for it


def _settle(job: _Job) -> None:
    try:
        job.future.set_result(job.work())
    except (SpeechError, StartError) as error:
        job.future.set_exception(error)
    except Exception as error:
        _log.exception("the engine failed")
        failure = EngineFailure("The model failed on this request.")
        failure.__cause__ = error
        job.future.set_exception(failure)


def use_threads(count: int) -> None:
    """Let torch use so many threads for the work of the calling thread; 0: one per core."""
    torch.set_num_threads(count or os.cpu_count() or 1)
