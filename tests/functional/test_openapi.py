"""What the server answers is what openapi.json says: path, status, type and schema of real answers."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
from jsonschema import Draft202012Validator

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP
from tests.openai_spec import strictly_parsed

STREAM = "text/event-stream"
JSON = "application/json"
PLAIN = "text/plain"
AUDIO = {"input_audio": {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"}}
SPOKEN = {"role": "user", "content": [{"type": "input_audio", **AUDIO}]}
CHAT = {"model": "gpt-audio", "messages": [SPOKEN], "stream_options": {"include_usage": True}}
SPEECH = {"model": "gpt-4o-mini-tts", "input": "Good morning.", "voice": "alloy"}
WORDS = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"


def form(part: str = "file", **fields: Any) -> dict[str, Any]:
    return {"data": fields, "files": {part: FLAGSHIP.read_bytes()}}


def asr(**query: str) -> dict[str, Any]:
    return {"params": query, "files": {"audio_file": FLAGSHIP.read_bytes()}}


def audio(**fields: Any) -> dict[str, Any]:
    return form(model="whisper-1", **fields)


class Call(NamedTuple):
    """A request, and the status and type of its answer. A parameter of the path stands between braces."""

    method: str
    path: str
    sent: dict[str, Any]
    status: int
    kind: str


CALLS = [
    Call("GET", "/v1/models", {}, 200, JSON),
    Call("GET", "/v1/models/{whisper-1}", {}, 200, JSON),
    Call("GET", "/v1/models/{nothing}", {}, 404, JSON),
    Call("GET", "/api/ps", {}, 200, JSON),
    Call("POST", "/api/ps/{whisper-1}", {"params": {"keep_alive": "-1"}}, 200, JSON),
    Call("POST", "/api/ps/{whisper-1}", {}, 409, JSON),
    Call("DELETE", "/api/ps/{nothing}", {}, 404, JSON),
    Call("GET", "/v1/realtime", {}, 426, JSON),
    Call("POST", "/v1/realtime/client_secrets", {"json": {}}, 200, JSON),
    Call("POST", "/v1/realtime/client_secrets", {"json": {"session": {}}}, 400, JSON),
    Call("GET", "/v1/audio/voices", {}, 200, JSON),
    Call("GET", "/v1/audio/models", {}, 200, JSON),
    Call("GET", "/health", {}, 200, JSON),
    Call("GET", "/ready", {}, 200, JSON),
    Call("GET", "/limits", {}, 200, JSON),
    Call("GET", "/metrics", {}, 200, PLAIN),
    Call("POST", TRANSCRIPTIONS, audio(), 200, JSON),
    Call("POST", TRANSCRIPTIONS, audio(**{"include[]": "logprobs"}), 200, JSON),
    Call("POST", TRANSCRIPTIONS, form(model="gpt-transcribe"), 200, JSON),
    Call("POST", TRANSCRIPTIONS, audio(**WORDS), 200, JSON),
    Call("POST", TRANSCRIPTIONS, audio(response_format="srt"), 200, PLAIN),
    Call("POST", TRANSCRIPTIONS, {"json": {"model": "whisper-1", **AUDIO}}, 200, JSON),
    Call("POST", TRANSCRIPTIONS, audio(stream="true"), 200, STREAM),
    Call("POST", TRANSCRIPTIONS, audio(stream="true", **WORDS), 200, STREAM),
    Call("POST", TRANSCRIPTIONS, audio(temperature="2"), 400, JSON),
    Call("POST", TRANSCRIPTIONS, form(model="nothing"), 404, JSON),
    Call("POST", TRANSLATIONS, audio(), 200, JSON),
    Call("POST", TRANSLATIONS, audio(response_format="verbose_json"), 200, JSON),
    Call("POST", TRANSLATIONS, audio(response_format="vtt"), 200, PLAIN),
    Call("POST", "/v1/audio/speech", {"json": SPEECH}, 200, "audio/mpeg"),
    Call("POST", "/v1/audio/speech", {"json": SPEECH | {"stream_format": "sse"}}, 200, STREAM),
    Call("POST", "/v1/audio/speech", {"json": SPEECH | {"voice": "nobody"}}, 400, JSON),
    Call("POST", "/v1/chat/completions", {"json": CHAT}, 200, JSON),
    Call("POST", "/v1/chat/completions", {"json": CHAT | {"stream": True}}, 200, STREAM),
    Call("GET", "/v1/realtime", {}, 426, JSON),
    Call("POST", "/v1/realtime/client_secrets", {"json": {}}, 200, JSON),
    Call("POST", "/v1/responses", {"json": {}}, 404, JSON),
    Call("POST", "/inference", form(), 200, JSON),
    Call("POST", "/inference", form(response_format="verbose_json"), 200, JSON),
    Call("POST", "/inference", form(response_format="srt"), 200, "application/x-subrip"),
    Call("POST", "/inference", form(response_format="vtt"), 200, "text/vtt"),
    Call("POST", "/inference", form(temperature="2"), 400, JSON),
    Call("POST", "/asr", asr(output="json"), 200, PLAIN),
    Call("POST", "/asr", asr(task="nothing"), 422, JSON),
    Call("POST", "/detect-language", asr(), 200, JSON),
    Call("POST", "/detect-language", {"files": {"audio_file": b"no audio"}}, 400, JSON),
]


@pytest.fixture(scope="module")
def document(server: GunicornServer) -> dict[str, Any]:
    whole: dict[str, Any] = server.get("/openapi.json").json()
    return whole


def operation_of(path: str) -> str:
    """What stays of a path when its parameter is taken away."""
    return path.partition("{")[0]


def response_of(document: dict[str, Any], call: Call) -> dict[str, Any]:
    """What the document says of an answer."""
    [operations] = [
        operations
        for path, operations in document["paths"].items()
        if operation_of(path) == operation_of(call.path)
    ]
    found: dict[str, Any] = operations[call.method.lower()]["responses"][str(call.status)]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    return found


def objects(kind: str, body: str) -> Iterator[Any]:
    """The JSON of an answer, or of each of its events; else its text."""
    if kind == STREAM:
        frames = [frame for frame in body.split("\n\n") if frame.startswith("data: {")]
        assert frames
        yield from (json.loads(frame.removeprefix("data: ")) for frame in frames)
    else:
        yield strictly_parsed(body) if kind == JSON else body


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path} {call.status}")
def test_an_answer_is_as_described(server: GunicornServer, document: dict[str, Any], call: Call) -> None:
    url = server.url + call.path.replace("{", "").replace("}", "")
    answer = requests.request(call.method, url, **call.sent, timeout=PATIENCE_SECONDS)
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert (answer.status_code, kind) == (call.status, call.kind)
    described = response_of(document, call)["content"][kind]
    if "schema" in described:
        schema = described["schema"] | {"components": document["components"]}
        for received in objects(kind, answer.content.decode()):
            Draft202012Validator(schema).validate(received)


def test_every_operation_is_called(document: dict[str, Any]) -> None:
    """/v1/responses by its error alone: another server answers it."""
    assert {(call.method, operation_of(call.path)) for call in CALLS} == {
        (method.upper(), operation_of(path))
        for path, operations in document["paths"].items()
        for method in operations
    }
