"""Transcriptions asked for in JSON, as Open WebUI does."""

import json
from base64 import b64encode

import pytest

from app.api.bodies import read_json
from app.api.schemas import TRANSCRIPTION
from app.errors import InvalidRequest, UnparsableBody
from tests.unit.scripted import error_of

URL = "/v1/audio/transcriptions"
AUDIO = b"RIFF" + bytes(range(256))
DATA = b64encode(AUDIO).decode()


def _body(**fields):
    return {"model": "whisper-1", "input_audio": {"data": DATA, "format": "wav"}, **fields}


@pytest.mark.parametrize(
    "data",
    [
        DATA,
        f"data:audio/wav;base64,{DATA}",
        f"data:audio/webm;codecs=opus;base64,{DATA}",
        f"{DATA[:76]}\r\n{DATA[76:]}\n",
    ],
    ids=["bare", "data URL", "data URL with codec", "wrapped"],
)
def test_the_recording(client, runtime, data):
    response = client.post(URL, json=_body(input_audio={"data": data}))
    assert response.status_code == 200
    assert response.json["text"] == "Hello there."
    assert runtime.files == [AUDIO]


def test_any_field_in_its_json_type(client, runtime):
    fields = {
        "language": "de",
        "temperature": 0,
        "response_format": "verbose_json",
        "timestamp_granularities": ["word", "segment"],
        "chunking_strategy": {"type": "server_vad", "threshold": 0.4},
        "compression_ratio_threshold": None,
        "beam_size": 2,
        "suppress_blank": False,
        "user": {"unknown": ["field"]},
    }
    response = client.post(URL, json=_body(**fields))
    assert response.json["words"][0]["word"] == "Hello"
    [request] = runtime.requests
    assert request.language == "de"
    assert (request.decoding.beam_size, request.decoding.suppress_blank) == (2, False)
    assert request.compression_ratio_threshold is None
    assert request.chunking.threshold == 0.4


@pytest.mark.parametrize("name", ["language", "prompt", "response_format", "temperature", "stream"])
@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_an_absent_field(client, runtime, name, nothing):
    response = client.post(URL, json=_body(**{name: nothing}))
    assert response.content_type == "application/json"
    assert response.json["text"] == "Hello there."


def test_streams_too(client):
    response = client.post(URL, json=_body(stream=True))
    assert response.content_type == "text/event-stream; charset=utf-8"
    assert '"transcript.text.done"' in response.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_audio": None}, "input_audio"),
        ({"input_audio": DATA}, "input_audio"),
        ({"input_audio": {}}, "input_audio"),
        ({"input_audio": {"data": 7}}, "input_audio"),
        ({"input_audio": {"data": "no base64!"}}, "input_audio.data"),
        ({"input_audio": {"data": DATA[:-1]}}, "input_audio.data"),
        ({"input_audio": {"data": "données"}}, "input_audio.data"),
        ({"input_audio": {"data": DATA + "===="}}, "input_audio.data"),
        ({"input_audio": {"data": f"data:audio/wav,{'%00' * 9}"}}, "input_audio.data"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 1.5}, "temperature"),
        ({"language": "klingon"}, "language"),
        ({"language": ["de"]}, "language"),
        ({"stream": "true"}, "stream"),
        ({"timestamp_granularities": "word"}, "timestamp_granularities"),
        ({"chunking_strategy": 1}, "chunking_strategy"),
        ({"model": ""}, None),
        ({"model": None}, None),
    ],
)
def test_wrong_values_are_400_and_name_the_field(client, runtime, fields, param):
    response = client.post(URL, json=_body(**fields))
    assert response.status_code == 400
    assert (error_of(response)["param"] or "").startswith(param or "")
    assert runtime.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe{",
        b'{"model": NaN}',
        b'{"model": Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model": "' + b"1" * 5_000,
        b'{"model": ' + b"1" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_object(client, runtime, body):
    response = client.post(URL, data=body, content_type="application/json")
    assert response.status_code == 400
    error = error_of(response)
    assert error["message"].startswith("Could not parse the JSON body of your request: ")
    assert (error["param"], error["code"]) == (None, None)
    assert runtime.requests == []


def test_a_body_over_the_limit(app, client):
    app.config["MAX_JSON_BYTES"] = 1_000
    response = client.post(URL, json=_body(prompt="x" * 1_000))
    assert response.status_code == 413
    assert error_of(response)["message"].startswith("Maximum content size limit (1000) exceeded (")


def test_a_recording_over_the_limit(app, client, runtime):
    app.config["MAX_UPLOAD_BYTES"] = len(AUDIO) - 1
    response = client.post(URL, json=_body())
    assert response.status_code == 413
    assert f"({len(AUDIO)} bytes read)" in error_of(response)["message"]
    assert runtime.requests == []


def _read(app, body):
    with app.test_request_context(method="POST", data=body):
        return read_json(TRANSCRIPTION)


def test_what_the_schema_does_not_name_is_kept(app):
    sent = {"model": "m", "language": None, "prompt": "", "metadata": None, "user": ""}
    assert _read(app, json.dumps(sent)) == {"model": "m", "metadata": None, "user": ""}


def test_no_content_type_is_needed(app):
    assert _read(app, b'{"model": "m"}') == {"model": "m"}
    with pytest.raises(UnparsableBody):
        _read(app, b"model=m")
    with pytest.raises(InvalidRequest, match="model parameter"):
        _read(app, b"{}")
