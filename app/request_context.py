"""How long a request waits for its windows, and for whom."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import TypeVar

from app.errors import ClientGone, RequestTimeout, ServerBusy
from app.transcript import RequestCost

T = TypeVar("T")

_POLL_SECONDS = 0.25


def _never() -> bool:
    return False


@dataclass(frozen=True)
class RequestContext:
    """Waits for futures until a deadline (on time.monotonic's clock), or until the client has gone.

    `cost` is where the request's work is counted.
    """

    limit_seconds: float
    deadline: float
    client_gone: Callable[[], bool] = _never
    cost: RequestCost = field(default_factory=RequestCost, compare=False)

    @classmethod
    def of(
        cls, limit_seconds: float, client_gone: Callable[[], bool] = _never, cost: RequestCost | None = None
    ) -> "RequestContext":
        """RequestContext that starts now."""
        return cls(limit_seconds, time.monotonic() + limit_seconds, client_gone, cost or RequestCost())

    def wait(self, future: Future[T]) -> T:
        """The future's result. Raises RequestTimeout, ClientGone, ServerBusy (stopping) or its own error."""
        try:
            while True:
                self.check()
                try:
                    return future.result(timeout=_POLL_SECONDS)
                except TimeoutError:
                    if future.done():
                        raise
        except CancelledError:
            raise ServerBusy("The server is stopping. Please retry.") from None
        finally:
            del future  # it knows the error, which knows this frame: a circle around all that frames hold

    def check(self) -> None:
        """Raise RequestTimeout or ClientGone if there is nothing left to wait for."""
        if self.client_gone():
            raise ClientGone("The client closed the connection.")
        if time.monotonic() > self.deadline:
            raise RequestTimeout(
                f"The request took longer than the {self.limit_seconds:g} seconds that this server allows."
            )
