"""An engine whose work is measured: for the server as a whole, and for each request."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from app.engines.interface import (
    Engine,
    EngineProxy,
    Window,
    WindowOptions,
    WindowResult,
    WordTiming,
)
from app.engines.timed_future import TimedFuture
from app.transcript import RequestCost, Task

F = TypeVar("F", bound=Future[Any])

_FORGET = 1 / 32
"""How much of what was measured before one window is worth less with it."""


class Meter:
    """What one engine has done and has to do, counted over all requests. Any thread may ask.

    `windows_finished`, `windows_failed` (cancelled ones are neither) and the seconds are totals;
    `queue_seconds` and `model_seconds` are added up over pieces of work, of which many run at a
    time, and `busy_seconds` is the time in which any did.
    """

    def __init__(self, seconds_per_window: float = 0.0, clock: Callable[[], float] = monotonic) -> None:
        self.windows_in_flight = 0
        self.windows_finished = 0
        self.windows_failed = 0
        self.queue_seconds = 0.0
        self.model_seconds = 0.0
        self.busy_seconds = 0.0
        self._clock = clock
        self._lock = Lock()
        self._works = 0
        self._counted_until = 0.0
        self._recent_seconds = seconds_per_window
        self._recent_windows = 1.0 if seconds_per_window else 0.0

    @property
    def seconds_per_window(self) -> float:
        """Busy seconds for each window lately, however many were decoded together; 0.0 before the first."""
        with self._lock:
            return self._recent_seconds / self._recent_windows if self._recent_windows else 0.0

    def watch(self, work: F, cost: RequestCost, *, windows: int = 0) -> F:
        """Count a piece of work that was just handed in until it ends. `windows`: 1 if it decodes one."""
        with self._lock:
            if not self._works:
                self._counted_until = self._clock()
            self._works += 1
            self.windows_in_flight += windows
            cost.unfinished += 1
        work.add_done_callback(lambda ended: self._end(ended, cost, windows))
        return work

    def _end(self, work: Future[Any], cost: RequestCost, windows: int) -> None:
        error = CancelledError() if work.cancelled() else work.exception()
        with self._lock:
            self._works -= 1
            self.windows_in_flight -= windows
            if error is None:
                self._count_time(windows)
                self.windows_finished += windows
                cost.windows += windows
            elif not isinstance(error, CancelledError):
                self.windows_failed += windows
            if isinstance(work, TimedFuture):
                self._count_work(work, cost)
            cost.unfinished -= 1

    def _count_time(self, windows: int) -> None:
        """The time since the last piece of work was finished is what this one took of the engine's."""
        now = self._clock()
        taken, self._counted_until = now - self._counted_until, now
        self.busy_seconds += taken
        self._recent_seconds += taken
        if windows:
            self._recent_seconds *= 1 - _FORGET
            self._recent_windows = (self._recent_windows + 1) * (1 - _FORGET)

    def _count_work(self, work: TimedFuture[Any], cost: RequestCost) -> None:
        self.queue_seconds += work.queue_seconds
        self.model_seconds += work.model_seconds
        cost.queue_seconds += work.queue_seconds
        cost.model_seconds += work.model_seconds


class MeteredEngine(EngineProxy):
    """An Engine for one request, whose work is done by another engine and counted; `open` is not counted."""

    def __init__(self, engine: Engine, meter: Meter, cost: RequestCost) -> None:
        super().__init__(engine)
        self._meter = meter
        self._cost = cost

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        """Decode a window once."""
        return self._meter.watch(self._engine.submit(window, options), self._cost, windows=1)

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        """The probability of every language code."""
        return self._meter.watch(self._engine.detect_language(window), self._cost)

    def score(self, window: Window, options: WindowOptions, tokens: Sequence[int]) -> Future[list[float]]:
        """The log-probability of each of a window's tokens."""
        return self._meter.watch(self._engine.score(window, options, tokens), self._cost)

    def align(
        self, window: Window, tokens: Sequence[int], language: str | None, task: Task
    ) -> Future[list[WordTiming]]:
        """Place text tokens in time."""
        return self._meter.watch(self._engine.align(window, tokens, language, task), self._cost)
