"""What a request holds until its answer has been sent: a permit to work, its context, and a transcriber."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import monotonic, sleep

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.application import incoming
from app.dialogue.audio_parts import ConversationTranscriber
from app.errors import ServerBusy
from app.request_context import RequestContext
from app.runtime import Runtime
from app.waiting import poll


def admitted() -> AbstractContextManager[None]:
    """Hold a permit to work. Raises ServerBusy at once where there is none."""
    return _permit(current_runtime(), caller_or_address())


@contextmanager
def admitted_in_time(runtime: Runtime, caller: str, context: RequestContext) -> Iterator[None]:
    """Hold a permit to work, waiting for it: for audio that can't be sent again.

    Raises ServerBusy if there is none for WHISPER_MAX_WAIT_SECONDS, and what `context.check` raises.
    """
    limit = monotonic() + runtime.settings.max_wait_seconds
    with ExitStack() as held:
        poll(lambda seconds: _attempt(held, runtime, caller, seconds, limit), context.check)
        yield


def _attempt(held: ExitStack, runtime: Runtime, caller: str, seconds: float, limit: float) -> bool:
    """Whether `held` holds a permit now; if not, after so many seconds. Raises ServerBusy after `limit`."""
    try:
        held.enter_context(_permit(runtime, caller))
    except ServerBusy:
        if monotonic() > limit:
            raise
        sleep(seconds)
        return False
    return True


def _permit(runtime: Runtime, caller: str) -> AbstractContextManager[None]:
    return runtime.admission.admit(caller)


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
