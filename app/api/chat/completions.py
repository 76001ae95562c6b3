"""POST /v1/chat/completions."""

from collections.abc import Callable
from contextlib import ExitStack

from flask import Response

from app.api import current_runtime
from app.api.access import caller_or_address
from app.api.admitted import admitted, conversation_transcriber, keep_seconds_of, leased, request_context
from app.api.application import incoming
from app.api.bodies import read_json
from app.api.chat.replies import OwnReply, Reply, UpstreamReply
from app.api.chat.voice import voices, wants_speech
from app.api.event_stream import event_stream
from app.api.form_values import Fields
from app.api.schemas import CHAT_COMPLETION
from app.api.whole_response import JSON, whole_response, with_notice
from app.dialogue.request import chat_request
from app.dialogue.upstream import Upstream
from app.formats.wire import dump_json
from app.request_context import RequestContext
from app.runtime import Lease, Runtime


def create_chat_completion() -> Response:
    """The transcript of the conversation's audio, or an upstream server's answer to it."""
    fields = read_json(CHAT_COMPLETION)
    runtime = current_runtime()
    with ExitStack() as held:
        context = held.enter_context(request_context())
        make_reply, keep_seconds = _reply_maker(fields, runtime), keep_seconds_of(fields)
        lease = held.enter_context(leased(fields["model"], context, keep_seconds))
        reply = make_reply(lease, context)
        held.enter_context(admitted(lease))
        if wants_speech(fields):
            held.enter_context(runtime.admission.admit_speaker(caller_or_address()))
        if fields.get("stream"):
            response = event_stream(reply.chunks(), closing="[DONE]", on_close=held.pop_all().close)
        else:
            response = whole_response(lambda: dump_json(reply.whole()), JSON, held.pop_all().close)
    return with_notice(response, lease.notice, may_shorten=lease.short)


def _reply_maker(fields: Fields, runtime: Runtime) -> Callable[[Lease, RequestContext], Reply]:
    """What makes this server's reply, or the upstream's, whose model names are not checked here.

    All of the request is checked now, before a model is loaded for it.
    """
    voiced = voices(fields, runtime)
    upstream = Upstream.of(runtime.settings)
    if not upstream:
        fields["model"] = runtime.catalogue.require(fields["model"], incoming().deployment)
    request = chat_request(fields)

    def make(lease: Lease, context: RequestContext) -> Reply:
        transcriber = conversation_transcriber(lease, context)
        if upstream:
            return UpstreamReply(fields, request, transcriber, voiced, upstream)
        return OwnReply(fields, request, transcriber, voiced, lease.fingerprint)

    return make
