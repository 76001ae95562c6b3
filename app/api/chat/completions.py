"""POST /v1/chat/completions."""

from contextlib import ExitStack

from flask import Response

from app.api import current_runtime
from app.api.admitted import admitted, conversation_transcriber, request_context
from app.api.application import incoming
from app.api.bodies import read_json
from app.api.chat.replies import OwnReply, Reply, UpstreamReply
from app.api.chat.voice import voices
from app.api.event_stream import event_stream
from app.api.form_values import Fields
from app.api.schemas import CHAT_COMPLETION
from app.api.whole_response import JSON, whole_response, with_notice
from app.dialogue.request import chat_request
from app.dialogue.upstream import Upstream
from app.formats.wire import dump_json
from app.request_context import RequestContext
from app.runtime import Runtime


def create_chat_completion() -> Response:
    """The transcript of the conversation's audio, or an upstream server's answer to it."""
    fields = read_json(CHAT_COMPLETION)
    runtime = current_runtime()
    with ExitStack() as held:
        context = held.enter_context(request_context())
        reply = _reply(fields, runtime, context)
        held.enter_context(admitted())
        if fields.get("stream"):
            response = event_stream(reply.chunks(), closing="[DONE]", on_close=held.pop_all().close)
        else:
            response = whole_response(lambda: dump_json(reply.whole()), JSON, held.pop_all().close)
    return with_notice(response, may_shorten=runtime.settings.context == "short")


def _reply(fields: Fields, runtime: Runtime, context: RequestContext) -> Reply:
    """This server's reply, or the upstream's, whose model names are not checked here."""
    voiced = voices(fields, runtime)
    transcriber = conversation_transcriber(context)
    if upstream := Upstream.of(runtime.settings):
        return UpstreamReply(fields, chat_request(fields), transcriber, voiced, upstream)
    fields["model"] = runtime.catalogue.require(fields["model"], incoming().deployment)
    return OwnReply(fields, chat_request(fields), transcriber, voiced, runtime.model.fingerprint)
