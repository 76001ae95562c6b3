"""A recording -> the answer to the request it came with: whole, or while it is being heard."""

from contextlib import ExitStack
from typing import BinaryIO

from flask import Response

from app.api import current_runtime
from app.api.access import caller, requester
from app.api.application import incoming
from app.api.event_stream import event_stream
from app.formats import Format, RenderOptions
from app.transcription.request import TranscriptionRequest


def answered(file: BinaryIO, wanted: TranscriptionRequest, form: Format, wishes: RenderOptions) -> Response:
    """All of it at once. Raises SpeechError."""
    runtime = current_runtime()
    runtime.require_time_for(wanted)
    with ExitStack() as held:
        held.enter_context(runtime.admit(requester()))
        transcript = runtime.transcribe(file, wanted, incoming().client_gone, caller(), incoming().effort)
        response = Response(form.render(transcript, wishes), content_type=form.mimetype)
        response.call_on_close(held.pop_all().close)  # a client may take its answer slowly
        return _noticed(response)


def streamed(file: BinaryIO, wanted: TranscriptionRequest, form: Format, wishes: RenderOptions) -> Response:
    """Event by event. Raises SpeechError for whatever goes wrong before the first."""
    assert form.events is not None
    runtime = current_runtime()
    runtime.require_time_for(wanted)
    with ExitStack() as held:
        held.enter_context(runtime.admit(requester()))
        patience = runtime.patience(incoming().client_gone, incoming().effort)
        share = held.enter_context(runtime.held_audio.share())
        samples = runtime.decode(file, patience, share, by_channel=wanted.by_channel)
        deltas = runtime.stream(samples, wanted, patience)
        return _noticed(event_stream(form.events(deltas, wishes), on_close=held.pop_all().close))


def _noticed(response: Response) -> Response:
    if notice := current_runtime().notice:
        response.headers["x-model-notice"] = notice
    return response
