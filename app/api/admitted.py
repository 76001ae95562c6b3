"""What a request holds until its answer has been sent: a permit to work, and its context."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.application import incoming
from app.request_context import RequestContext


def admitted() -> AbstractContextManager[None]:
    """Hold a permit to work. Raises ServerBusy at once where there is none."""
    return current_runtime().admission.admit(caller_or_address())


@contextmanager
def request_context() -> Iterator[RequestContext]:
    """The context of the request being answered. On leaving, all work for it is cancelled."""
    request = incoming()
    context = current_runtime().request_context(request.client_gone, caller(), request.cost)
    try:
        yield context
    finally:
        context.cancel()
