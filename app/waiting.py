"""Waiting on behalf of a client: in short steps, so that a client that has gone is noticed."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeVar

from app.errors import ClientGone

T = TypeVar("T")

POLL_SECONDS = 0.25
"""The length of a step."""

Check = Callable[[], None]
"""Raises an error if there is no reason to wait any longer."""


def check_client(client_gone: Callable[[], bool]) -> None:
    """Raise ClientGone if the client has gone."""
    if client_gone():
        raise ClientGone("The client closed the connection.")


def poll(attempt: Callable[[float], T], check: Check) -> T:
    """The first result of `attempt(seconds)` that is true; it may block for so many seconds.

    `check` is called before each attempt. Raises what either of them raises.
    """
    while True:
        check()
        if result := attempt(POLL_SECONDS):
            return result


def wait_for(future: Future[T], check: Check, *interruptions: Future[Any]) -> T:
    """The result of a future. Raises what `check` raises, CancelledError, or the future's own error.

    When one of the `interruptions` ends, `check` is called at once, and should raise.
    """
    try:
        poll(partial(_ends, future, interruptions), check)
        return future.result()
    finally:
        del future  # its error refers to this frame: a cycle that would keep what the frames hold


def _ends(future: Future[Any], interruptions: tuple[Future[Any], ...], seconds: float) -> bool:
    wait([future, *interruptions], seconds, FIRST_COMPLETED)
    return future.done()
