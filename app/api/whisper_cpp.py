"""POST /inference, as whisper.cpp's server has it.

Fields, answers and errors are those of its documentation and source (github.com/ggml-org/whisper.cpp,
examples/server/README.md and server.cpp); `app.formats.whisper_cpp` has the shapes of the answers. Two things
differ: without a `language` it is detected, where whisper.cpp's operator chooses one, and wrong
values are a 400. Further fields of whisper.cpp are ignored, and `keep_alive` is this server's own.
"""

from dataclasses import replace

from flask import Blueprint, Response, jsonify

from app.api.admitted import keep_seconds_of
from app.api.application import incoming
from app.api.audio.answers import answer, audio_request
from app.api.bodies import read_form
from app.api.form_values import Fields
from app.api.schemas import INFERENCE
from app.formats.whisper_cpp import FORMATS
from app.requests.parse import AudioRequest

blueprint = Blueprint("whisper_cpp", __name__)

_NAMES = {"temperature_inc": "temperature_increment_on_fallback"}
_SAME_NAMES = ("temperature", "language", "prompt")
_USUAL = {"temperature_inc": 0.2}


@blueprint.post("/inference")
def infer() -> Response:
    """A recording's text."""
    fields, file = read_form(INFERENCE)
    return answer(file, _request(fields), keep_seconds=keep_seconds_of(fields))


@blueprint.before_request
def note_shape() -> None:
    """Failures after the first byte have the same body."""
    incoming().shape_error = _shaped


@blueprint.after_request
def shape_error(response: Response) -> Response:
    """`{"error": message}` in place of OpenAI's error object."""
    if response.status_code >= 400:
        response.data = jsonify(_shaped(response.get_json())).data
    return response


def _shaped(openai_body: Fields) -> Fields:
    return {"error": openai_body["error"]["message"]}


def _request(fields: Fields) -> AudioRequest:
    """The same request in OpenAI's words, to be answered in whisper.cpp's."""
    name = fields.get("response_format", "")
    name = name if name in FORMATS else "json"
    known: Fields = {_NAMES.get(key, key): value for key, value in (_USUAL | fields).items()}
    known = {key: known[key] for key in (*_SAME_NAMES, *_NAMES.values()) if key in known}
    if name == "verbose_json":
        known |= {"response_format": name, "timestamp_granularities": ["word"]}
    request = audio_request(known, "translate" if fields.get("translate") else "transcribe")
    return replace(request, format=FORMATS[name])
