"""POST /asr and /detect-language, as whisper-asr-webservice has them.

Query, part and answers are those of its documentation and source with the engine openai_whisper
(github.com/ahmetoner/whisper-asr-webservice, docs/endpoints.md, app/webservice.py and app/utils.py), errors
those of FastAPI, which it is built on: 422 with a list for a query or form that is wrong, else `{"detail":
message}`. It answers 500 to a file that is no audio, and knows no full server; here these
are 400 and 503. `vad_filter` is ignored, and `keep_alive` is this server's own.
"""

from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO, cast
from urllib.parse import quote

from flask import Blueprint, Response, jsonify
from werkzeug.datastructures import FileStorage

from app.api.admitted import keep_seconds_of
from app.api.application import incoming
from app.api.audio.answers import answer, audio_request
from app.api.bodies import read_file, read_query
from app.api.form_values import Fields
from app.api.schemas import ASR
from app.formats import Format, RenderOptions
from app.formats.whisper_files import RENDERERS
from app.formats.wire import dump_json
from app.languages import LANGUAGES
from app.requests.parse import AudioRequest
from app.transcript import Transcript
from app.transcription.request import TranscriptionRequest
from app.waveform.raw_pcm import as_wav

blueprint = Blueprint("asr_webservice", __name__)

_PART = "audio_file"
_FIELDS = frozenset(cast(Fields, ASR.schema)["properties"])
_PLAIN = "text/plain; charset=utf-8"
_SUBTITLE_LIMITS = {"max_line_width": 1000, "max_line_count": 10}
"""What whisper-asr-webservice gives openai-whisper's writers, which use it where there are words."""
_NAMES = {"language": "language", "initial_prompt": "prompt"}


@blueprint.post("/asr")
def recognize() -> Response:
    """A recording as one of openai-whisper's files."""
    query = read_query(ASR)
    upload = read_file(_PART)
    ending = query.get("output", "txt").replace("text", "txt")
    response = _answer(upload, _asr_request(query, ending), query)
    response.headers["Asr-Engine"] = "openai_whisper"
    name = quote(upload.filename or _PART)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{ending}"'
    return response


@blueprint.post("/detect-language")
def detect_language() -> Response:
    """The language of a recording's first 30 s."""
    query = read_query(ASR)
    request = AudioRequest(
        TranscriptionRequest(language_only=True),
        Format("application/json", _render_language),
        RenderOptions(),
    )
    return _answer(read_file(_PART), request, query)


@blueprint.before_request
def note_shape() -> None:
    """Failures after the first byte have FastAPI's body, too."""
    incoming().shape_error = _shaped


@blueprint.after_request
def shape_error(response: Response) -> Response:
    """FastAPI's body in place of OpenAI's, and its status for what it checks itself."""
    if response.status_code >= 400:
        openai_body = response.get_json()
        error = openai_body["error"]
        if response.status_code == 400 and error["param"] in (_PART, *_FIELDS):
            response.status_code = 422
            response.data = jsonify(detail=[_violation(error)]).data
        else:
            response.data = jsonify(_shaped(openai_body)).data
    return response


def _answer(upload: FileStorage, request: AudioRequest, query: Fields) -> Response:
    """With `encode=false` the part has samples without a header."""
    with ExitStack() as held:
        file = cast(BinaryIO, upload.stream)
        if not query.get("encode", True):
            file = held.enter_context(as_wav(file))
        return answer(file, request, keep_seconds=keep_seconds_of(query))


def _asr_request(query: Fields, ending: str) -> AudioRequest:
    """The same request in OpenAI's words, to be answered in a file of openai-whisper's."""
    fields: Fields = {name: query[key] for key, name in _NAMES.items() if key in query}
    if query.get("word_timestamps"):
        fields |= _SUBTITLE_LIMITS
        fields |= {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
    request = audio_request(fields, query.get("task", "transcribe"))
    return replace(request, format=Format(_PLAIN, RENDERERS[ending]))


def _render_language(transcript: Transcript, _options: RenderOptions) -> str:
    body = {
        "detected_language": LANGUAGES[transcript.language],
        "language_code": transcript.language,
        "confidence": transcript.language_probability,
    }
    return dump_json(body)


def _shaped(openai_body: Fields) -> Fields:
    return {"detail": openai_body["error"]["message"]}


def _violation(error: Fields) -> Fields:
    """An entry of FastAPI's list."""
    param = error["param"]
    where, kind = ("body", "missing") if param == _PART else ("query", "value_error")
    return {"type": kind, "loc": [where, param], "msg": error["message"], "input": None}
