"""A future that measures how long its call waited and how long it ran."""

from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


class TimedFuture(Future[T]):
    """The future of an engine call. Time is measured from when it is made."""

    def __init__(self) -> None:
        super().__init__()
        self._submitted_at = monotonic()
        self._started_at: float | None = None
        self._ended_at: float | None = None

    @property
    def queue_seconds(self) -> float:
        """From the submission to the start, or until now while it waits."""
        return (self._started_at or self._ended_at or monotonic()) - self._submitted_at

    @property
    def model_seconds(self) -> float:
        """From the start to the end, or until now while it runs; 0.0 if it never started."""
        return (self._ended_at or monotonic()) - self._started_at if self._started_at else 0.0

    def set_running_or_notify_cancel(self) -> bool:
        """As in the base class. The engine calls it when the call starts."""
        starts = super().set_running_or_notify_cancel()
        if starts:
            self._started_at = monotonic()
        return starts

    def set_result(self, result: T) -> None:
        """As in the base class."""
        self._ended_at = monotonic()
        super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        """As in the base class."""
        self._ended_at = monotonic()
        super().set_exception(exception)
