"""POST /v1/audio/translations."""

from flask import Response

from app.api import current_runtime
from app.api.admitted import keep_seconds_of
from app.api.application import incoming
from app.api.audio.answers import answer, audio_request
from app.api.bodies import read_form
from app.api.schemas import TRANSLATION


def create_translation() -> Response:
    """A recording's text in English. `language` may be the spoken language, as in openai-whisper."""
    fields, file = read_form(TRANSLATION)
    fields["model"] = current_runtime().catalogue.require(fields["model"], incoming().deployment)
    return answer(file, audio_request(fields, "translate"), fields["model"], keep_seconds_of(fields))
