"""A recording -> the answer to its request: at once, or streamed while it is transcribed."""

from contextlib import ExitStack, closing
from typing import BinaryIO

from flask import Response

from app.api import current_runtime
from app.api.admitted import admitted, leased, request_context
from app.api.event_stream import event_stream
from app.api.form_values import Fields
from app.api.whole_response import whole_response, with_notice
from app.requests.parse import AudioRequest, parse
from app.transcript import Task
from app.transcription.transcribe import collected


def answer(
    file: BinaryIO, request: AudioRequest, model: str = "", keep_seconds: float | None = None
) -> Response:
    """The answer of a model, at once or as events. Raises SpeechError for errors before the first event.

    `keep_seconds`: how long the model stays loaded afterwards, None for as long as it would.
    """
    transcription = request.transcription
    with ExitStack() as held:
        context = held.enter_context(request_context())
        lease = held.enter_context(leased(model, context, keep_seconds))
        held.enter_context(admitted(lease))
        deltas = held.enter_context(closing(lease.transcriber.stream(file, transcription, context)))
        if request.streamed:
            assert request.format.events is not None
            events = request.format.events(deltas, request.render_options)
            response = event_stream(events, on_close=held.pop_all().close)
        else:

            def make() -> str:
                transcript = collected(deltas, transcription.task)
                return request.format.render(transcript, request.render_options)

            response = whole_response(make, request.format.mimetype, held.pop_all().close)
    return with_notice(response, lease.notice, may_shorten=lease.transcriber.policy.shortens(transcription))


def audio_request(fields: Fields, task: Task) -> AudioRequest:
    """The request behind checked fields. Raises what `parse` raises."""
    return parse(fields, task, current_runtime().settings.ignore_prompts)
