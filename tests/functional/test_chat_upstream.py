"""Chat that another server answers, once this one has written down what was said."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.functional.checked_clients import openai_client
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer, free_port
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.upstream_server import USAGE, UpstreamServer, chunk, completion, upstream_server

SPOKEN: dict[str, Any] = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
TEXT = {"type": "text", "text": "What is it about?"}
AUDIO = {
    "type": "input_audio",
    "input_audio": {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"},
}
QUESTION: Any = [{"role": "user", "content": [TEXT, AUDIO]}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """Talks to a server in front of the upstream."""
    settings = {
        "CHAT_UPSTREAM_URL": f"{upstream.url}/",
        "CHAT_UPSTREAM_MODEL": "llama",
        "CHAT_UPSTREAM_KEY": "the-operators",
    }
    log = tmp_path_factory.mktemp("upstream") / "server.log"
    with GunicornServer(log, **settings) as running, openai_client(running.wait_until_ready().url) as client:
        yield client


def ask(client: OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-audio-preview", messages=QUESTION, **options)


def test_it_is_asked_about_what_was_said(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.answers(completion("It is about the sun."))
    answer = ask(client, temperature=0.5)
    assert answer.choices[0].message.content == "It is about the sun."
    assert (answer.model, answer.usage.total_tokens) == ("llama", 25)
    said = [TEXT, {"type": "text", "text": FLAGSHIP_TEXT}]
    assert upstream.paths[-1] == "/v1/chat/completions"
    assert upstream.received[-1] == {
        "model": "llama",
        "messages": [{"role": "user", "content": said}],
        "temperature": 0.5,
    }
    assert upstream.received_headers[-1]["Authorization"] == "Bearer the-operators"


def test_its_answer_spoken(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.answers(completion("Sunny."))
    message = ask(client, **SPOKEN).choices[0].message
    assert message.content == message.audio.transcript == "Sunny."


def test_its_stream(client: OpenAI, upstream: UpstreamServer) -> None:
    pieces = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Sun"}),
        chunk({"content": "ny."}),
    ]
    upstream.status = 200
    upstream.streams(*pieces, chunk(None, usage=USAGE), "[DONE]")
    *chunks, last = ask(client, stream=True, stream_options={"include_usage": True})
    assert "".join(piece.choices[0].delta.content for piece in chunks) == "Sunny."
    assert last.usage.total_tokens == 25


def test_its_stream_is_handed_on_as_it_comes(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.status = 200
    upstream.streams(chunk({"content": "Sun"}))
    upstream.hang_after_body = True
    try:
        stream = ask(client, stream=True)
        assert next(stream).choices[0].delta.content == "Sun"
        stream.close()
    finally:
        upstream.hang_after_body = False


@pytest.mark.parametrize("stream", [False, True])
def test_its_errors(client: OpenAI, upstream: UpstreamServer, stream: bool) -> None:
    error = {"message": "Slow down.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    upstream.answers({"error": error}, 429)
    with pytest.raises(openai.RateLimitError, match=r"Slow down\.") as caught:
        ask(client, stream=stream)
    assert (caught.value.type, caught.value.code) == ("requests", "rate_limit_exceeded")


def test_an_answer_that_is_none(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.answers(b"<html>Welcome</html>")
    with pytest.raises(openai.InternalServerError, match="not JSON") as caught:
        ask(client)
    assert caught.value.status_code == 502


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [204, 600, 999])
def test_a_status_that_is_neither_answer_nor_error(
    client: OpenAI, upstream: UpstreamServer, status: int, stream: bool
) -> None:
    upstream.answers({"error": {"message": "Made up."}}, status)
    with pytest.raises(openai.InternalServerError, match=f"answered with status {status}") as caught:
        ask(client, stream=stream)
    assert caught.value.status_code == 502


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"choices": ' + b"[" * 200_000, b'{"choices": [7]}'])
def test_an_answer_nested_too_deeply_or_of_another_shape(
    client: OpenAI, upstream: UpstreamServer, body: bytes
) -> None:
    upstream.answers(body)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client)
    assert caught.value.status_code == 502


@pytest.mark.parametrize("event", ["[" * 200_000, '{"choices": 7}'])
def test_an_event_nested_too_deeply_or_of_another_shape(
    client: OpenAI, upstream: UpstreamServer, event: str
) -> None:
    upstream.status = 200
    upstream.streams(event)
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client, stream=True)
    assert caught.value.status_code == 502


@pytest.mark.parametrize(
    ("piece", "stream", "why"),
    [
        (b"data: " + b"x" * 65_530, True, "a line of more than 1048576 bytes"),
        (b": " + b"x" * 65_530 + b"\n", True, "longer than 67108864 bytes"),
        (b" " * 65_536, False, "longer than 67108864 bytes"),
    ],
    ids=["a line", "a stream", "an answer"],
)
def test_what_has_no_end(
    client: OpenAI, upstream: UpstreamServer, piece: bytes, stream: bool, why: str
) -> None:
    """A stream says so in an event if reading so much took so long that a ping was sent before."""
    upstream.pours(piece)
    with pytest.raises(openai.APIError, match=why) as caught:
        list(ask(client, stream=stream))
    assert getattr(caught.value, "status_code", 502) == 502


def test_a_long_line(client: OpenAI, upstream: UpstreamServer) -> None:
    upstream.status = 200
    upstream.streams(chunk({"content": "x" * 200_000}), "[DONE]")
    [piece] = ask(client, stream=True)
    assert piece.choices[0].delta.content == "x" * 200_000


def test_nothing_is_sent_if_the_audio_is_bad(client: OpenAI, upstream: UpstreamServer) -> None:
    before = len(upstream.received)
    bad = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="any", messages=[{"role": "user", "content": [bad]}])
    assert caught.value.param == "messages[0].content[0].input_audio"
    assert len(upstream.received) == before


@pytest.mark.slow
def test_this_server_as_the_upstream(server: GunicornServer, start_server: StartServer) -> None:
    front = start_server(CHAT_UPSTREAM_URL=f"{server.url}/v1").wait_until_ready()
    with openai_client(front.url) as client:
        ping: Any = [{"role": "user", "content": "ping"}]
        answer = client.chat.completions.create(model="gpt-audio", messages=ping)
        assert answer.choices[0].message.content == "Pong"
        chunks = list(ask(client, stream=True))
        assert "input_audio" in "".join(piece.choices[0].delta.content or "" for piece in chunks)
        with pytest.raises(openai.NotFoundError, match="`nobody` does not exist"):
            client.chat.completions.create(model="nobody", messages=ping)


@pytest.mark.slow
def test_a_dead_upstream(start_server: StartServer) -> None:
    front = start_server(CHAT_UPSTREAM_URL=f"http://127.0.0.1:{free_port()}/v1").wait_until_ready()
    with openai_client(front.url) as client:
        for stream in (False, True):
            with pytest.raises(
                openai.InternalServerError, match="upstream server can't be reached"
            ) as caught:
                ask(client, stream=stream)
            assert (caught.value.status_code, caught.value.type) == (502, "server_error")
