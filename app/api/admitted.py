"""What a request holds until its answer has been sent: a permit to work, its context, and a transcriber."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.application import incoming
from app.dialogue.audio_parts import ConversationTranscriber
from app.request_context import RequestContext
from app.runtime import Lease


def admitted(lease: Lease) -> AbstractContextManager[None]:
    """Hold a permit to work with a model. Raises ServerBusy at once where there is none."""
    return current_runtime().admission.admit(caller_or_address(), lease.pace)


@contextmanager
def leased(name: str, context: RequestContext) -> Iterator[Lease]:
    """Hold the model that a request names, loaded. Before `admitted`: who waits for it holds no permit.

    Raises ServerBusy where it can't be had in time.
    """
    with current_runtime().lease(name, context) as lease:
        incoming().served = lease.name
        yield lease


@contextmanager
def request_context() -> Iterator[RequestContext]:
    """The context of the request being answered. On leaving, all work for it is cancelled."""
    request = incoming()
    context = current_runtime().request_context(request.client_gone, caller(), request.cost)
    try:
        yield context
    finally:
        context.cancel()


def conversation_transcriber(lease: Lease, context: RequestContext) -> ConversationTranscriber:
    """What transcribes the recordings of a conversation."""
    max_seconds = current_runtime().settings.max_audio_seconds
    return ConversationTranscriber(lease.transcriber, context, max_seconds, lease.count_tokens)
