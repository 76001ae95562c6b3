"""The tasks in the engine's queue, and how their futures end."""

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from app.engines.interface import Recording, Window, WindowOptions, WindowResult
from app.errors import EngineFailure, SpeechError

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class EngineTask:
    """A call in the engine's thread; its result is the future's. It adds no rows to the batch."""

    future: Future[Any]
    recording: Recording
    run: Callable[[], Any]

    rows = 0


@dataclass(eq=False)
class DecodeTask:
    """A window to be decoded: prefilled when it is admitted, then a part of every decoding step."""

    future: Future[WindowResult]
    window: Window
    options: WindowOptions

    @property
    def recording(self) -> Recording:
        """The window's recording."""
        return self.window.recording

    @property
    def rows(self) -> int:
        """How many rows it adds to the batch: its beams or samples."""
        return self.options.beam_size or self.options.best_of or 1


def is_abandoned(task: EngineTask | DecodeTask) -> bool:
    """Whether its recording is closed: its client has gone."""
    return task.recording.closed


def cancel(task: EngineTask | DecodeTask) -> None:
    """End a queued or running future with CancelledError, and wake the threads that wait for it."""
    if task.future.running():
        task.future.set_exception(CancelledError())
    elif task.future.cancel():
        task.future.set_running_or_notify_cancel()


def fail(task: EngineTask | DecodeTask, error: Exception) -> None:
    """End a future with an error: a SpeechError as it is, any other one as an EngineFailure.

    The traceback is removed: its frames refer to the task, and would keep its recording in memory.
    """
    if isinstance(error, SpeechError):
        task.future.set_exception(error.with_traceback(None))
        return
    _log.error("the engine failed", exc_info=error)
    failure = EngineFailure("The model failed on this request.")
    failure.__cause__ = error.with_traceback(None)
    task.future.set_exception(failure)
