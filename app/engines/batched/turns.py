"""What waits for its turn in the engine's thread, and how it ends."""

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from app.engines.interface import Recording, Window, WindowOptions, WindowResult
from app.errors import EngineFailure, SpeechError

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A turn in the engine's thread whose result is there when it ends."""

    future: Future[Any]
    recording: Recording
    work: Callable[[], Any]

    rows = 0


@dataclass(eq=False)
class Decode:
    """A turn after which rows of the batch work for a window."""

    future: Future[WindowResult]
    window: Window
    options: WindowOptions
    no_speech_prob: float = 0.0

    @property
    def recording(self) -> Recording:
        """Whose window it is."""
        return self.window.recording

    @property
    def rows(self) -> int:
        """How many rows it starts with."""
        return self.options.beam_size or self.options.best_of or 1


def unwanted(work: Job | Decode) -> bool:
    """Whether its client has gone."""
    return work.recording.closed


def cancel(work: Job | Decode) -> None:
    """End a future that waits or runs, so that whoever waits for it learns that nothing will come."""
    if work.future.running():
        work.future.set_exception(CancelledError())
    elif work.future.cancel():
        work.future.set_running_or_notify_cancel()


def fail(work: Job | Decode, error: Exception) -> None:
    """Tell whoever waits: our own errors as they are, all others as an EngineFailure.

    Without their traceback, whose frames hold the work: its recording would stay with the error.
    """
    if isinstance(error, SpeechError):
        work.future.set_exception(error.with_traceback(None))
        return
    _log.error("the engine failed", exc_info=error)
    failure = EngineFailure("The model failed on this request.")
    failure.__cause__ = error.with_traceback(None)
    work.future.set_exception(failure)
