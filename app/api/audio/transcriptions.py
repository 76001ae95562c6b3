"""POST /v1/audio/transcriptions."""

from flask import Response

from app.api import current_runtime
from app.api.application import incoming
from app.api.audio.answers import answer
from app.api.bodies import read_recording
from app.api.schemas import TRANSCRIPTION
from app.requests.parse import parse


def create_transcription() -> Response:
    """A recording's text, in the language that is spoken."""
    fields, file = read_recording(TRANSCRIPTION)
    runtime = current_runtime()
    fields["model"] = runtime.catalogue.require(fields["model"], incoming().deployment)
    return answer(file, parse(fields, "transcribe", runtime.settings.ignore_prompts))
