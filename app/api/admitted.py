"""What a request holds until its answer has been sent: a permit to work, its context, and a transcriber."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.application import incoming
from app.dialogue.audio_parts import ConversationTranscriber
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


def conversation_transcriber(context: RequestContext) -> ConversationTranscriber:
    """What transcribes the recordings of a conversation."""
    runtime = current_runtime()
    max_seconds = runtime.settings.max_audio_seconds
    return ConversationTranscriber(runtime.transcriber, context, max_seconds, runtime.count_tokens)
