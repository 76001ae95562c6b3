import io

import pytest

from app.api.schemas import TRANSCRIPTION, TRANSLATION
from tests.openai_spec import conforming
from tests.unit.scripted import error_of

URL = "/v1/audio/translations"


def _post(client, **fields):
    return client.post(URL, data={"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav"), **fields})


@pytest.mark.parametrize(
    ("response_format", "content_type", "start"),
    [
        ("", "application/json", '{"text"'),
        ("json", "application/json", '{"text"'),
        ("verbose_json", "application/json", '{"task"'),
        ("text", "text/plain; charset=utf-8", "Hello there.\n"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> 00:00:02,000\nHello there.\n"),
        ("vtt", "text/plain; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nHello there.\n"),
    ],
)
def test_five_formats(client, runtime, response_format, content_type, start):
    response = _post(client, response_format=response_format)
    assert response.status_code == 200
    assert response.content_type == content_type
    assert response.text.startswith(start)
    assert runtime.requests[0].task == "translate"
    response.close()
    assert runtime.permits_held == 0


def test_json_is_openais(client):
    conforming("translation_json", _post(client).json)


def test_the_demo_model_says_what_it_is(client, runtime):
    runtime.notice = "a toy"
    assert _post(client).headers["x-model-notice"] == "a toy"


def test_whispers_options_and_the_spoken_language(client, runtime):
    _post(client, language="German", beam_size="2", prompt="A proverb.", temperature="0.4")
    [request] = runtime.requests
    assert (request.language, request.decoding.beam_size, request.prompt) == ("de", 2, "A proverb.")
    assert request.temperatures == (0.4,)


def test_fields_of_transcriptions_are_ignored(client, runtime):
    more = {
        "stream": "true",
        "timestamp_granularities[]": "word",
        "include[]": "logprobs",
        "languages[]": "x",
    }
    response = _post(client, **more)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert not runtime.requests[0].word_timestamps


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("response_format", "diarized_json", "invalid_value"),
        ("temperature", "2", "decimal_above_max_value"),
        ("language", "klingon", "invalid_language_format"),
        ("beam_size", "99", "integer_above_max_value"),
        ("patience", "1", "invalid_value"),
    ],
)
def test_wrong_values_are_400_and_name_the_field(client, runtime, field, value, code):
    response = _post(client, **{field: value})
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == (field, code)
    assert runtime.requests == []


def test_an_unknown_model(client):
    assert _post(client, model="gpt-4").status_code == 404


def test_both_schemas_offer_whispers_options():
    options = set(TRANSCRIPTION.schema["properties"]) & set(TRANSLATION.schema["properties"])
    assert {"beam_size", "seed", "max_line_width", "temperature"} <= options
    assert TRANSLATION.schema["dependentRequired"] == TRANSCRIPTION.schema["dependentRequired"]
