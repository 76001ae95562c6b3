import io
import json

import httpx2
import openai
import pytest
from werkzeug.datastructures import MultiDict

from app import create_app
from app.errors import EngineFailure, ServerBusy, UndecodableAudio
from app.settings import Settings
from tests.unit.scripted import error_of

URL = "/v1/audio/transcriptions"


def _post(client, /, *more, **fields):
    data = MultiDict({"model": "whisper-1", **fields})
    for name, value in more:
        data.add(name, value)
    data.add("file", (io.BytesIO(b"RIFF"), "a.wav"))
    return client.post(URL, data=data)


def test_callers_are_told_apart_by_their_keys(runtime):
    client = create_app(Settings(api_keys=("sk-one", "sk-two")), runtime).test_client()
    sent = [{"Authorization": "Bearer sk-one"}, {"api-key": "sk-one"}, {"Authorization": "Bearer sk-two"}]
    for headers in sent:
        form = {"model": "whisper-1", "file": (io.BytesIO(b"RIFF"), "a.wav")}
        assert client.post(URL, data=form, headers=headers).status_code == 200
    one, one_again, two = runtime.callers
    assert one == one_again != two
    assert not any(key in caller for key in ("sk-one", "sk-two") for caller in runtime.callers)


def test_the_plainest_request(client, runtime):
    response = _post(client)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.json["text"] == "Hello there."
    assert runtime.files == [b"RIFF"]
    assert runtime.clients_gone == [False]
    assert runtime.callers == [""]
    assert runtime.admitted == ["127.0.0.1"]


def test_a_permit_is_held_until_the_answer_is_taken(client, runtime):
    response = _post(client)
    assert response.status_code == 200
    assert runtime.permits_held == 1
    response.close()
    assert runtime.permits_held == 0


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
def test_formats_and_their_exact_content_types(client, response_format, content_type, start):
    response = _post(client, response_format=response_format)
    assert response.status_code == 200
    assert response.content_type == content_type
    assert response.text.startswith(start)


@pytest.mark.parametrize(
    ("granularities", "segments", "words"),
    [
        ([], True, False),
        ([("timestamp_granularities[]", "segment")], True, False),
        ([("timestamp_granularities[]", "word")], False, True),
        ([("timestamp_granularities", "word,segment")], True, True),
        ([("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")], True, True),
    ],
)
def test_granularities(client, runtime, granularities, segments, words):
    body = _post(client, *granularities, response_format="verbose_json").json
    assert ("segments" in body, "words" in body) == (segments, words)
    assert runtime.requests[0].word_timestamps is words


def test_the_demo_model_says_what_it_is(client, runtime):
    assert "x-model-notice" not in _post(client).headers
    runtime.notice = "demo model, not for human speech"
    assert _post(client).headers["x-model-notice"] == "demo model, not for human speech"


NAMES = "'json', 'text', 'srt', 'verbose_json', 'vtt', and 'diarized_json'"


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("response_format", "xml", "invalid_value"),
        ("response_format", "JSON", "invalid_value"),
        ("temperature", "1.01", "decimal_above_max_value"),
        ("temperature", "-0.1", "decimal_below_min_value"),
        ("temperature", "nan", "invalid_type"),
        ("temperature", "1e999", "invalid_type"),
        ("temperature", "warm", "invalid_type"),
        ("language", "xx", "invalid_language_format"),
        ("language", "xx-US", "invalid_language_format"),
        ("language", "klingon", "invalid_language_format"),
        ("language", "x" * 65, "string_above_max_length"),
        ("prompt", "x" * 32769, "string_above_max_length"),
        ("model", "x" * 257, "string_above_max_length"),
        ("timestamp_granularities", "word", "invalid_value"),
        ("beam_size", "0", "integer_below_min_value"),
        ("beam_size", "17", "integer_above_max_value"),
        ("beam_size", "none", "invalid_type"),
        ("best_of", "0", "integer_below_min_value"),
        ("best_of", "2.5", "invalid_type"),
        ("patience", "1", "invalid_value"),
        ("length_penalty", "1.5", "decimal_above_max_value"),
        ("suppress_tokens", "-2", "integer_below_min_value"),
        ("suppress_tokens", "51866", "integer_above_max_value"),
        ("suppress_tokens", "a", "invalid_type"),
        ("suppress_blank", "maybe", "invalid_type"),
        ("condition_on_previous_text", "2", "invalid_type"),
        ("carry_initial_prompt", "on", "invalid_type"),
        ("compression_ratio_threshold", "-1", "decimal_below_min_value"),
        ("logprob_threshold", "0.5", "decimal_above_max_value"),
        ("no_speech_threshold", "1.5", "decimal_above_max_value"),
        ("hallucination_silence_threshold", "-1", "decimal_below_min_value"),
        ("clip_timestamps", "5,1", "invalid_value"),
        ("clip_timestamps", "-1", "decimal_below_min_value"),
        ("clip_timestamps", "0,inf", "invalid_type"),
        ("clip_timestamps", "0,,5", "invalid_type"),
        ("clip_timestamps", "0,1e7", "decimal_above_max_value"),
        ("temperature_increment_on_fallback", "0.0001", "invalid_value"),
        ("temperature_increment_on_fallback", "-1", "invalid_value"),
        ("temperature_increment_on_fallback", "2", "invalid_value"),
        ("seed", "-1", "integer_below_min_value"),
        ("seed", "x", "invalid_type"),
        ("max_line_width", "0", "integer_below_min_value"),
        ("max_line_count", "2", "invalid_value"),
        ("max_words_per_line", "0", "integer_below_min_value"),
    ],
)
def test_wrong_values_are_400_and_name_the_field(client, runtime, field, text, code):
    response = _post(client, **{field: text})
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", field, code)
    assert runtime.requests == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"response_format": "xml"}, f"Invalid value: 'xml'. Supported values are: {NAMES}."),
        (
            {"language": "xx"},
            "Invalid language 'xx'. Language parameter must be specified in ISO-639-1 format.",
        ),
        (
            {"temperature": "2"},
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 1, but got 2.0 instead.",
        ),
        (
            {"timestamp_granularities": "word", "response_format": "srt"},
            "The parameter 'timestamp_granularities' requires 'response_format' to be 'verbose_json', "
            "but got 'srt'.",
        ),
        (
            {"max_line_count": "2"},
            "The parameter 'max_line_count' requires 'max_line_width', which was not sent.",
        ),
        ({"patience": "2"}, "The parameter 'patience' requires 'beam_size', which was not sent."),
        (
            {"temperature_increment_on_fallback": "0.01"},
            "Invalid 'temperature_increment_on_fallback': value not allowed. Expected 0 or 'none' for no "
            "fallback, else a decimal number from 0.05 to 1, but got 0.01 instead.",
        ),
    ],
)
def test_what_callers_are_told(client, fields, message):
    assert error_of(_post(client, **fields))["message"] == message


