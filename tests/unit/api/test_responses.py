"""/v1/responses over a scripted engine: what the upstream is asked, and what becomes of its answers."""

import json
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import create_app
from app.runtime import Runtime
from app.settings import Settings
from tests.scripted_engine import ScriptedEngine, result, spell
from tests.unit.scripted import error_of
from tests.unit.transcription.wav_files import wav
from tests.upstream_server import UpstreamServer, response, response_events, upstream_server

URL = "/v1/responses"
AUDIO = {
    "type": "input_audio",
    "input_audio": {"data": b64encode(wav([1]).getvalue()).decode(), "format": "wav"},
}
INPUT = [{"role": "user", "content": [AUDIO]}]
HEARD = [{"role": "user", "content": [{"type": "input_text", "text": "Hello there."}]}]


@pytest.fixture
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


def client_of(**settings: Any) -> FlaskClient:
    engine = ScriptedEngine(lambda window, options: result(*spell(" Hello there.")))
    known = Settings(speech_floor=0, **settings)
    return create_app(known, Runtime(known, engine)).test_client()


@pytest.fixture
def client(upstream: UpstreamServer) -> FlaskClient:
    return client_of(chat_upstream_url=upstream.url, chat_upstream_key="secret")


def events_in(body: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event; every one must have both."""
    frames = [frame.split("\n") for frame in body.split("\n\n") if frame]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_without_an_upstream_it_is_a_404_that_says_where_to_go() -> None:
    body = BytesIO(b"{}")
    answer = client_of().post(URL, data=body, content_type="application/json")
    assert answer.status_code == 404
    error = error_of(answer)
    assert (error["type"], error["code"]) == ("invalid_request_error", "unknown_url")
    assert "/v1/chat/completions" in (error["message"] or "")


def test_the_answer_is_handed_on(client: FlaskClient, upstream: UpstreamServer) -> None:
    whole = response(unheard_of=[1])
    upstream.answers(whole)
    body = {"model": "any", "input": INPUT, "temperature": 0.5, "store": False}
    answer = client.post(URL, json=body, headers={"Authorization": "Bearer the client's own"})
    assert (answer.status_code, answer.json) == (200, whole)
    assert upstream.paths == [URL]
    assert upstream.received == [body | {"input": HEARD}]
    assert upstream.received_headers[0]["Authorization"] == "Bearer secret"


def test_so_are_events_with_their_names(client: FlaskClient, upstream: UpstreamServer) -> None:
    events = response_events("It is", " about the sun.")
    upstream.streams(*events)
    answer = client.post(URL, json={"model": "any", "input": INPUT, "stream": True})
    assert answer.content_type == "text/event-stream; charset=utf-8"
    assert events_in(answer.text) == [(event["type"], event) for event in events]
    assert upstream.received == [{"model": "any", "input": HEARD, "stream": True}]


def test_a_text_needs_no_recording(client: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.answers(response())
    client.post(URL, json={"model": "any", "input": "Hello."})
    assert upstream.received == [{"model": "any", "input": "Hello."}]


def test_a_model_of_the_operators(upstream: UpstreamServer) -> None:
    upstream.answers(response())
    client = client_of(chat_upstream_url=upstream.url, chat_upstream_model="llama")
    client.post(URL, json={"model": "any", "input": "Hello."})
    assert upstream.received[0]["model"] == "llama"


def test_a_deployments_name_is_the_model(client: FlaskClient, upstream: UpstreamServer) -> None:
    upstream.answers(response())
    client.post("/openai/deployments/ours/responses?api-version=1", json={"input": "Hello."})
    assert upstream.received[0]["model"] == "ours"


@pytest.mark.parametrize("stream", [False, True])
def test_its_errors(client: FlaskClient, upstream: UpstreamServer, stream: bool) -> None:
    upstream.answers({"error": {"message": "Slow down.", "type": "requests", "code": "slow"}}, 429)
    answer = client.post(URL, json={"model": "any", "input": "Hello.", "stream": stream})
    assert answer.status_code == 429
    error = error_of(answer)
    assert (error["message"], error["type"], error["code"]) == ("Slow down.", "requests", "slow")


@pytest.mark.parametrize(
    "event", ["[1]", "{}", '{"type": 7}', '{"type": "a\\nb"}', '{"type": ""}', "not JSON"]
)
def test_events_that_are_none(client: FlaskClient, upstream: UpstreamServer, event: str) -> None:
    upstream.streams('{"type": "response.created"}', event)
    answer = client.post(URL, json={"model": "any", "input": "Hello.", "stream": True})
    *_, (name, data) = events_in(answer.text)
    assert (name, data["type"]) == ("error", "error")
    assert data["message"] == data["error"]["message"]
    assert "The upstream server's stream" in data["message"]


@pytest.mark.parametrize("body", [b"[]", b"7", b"<html>"])
def test_an_answer_that_is_none(client: FlaskClient, upstream: UpstreamServer, body: bytes) -> None:
    upstream.answers(body)
    answer = client.post(URL, json={"model": "any", "input": "Hello."})
    assert answer.status_code == 502
    error_of(answer)


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"input": 7}, "input"),
        ({"input": [7]}, "input"),
        ({"input": [{"content": [7]}]}, "input[0].content[0]"),
        ({"input": [{"type": "input_audio"}]}, "input[0].input_audio"),
        (
            {"input": [{"content": [{"type": "input_audio", "input_audio": {}}]}]},
            "input[0].content[0].input_audio.data",
        ),
        (
            {"input": [{"content": [{"type": "input_audio", "input_audio": {"data": "&"}}]}]},
            "input[0].content[0].input_audio",
        ),
        ({"input": [{"content": [AUDIO] * 65}]}, "input"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_is_refused_here(
    client: FlaskClient, upstream: UpstreamServer, sent: dict[str, Any], param: str
) -> None:
    answer = client.post(URL, json={"model": "any", **sent})
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param
    assert upstream.received == []
