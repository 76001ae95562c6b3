"""/v1/responses: OpenAI's Responses API, answered by the upstream once recordings are written down."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.node_programs import run_node
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.upstream_server import UpstreamServer, response, response_events, upstream_server

ANSWER = "It is about the sun."
QUESTION = {"type": "input_text", "text": "What is it about?"}
AUDIO = {
    "type": "input_audio",
    "input_audio": {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"},
}
SPOKEN: Any = [{"role": "user", "content": [QUESTION, AUDIO]}]
WRITTEN = [{"role": "user", "content": [QUESTION, {"type": "input_text", "text": FLAGSHIP_TEXT}]}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture(scope="module")
def front(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A server in front of the upstream."""
    settings = {"CHAT_UPSTREAM_URL": upstream.url, "CHAT_UPSTREAM_KEY": "the-operators"}
    with GunicornServer(tmp_path_factory.mktemp("responses") / "server.log", **settings) as running:
        yield running.wait_until_ready()


@pytest.fixture(autouse=True)
def fresh(upstream: UpstreamServer) -> None:
    upstream.status = 200
    upstream.received.clear()
    upstream.paths.clear()


@pytest.fixture(scope="module")
def client(front: GunicornServer) -> Iterator[OpenAI]:
    options = {"base_url": f"{front.url}/v1", "max_retries": 0, "timeout": PATIENCE_SECONDS}
    with OpenAI(api_key="dummy", **options) as client:
        yield client


def test_the_sdk(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.answers(response(ANSWER))
    answer = client.responses.create(model="gpt-4o-mini", input=SPOKEN, temperature=0.5)
    assert (answer.output_text, answer.id) == (ANSWER, "resp_up")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 25
    assert upstream.paths == ["/v1/responses"]
    assert upstream.received == [{"model": "gpt-4o-mini", "input": WRITTEN, "temperature": 0.5}]
    assert upstream.received_headers[-1]["Authorization"] == "Bearer the-operators"


def test_the_sdks_stream(client: OpenAI, upstream: UpstreamServer) -> None:
    sent = response_events("It is", " about", " the sun.")
    upstream.streams(*sent)
    events = list(client.responses.create(model="gpt-4o-mini", input=SPOKEN, stream=True))
    assert [event.type for event in events] == [event["type"] for event in sent]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == ANSWER
    assert upstream.received == [{"model": "gpt-4o-mini", "input": WRITTEN, "stream": True}]


def test_events_come_as_they_are_made_and_have_their_names(
    front: GunicornServer, upstream: UpstreamServer
) -> None:
    upstream.streams(response_events("It")[0])
    upstream.hang_after_body = True
    body = {"model": "gpt-4o-mini", "input": SPOKEN, "stream": True}
    try:
        with requests.post(
            f"{front.url}/v1/responses", json=body, stream=True, timeout=PATIENCE_SECONDS
        ) as answer:
            lines = answer.iter_lines()
            assert next(lines) == b"event: response.created"
            assert next(lines).startswith(b'data: {"type":"response.created",')
    finally:
        upstream.hang_after_body = False


@pytest.mark.parametrize("stream", [False, True])
def test_the_upstreams_errors(client: OpenAI, upstream: UpstreamServer, stream: bool) -> None:
    error = {"message": "No such model.", "type": "invalid_request_error", "param": "model", "code": "x"}
    upstream.answers({"error": error}, 404)
    with pytest.raises(openai.NotFoundError, match="No such model") as caught:
        client.responses.create(model="gpt-4o-mini", input="Hello.", stream=stream)
    assert (caught.value.param, caught.value.code) == ("model", "x")


def test_a_stream_that_breaks_off(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.streams(response_events("It")[0], "no JSON")
    events = iter(client.responses.create(model="gpt-4o-mini", input="Hello.", stream=True))
    assert next(events).type == "response.created"
    with pytest.raises(openai.APIError, match="not JSON"):
        list(events)


def test_nothing_is_sent_if_the_audio_is_bad(client: OpenAI, upstream: UpstreamServer) -> None:
    bad: Any = [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="gpt-4o-mini", input=[{"role": "user", "content": bad}])
    assert caught.value.param == "input[0].content[0].input_audio"
    assert upstream.received == []


def test_what_the_agents_sdk_sends(front: GunicornServer, upstream: UpstreamServer) -> None:
    """Recorded from openai-agents 0.24.0."""
    upstream.streams(*response_events(ANSWER))
    recorded = {
        "model": "gpt-4o-mini",
        "stream": True,
        "include": [],
        "input": [{"role": "user", "content": FLAGSHIP_TEXT}],
        "instructions": "Answer briefly.",
        "tools": [],
    }
    answer = requests.post(f"{front.url}/v1/responses", json=recorded, timeout=PATIENCE_SECONDS)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.text.count("event: ") == len(response_events(ANSWER))
    assert upstream.received == [recorded]


def test_vercels_default(front: GunicornServer, upstream: UpstreamServer) -> None:
    """`openai(...)` without `.chat`."""
    upstream.streams(*response_events("It is", " about the sun."))
    answer = run_node("vercel_ai_sdk.mjs", front, "streamResponse", model="gpt-4o-mini")["answer"]
    assert ("".join(answer["pieces"]), answer["finishReason"]) == (ANSWER, "stop")
    assert answer["usage"]["outputTokens"] == 5


def test_without_an_upstream(server: GunicornServer) -> None:
    """A 404 that names the URL which is answered here; Vercel's client shows its message."""
    with requests_session() as session:
        body = {"model": "gpt-4o-mini", "input": "Hello."}
        answer = session.post(f"{server.url}/v1/responses", json=body, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 404
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


def test_without_an_upstream_vercel_shows_the_message(server: GunicornServer) -> None:
    error = run_node("vercel_ai_sdk.mjs", server, "streamResponse", model="gpt-4o-mini")["error"]
    assert error["statusCode"] == 404
    assert "/v1/chat/completions" in error["message"]
