"""POST /v1/audio/transcriptions."""

from flask import Response

from app.api import current_runtime
from app.api.admitted import keep_seconds_of
from app.api.application import incoming
from app.api.audio.answers import answer, audio_request
from app.api.bodies import read_recording
from app.api.schemas import TRANSCRIPTION


def create_transcription() -> Response:
    """A recording's text, in the language that is spoken."""
    fields, file = read_recording(TRANSCRIPTION)
    fields["model"] = current_runtime().catalogue.require(fields["model"], incoming().deployment)
    return answer(file, audio_request(fields, "transcribe"), fields["model"], keep_seconds_of(fields))
