"""A future that knows how long its work waited and how long it took."""

from concurrent.futures import Future
from time import monotonic
from typing import TypeVar

T = TypeVar("T")


class TimedFuture(Future[T]):
    """Engines make one for each piece of work; the clock starts with it."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = monotonic()
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def queue_seconds(self) -> float:
        """From the asking to the beginning, or until now while it waits."""
        return (self._began or self._ended or monotonic()) - self._asked

    @property
    def model_seconds(self) -> float:
        """From the beginning to the end, or until now while it runs; 0.0 for what never began."""
        return (self._ended or monotonic()) - self._began if self._began else 0.0

    def set_running_or_notify_cancel(self) -> bool:
        """As the base class does; the engine calls it when the work begins."""
        begins = super().set_running_or_notify_cancel()
        if begins:
            self._began = monotonic()
        return begins

    def set_result(self, result: T) -> None:
        """As the base class does."""
        self._ended = monotonic()
        super().set_result(result)

    def set_exception(self, exception: BaseException | None) -> None:
        """As the base class does."""
        self._ended = monotonic()
        super().set_exception(exception)
