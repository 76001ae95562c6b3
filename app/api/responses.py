"""POST /v1/responses: OpenAI's Responses API, which the server behind CHAT_UPSTREAM_URL answers."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from flask import Blueprint, Response

from app.api import current_runtime
from app.api.admitted import admitted, conversation_transcriber, keep_seconds_of, leased, request_context
from app.api.bodies import read_json
from app.api.event_stream import Event, event_stream
from app.api.form_values import Fields
from app.api.schemas import RESPONSE
from app.api.whole_response import JSON, whole_response, with_notice
from app.dialogue.audio_parts import ConversationTranscriber, texts_of_audio_parts
from app.dialogue.responses import InputPart, recordings_of, written
from app.dialogue.upstream import Body, Upstream
from app.dialogue.upstream_endpoints import RESPONSES
from app.errors import NoUpstream
from app.formats.wire import dump_json

blueprint = Blueprint("responses", __name__)


@blueprint.post("")
def create_response() -> Response:
    """What the upstream server answers to a conversation whose recordings were written down."""
    upstream = _upstream()
    fields = read_json(RESPONSE)
    with ExitStack() as held:
        context = held.enter_context(request_context())
        recordings, keep_seconds = recordings_of(fields), keep_seconds_of(fields)
        lease = held.enter_context(leased(str(fields.get("model", "")), context, keep_seconds))
        reply = _Reply(fields, recordings, conversation_transcriber(lease, context), upstream)
        held.enter_context(admitted(lease))
        if fields.get("stream"):
            response = event_stream(reply.events(), named=True, on_close=held.pop_all().close)
        else:
            response = whole_response(lambda: dump_json(reply.whole()), JSON, held.pop_all().close)
    return with_notice(response, lease.notice, may_shorten=lease.short)


def _upstream() -> Upstream:
    upstream = Upstream.of(current_runtime().settings)
    if not upstream:
        raise NoUpstream(
            "/v1/responses is answered by another server, and CHAT_UPSTREAM_URL names none. "
            "Send recordings to /v1/chat/completions instead."
        )
    return upstream


@dataclass(frozen=True)
class _Reply:
    """The upstream's, which is handed on as it is."""

    fields: Fields
    recordings: Sequence[InputPart]
    transcriber: ConversationTranscriber
    upstream: Upstream

    def whole(self) -> Body:
        """The `response`."""
        return self.upstream.ask(self._written(), self.transcriber.context, RESPONSES)

    def events(self) -> Generator[Event, None, None]:
        """The events, as they come."""
        yield from self.upstream.stream(self._written(), self.transcriber.context, RESPONSES)

    def _written(self) -> Body:
        texts, _ = texts_of_audio_parts(self.recordings, self.transcriber)
        return written(self.fields, self.recordings, texts)
