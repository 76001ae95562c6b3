"""Runs a function in a thread of its own."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)


def run_in_background(work: Callable[[], T], thread_name: str) -> Future[T]:
    """Call `work` in a new daemon thread: one that never ends doesn't keep the process from ending.

    For single pieces of work, of which a realtime session is one, and what it has to transcribe are others.
    Threads that stay are made elsewhere: the engine's (one for the model), SideBySide's (a fixed number for
    all requests), WorkerPeers' (one that listens) and AudioDecoderPool's (a process ends with the thread that
    has started it).
    """
    future: Future[T] = Future()
    Thread(target=_run, args=(work, future), name=thread_name, daemon=True).start()
    return future


def tried_in_background(work: Callable[[], None], thread_name: str) -> bool:
    """Call `work` in a new daemon thread; False if the system has none to spare. It must raise nothing."""
    try:
        run_in_background(work, thread_name)
    except RuntimeError as error:
        _log.error("The thread %s can't be started: %s", thread_name, error)
        return False
    return True


def _run(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
    finally:
        del work, future  # the error refers to this frame: a cycle that would keep what the frames hold
