"""POST /v1/audio/transcriptions."""

from flask import Response

from app.api import current_runtime
from app.api.audio.answers import answered, streamed
from app.api.audio.options import rendering, transcription_request
from app.api.bodies import read_recording
from app.api.schemas import TRANSCRIPTION


def create_transcription() -> Response:
    """A recording's text, in the language that is spoken."""
    fields, file = read_recording(TRANSCRIPTION)
    current_runtime().require_model(fields["model"])
    wanted = transcription_request(fields, "transcribe")
    answer = streamed if fields.get("stream") else answered
    return answer(file, wanted, *rendering(fields, "transcribe"))
