"""What a request holds until its answer has been sent: a permit to work, its context, and a transcriber."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import monotonic, sleep

from app.api import current_runtime
from app.api.access import caller, caller_or_address, require_admin
from app.api.application import incoming
from app.api.form_values import Fields
from app.dialogue.audio_parts import ConversationTranscriber
from app.errors import ServerBusy
from app.request_context import RequestContext
from app.requests.keep_alive import keep_alive_seconds
from app.runtime import Lease, Runtime
from app.waiting import poll


def admitted(lease: Lease) -> AbstractContextManager[None]:
    """Hold a permit to work with a model. Raises ServerBusy at once where there is none."""
    return _permit(current_runtime(), lease, caller_or_address())


@contextmanager
def admitted_in_time(runtime: Runtime, lease: Lease, caller: str, context: RequestContext) -> Iterator[None]:
    """Hold a permit to work with a model, waiting for it: for audio that can't be sent again.

    Raises ServerBusy if there is none for WHISPER_MAX_WAIT_SECONDS, and what `context.check` raises.
    """
    limit = monotonic() + runtime.settings.max_wait_seconds
    with ExitStack() as held:
        poll(lambda seconds: _attempt(held, _permit(runtime, lease, caller), seconds, limit), context.check)
        yield


def _attempt(held: ExitStack, permit: AbstractContextManager[None], seconds: float, limit: float) -> bool:
    """Whether `held` holds the permit now; if not, after so many seconds. Raises ServerBusy after `limit`."""
    try:
        held.enter_context(permit)
    except ServerBusy:
        if monotonic() > limit:
            raise
        sleep(seconds)
        return False
    return True


def _permit(runtime: Runtime, lease: Lease, caller: str) -> AbstractContextManager[None]:
    return runtime.admission.admit(caller, lease.pace)


@contextmanager
def leased(name: str, context: RequestContext, keep_seconds: float | None = None) -> Iterator[Lease]:
    """Hold the model that a request names, loaded. Before `admitted`: who waits for it holds no permit.

    `keep_seconds`: how long it stays loaded afterwards if nobody uses it; None for what holds already.
    Raises ServerBusy where it can't be had in time.
    """
    runtime = current_runtime()
    incoming().served = runtime.name_of(name)  # also where it can't be had
    with runtime.lease(name, context, keep_seconds) as lease:
        yield lease


def keep_seconds_of(fields: Fields) -> float | None:
    """The `keep_alive` of a request, if any. Raises InvalidParameter.

    Raises PermissionDenied for less than the server's own value, as others would wait for the next load.
    """
    if "keep_alive" not in fields:
        return None
    seconds = keep_alive_seconds(fields["keep_alive"])
    if seconds < current_runtime().settings.idle_seconds:
        require_admin("unload a model earlier than the server does (keep_alive)")
    return seconds


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