def test_a_model_is_needed(client):
    response = _post(client, model="")
    assert response.status_code == 400
    assert error_of(response) == {
        "message": "you must provide a model parameter",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_an_unknown_model(client):
    response = _post(client, model="gpt-4")
    assert response.status_code == 404
    error = error_of(response)
    assert error["message"].startswith("The model `gpt-4` does not exist or you do not have access to it. ")
    assert "WHISPER_MODEL_ALIASES" in error["message"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")


def test_fields_of_later_and_foreign_apis_are_ignored(client):
    more = [("known_speaker_references[]", "data:audio/wav;base64,UklGRg=="), ("hotwords[]", "x")]
    assert _post(client, *more, stream="false", user="u", vad_filter="yes").status_code == 200


@pytest.mark.parametrize(
    ("error", "status"), [(UndecodableAudio("bad", param="file"), 400), (EngineFailure("broken"), 500)]
)
def test_what_fails_below_gives_the_permit_back(client, runtime, error, status):
    runtime.failure = error
    response = _post(client)
    assert response.status_code == status
    assert error_of(response)["message"] == error.message
    assert runtime.permits_held == 0


def test_a_full_server_refuses(client, runtime):
    runtime.admission.full = ServerBusy("full", retry_after_seconds=9)
    response = _post(client)
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "9"
    assert error_of(response)["message"] == "full"
    assert runtime.files == []


@pytest.fixture
def sdk(app):
    with (
        httpx2.Client(transport=httpx2.WSGITransport(app=app)) as http,
        openai.OpenAI(base_url="http://host/v1", api_key="any", http_client=http, max_retries=0) as sdk,
    ):
        yield sdk


def test_the_sdk_gets_its_objects(sdk, runtime):
    answer = sdk.audio.transcriptions.create(
        model="whisper-1",
        file=b"RIFF",
        language="German",
        temperature=0.2,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        extra_body={"clip_timestamps": [0, 5.5], "condition_on_previous_text": False},
    )
    assert (answer.text, answer.language, answer.duration) == ("Hello there.", "english", 2.5)
    assert [word.word for word in answer.words] == ["Hello", "there"]
    assert answer.segments[0].seek == 0
    [request] = runtime.requests
    assert (request.language, request.temperatures, request.clip_seconds) == ("de", (0.2,), (0.0, 5.5))
    assert request.condition_on_previous_text is False


def test_the_sdk_gets_text(sdk):
    answer = sdk.audio.transcriptions.create(model="whisper-1", file=b"RIFF", response_format="srt")
    assert answer.startswith("1\n")


def test_the_sdk_raises_the_right_errors(sdk, runtime):
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.audio.transcriptions.create(model="whisper-1", file=b"RIFF", temperature=3)
    assert (bad.value.param, bad.value.code) == ("temperature", "decimal_above_max_value")
    assert bad.value.request_id.startswith("req_")
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        sdk.audio.transcriptions.create(model="nobody", file=b"RIFF")
    runtime.failure = RuntimeError("bug")
    with pytest.raises(openai.InternalServerError):
        sdk.audio.transcriptions.create(model="whisper-1", file=b"RIFF")


def test_json_bodies_are_strict_json(client):
    text = _post(client, response_format="verbose_json").text
    assert json.loads(text, parse_constant=pytest.fail)["task"] == "transcribe"
