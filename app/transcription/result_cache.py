"""A cache of the engine's results for one upload, for a client that loses its connection and sends it again.

The same call for the same window always has the same result. Only results are kept, never audio or features.
"""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from app.engines.interface import (
    Engine,
    EngineProxy,
    Recording,
    Wait,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
    wait_patiently,
)
from app.scheduling import SchedulingClass
from app.transcript import Task
from app.waveform import Samples

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class _EngineCall:
    """A call of the engine for one request. Its result depends on nothing but the `key`."""

    key: Hashable
    recording: Recording
    submit: Callable[[], Future[Any]]
    result: Future[Any] = field(default_factory=Future)


class ResultCache:
    """The engine's results for one upload, and its calls that still run."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[Hashable, Any] = {}
        self._running: dict[Hashable, _EngineCall] = {}

    def __len__(self) -> int:
        """How many results there are, including those of running calls."""
        with self._lock:
            return len(self._results) + len(self._running)

    def result(self, key: Hashable, recording: Recording, submit: Callable[[], Future[T]]) -> Future[T]:
        """The result known for `key`, else that of `submit()`. Cancelled with the recording.

        If another request's call for the same key is running, its result is used. If that call is cancelled
        or fails, `submit()` is called.
        """
        call = _EngineCall(key, recording, submit)
        self._start(call)
        return call.result

    def _start(self, call: _EngineCall) -> None:
        if call.recording.closed:
            call.result.cancel()
            return
        with self._lock:
            known = call.key in self._results
            first = call if known else self._running.setdefault(call.key, call)
        # Outside the lock: a future that is done calls back at once.
        if known:
            call.result.set_result(self._results[call.key])
        elif first is call:
            call.submit().add_done_callback(partial(self._finish, call))
        else:
            first.result.add_done_callback(lambda _: self._start(call))

    def _finish(self, call: _EngineCall, outcome: Future[Any]) -> None:
        error = CancelledError() if outcome.cancelled() else outcome.exception()
        with self._lock:
            del self._running[call.key]
            if error is None:
                self._results[call.key] = outcome.result()
        if error is None:
            call.result.set_result(outcome.result())
        elif isinstance(error, CancelledError):
            call.result.cancel()
        else:
            call.result.set_exception(error)


class CachingEngine(EngineProxy):
    """An Engine for one request, which calls the real one only where the cache has no result.

    Recordings are identified by the order in which they are opened.
    """

    def __init__(self, engine: Engine, cache: ResultCache) -> None:
        super().__init__(engine)
        self._cache = cache
        self._recordings: list[Recording] = []

    def open(
        self,
        samples: Samples,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
        wait: Wait = wait_patiently,
    ) -> Recording:
        """Compute the features of 16 kHz mono samples `[n]`."""
        recording = super().open(samples, scheduling_class, wait)
        self._recordings.append(recording)
        return recording

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        return self._cached(window, partial(self._engine.submit, window, options), "submit", options)

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._cached(window, partial(self._engine.detect_language, window), "detect_language")

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        submit = partial(self._engine.score, window, options, tokens)
        return self._cached(window, submit, "score", options, tuple(tokens))

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """The times of text tokens."""
        submit = partial(self._engine.align, window, tokens, language, task)
        return self._cached(window, submit, "align", tuple(tokens), language, task)

    def _cached(self, window: Window, submit: Callable[[], Future[T]], *arguments: Hashable) -> Future[T]:
        number = next(n for n, opened in enumerate(self._recordings) if opened is window.recording)
        key = (number, window.seek, window.frames, window.positions, *arguments)
        return self._cache.result(key, window.recording, submit)
