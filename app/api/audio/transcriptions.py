"""POST /v1/audio/transcriptions."""

from flask import Response

from app.api import current_runtime
from app.api.application import incoming
from app.api.audio.options import rendering, transcription_request
from app.api.bodies import read_form
from app.api.schemas import TRANSCRIPTION


def create_transcription() -> Response:
    """A recording's text, in the language that is spoken."""
    fields, file = read_form(TRANSCRIPTION)
    runtime = current_runtime()
    runtime.require_model(fields["model"])
    wanted = transcription_request(fields, "transcribe")
    with runtime.admit():
        transcript = runtime.transcribe(file, wanted, incoming().client_gone)
    form, wishes = rendering(fields)
    response = Response(form.render(transcript, wishes), content_type=form.mimetype)
    if runtime.notice:
        response.headers["x-model-notice"] = runtime.notice
    return response
