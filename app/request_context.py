"""The context of a request: its deadline, client, caller and cost."""

import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from app.errors import RequestTimeout, ServerBusy
from app.request_cost import RequestCost
from app.scheduling import SchedulingClass
from app.waiting import check_client, wait_for

T = TypeVar("T")


def never_gone() -> bool:
    """For work without a client that could leave."""
    return False


@dataclass(frozen=True)
class RequestContext:
    """A request's deadline (on time.monotonic's clock), its client, its caller and its cost.

    `caller` is a digest of the API key, or empty. `scheduling_class` is that of its recordings. All work for
    the request ends when the deadline has passed, when `client_gone()` is true, or when it is cancelled: then
    at once.
    """

    limit_seconds: float
    deadline: float
    client_gone: Callable[[], bool] = never_gone
    caller: str = ""
    cost: RequestCost = field(default_factory=RequestCost, compare=False)
    scheduling_class: SchedulingClass = SchedulingClass.UPLOAD
    _cancelled: Future[None] = field(default_factory=Future, init=False, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        limit_seconds: float,
        client_gone: Callable[[], bool] = never_gone,
        caller: str = "",
        cost: RequestCost | None = None,
        scheduling_class: SchedulingClass = SchedulingClass.UPLOAD,
    ) -> "RequestContext":
        """The context of a request that starts now."""
        deadline = time.monotonic() + limit_seconds
        return cls(limit_seconds, deadline, client_gone, caller, cost or RequestCost(), scheduling_class)

    def cancel(self) -> None:
        """End all work for the request. Any thread may call it."""
        with suppress(InvalidStateError):  # it was cancelled before
            self._cancelled.set_result(None)

    @property
    def abandoned(self) -> bool:
        """Whether the request was cancelled or its client has gone."""
        return self._cancelled.done() or self.client_gone()

    def wait(self, future: Future[T]) -> T:
        """The future's result. Raises RequestTimeout, ClientGone, ServerBusy (stopping) or its own error."""
        try:
            return wait_for(future, self.check, self._cancelled)
        except CancelledError:
            raise ServerBusy("The server is stopping. Please retry.") from None
        finally:
            del future  # as in wait_for

    def check(self) -> None:
        """Raise ClientGone if the request is abandoned, RequestTimeout if its deadline has passed."""
        check_client(lambda: self.abandoned)
        if time.monotonic() > self.deadline:
            raise RequestTimeout(
                f"The request took longer than the {self.limit_seconds:g} seconds that this server allows."
            )
