"""Blanks that keep a gateway's connection alive while a JSON answer is being made."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.node_programs import run_node
from tests.functional.recordings import DATA, FLAGSHIP_TEXT, convert
from tests.openai_spec import conforming
from tests.upstream_server import UpstreamServer, completion, response, upstream_server

MESSAGES = [{"role": "user", "content": "Hello."}]
LATE = json.dumps(completion("Late.")).encode()
CHAT = {"model": "gpt-audio", "messages": MESSAGES}


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("keepalive") / "server.log"
    environ = {"WHISPER_KEEPALIVE_SECONDS": "1", "CHAT_UPSTREAM_URL": upstream.url}
    with GunicornServer(log, **environ) as running:
        yield running.wait_until_ready()


def late(upstream: UpstreamServer, body: bytes) -> None:
    """Answer with a body that comes after at least two blanks are due."""

    def pieces() -> Iterator[bytes]:
        time.sleep(2.5)
        yield body

    upstream.answers(b"")
    upstream.body = pieces()


def test_the_python_sdk(server: GunicornServer, upstream: UpstreamServer) -> None:
    late(upstream, LATE)
    with openai_client(server.url) as client:
        answer = client.chat.completions.create(**CHAT)
    assert answer.choices[0].message.content == "Late."


def test_the_node_sdk(server: GunicornServer, upstream: UpstreamServer) -> None:
    late(upstream, LATE)
    result = run_node("openai_sdk.mjs", server, "chat", path="", source="buffer", options=CHAT)
    assert result["answer"]["choices"][0]["message"]["content"] == "Late."


def test_the_responses_api(server: GunicornServer, upstream: UpstreamServer) -> None:
    late(upstream, json.dumps(response("Late.")).encode())
    asked = {"model": "gpt-4o-mini", "input": "Hello."}
    answer = requests.post(f"{server.url}/v1/responses", json=asked, timeout=PATIENCE_SECONDS)
    assert answer.content.startswith(b"  {")
    assert answer.json() == response("Late.")


def test_curl_sees_blanks_and_then_the_answer(server: GunicornServer, upstream: UpstreamServer) -> None:
    late(upstream, LATE)
    answer = requests.post(f"{server.url}/v1/chat/completions", json=CHAT, timeout=PATIENCE_SECONDS)
    assert answer.content.startswith(b"  {")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Transfer-Encoding"] == "chunked"


def test_a_late_error_is_openais_body(server: GunicornServer, upstream: UpstreamServer) -> None:
    late(upstream, b"no JSON")
    answer = requests.post(f"{server.url}/v1/chat/completions", json=CHAT, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    assert conforming("error", answer.json())["error"]["message"].startswith("The upstream server's")
    server.wait_for_log("status=502")


def test_a_long_recording(server: GunicornServer, tmp_path: Path) -> None:
    recording = convert(DATA / "minute.flac", tmp_path / "long.flac", "-af", "aloop=3:size=960000")
    form = {"model": "whisper-1", "response_format": "verbose_json", "beam_size": "5"}
    with recording.open("rb") as file:
        answer = requests.post(
            f"{server.url}/v1/audio/transcriptions",
            data=form,
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )
    assert answer.content.startswith(b" ")
    assert answer.json()["text"].startswith(FLAGSHIP_TEXT)
