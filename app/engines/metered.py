"""An engine whose work is measured: for the server as a whole, and for each request."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from app.engines.interface import (
    WINDOW_POSITIONS,
    Engine,
    EngineProxy,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
)
from app.engines.timed_future import TimedFuture
from app.request_cost import RequestCost
from app.transcript import Task

F = TypeVar("F", bound=Future[Any])

_DECAY = 31 / 32
"""The weight of earlier windows is multiplied by this with each window, in the recent averages."""


class Meter:
    """Counts one engine's work over all requests. Any thread may read it.

    `windows_finished`, `windows_failed` (cancelled ones are neither) and the seconds are totals.
    `queue_seconds` and `model_seconds` are added up over engine calls, of which many run at a time;
    `busy_seconds` is the time in which any call was in flight. What it takes is counted by encoded position,
    since windows differ in those. `full_window_seconds`: a first measurement, of a window with all of them.
    `clock` may stand still while others work on the same device.
    """

    def __init__(self, full_window_seconds: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self.windows_in_flight = 0
        self.windows_finished = 0
        self.windows_failed = 0
        self.queue_seconds = 0.0
        self.model_seconds = 0.0
        self.busy_seconds = 0.0
        self._clock = clock
        self._lock = Lock()
        self._calls_in_flight = 0
        self._counted_until = 0.0
        self._positions_in_flight = 0
        self._recent_seconds = full_window_seconds
        self._recent_windows = 1.0 if full_window_seconds else 0.0
        self._recent_positions = self._recent_windows * WINDOW_POSITIONS

    @property
    def seconds_per_full_window(self) -> float:
        """Busy seconds for as many positions as 30 s of audio have, at the pace of late and however many
        windows were decoded together; 0.0 before the first.
        """
        with self._lock:
            return self._seconds_of(WINDOW_POSITIONS)

    @property
    def seconds_per_window(self) -> float:
        """The same for a window like those in flight, or like those of late if there are none."""
        with self._lock:
            if self.windows_in_flight:
                return self._seconds_of(self._positions_in_flight / self.windows_in_flight)
            return self._recent_seconds / self._recent_windows if self._recent_windows else 0.0

    def track(self, call: F, cost: RequestCost, *, positions: int = 0) -> F:
        """Count an engine call that was just submitted, until it ends.

        `positions`: those of the window that it decodes, 0 if it decodes none.
        """
        with self._lock:
            if not self._calls_in_flight:
                self._counted_until = self._clock()
            self._calls_in_flight += 1
            self._count_in_flight(positions, 1)
        cost.start_call()
        call.add_done_callback(lambda ended: self._end(ended, cost, positions))
        return call

    def _end(self, call: Future[Any], cost: RequestCost, positions: int) -> None:
        windows = 1 if positions else 0
        error = CancelledError() if call.cancelled() else call.exception()
        queue_seconds, model_seconds = _times(call)
        with self._lock:
            self._calls_in_flight -= 1
            self._count_in_flight(positions, -1)
            self.queue_seconds += queue_seconds
            self.model_seconds += model_seconds
            if error is None:
                self._count_busy_time(positions)
                self.windows_finished += windows
            elif not isinstance(error, CancelledError):
                self.windows_failed += windows
        cost.finish_call(windows if error is None else 0, queue_seconds, model_seconds)

    def _count_in_flight(self, positions: int, windows: int) -> None:
        if positions:
            self.windows_in_flight += windows
            self._positions_in_flight += windows * positions

    def _count_busy_time(self, positions: int) -> None:
        """Add the time since the last call that succeeded, or since the first call after a pause."""
        now = self._clock()
        seconds, self._counted_until = now - self._counted_until, now
        self.busy_seconds += seconds
        self._recent_seconds += seconds
        if positions:
            self._recent_seconds *= _DECAY
            self._recent_windows = (self._recent_windows + 1) * _DECAY
            self._recent_positions = (self._recent_positions + positions) * _DECAY

    def _seconds_of(self, positions: float) -> float:
        """Called with the lock held."""
        return self._recent_seconds * positions / self._recent_positions if self._recent_positions else 0.0


def _times(call: Future[Any]) -> tuple[float, float]:
    """How long a call waited in the queue and ran; 0.0 if its future is no TimedFuture."""
    return (call.queue_seconds, call.model_seconds) if isinstance(call, TimedFuture) else (0.0, 0.0)


class MeteredEngine(EngineProxy):
    """An Engine for one request, whose calls go to another engine and are counted, except `open`."""

    def __init__(self, engine: Engine, meter: Meter, cost: RequestCost) -> None:
        super().__init__(engine)
        self._meter = meter
        self._cost = cost

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        decoding = self._engine.submit(window, options)
        return self._meter.track(decoding, self._cost, positions=window.positions)

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._meter.track(self._engine.detect_language(window), self._cost)

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        return self._meter.track(self._engine.score(window, options, tokens), self._cost)

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """The times of text tokens."""
        return self._meter.track(self._engine.align(window, tokens, language, task), self._cost)
