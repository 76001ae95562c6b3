"""A server that is full says when to come back, and OpenAI's Python client does."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI

from app.admission import ADMITTED
from tests.functional.checked_clients import openai_client
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert

pytestmark = pytest.mark.slow

PATH = "/v1/audio/transcriptions"


SLOW = {"model": "whisper-1", "beam_size": "8"}


@pytest.fixture
def minute(tmp_path: Path) -> bytes:
    """Quick to read, slow to transcribe."""
    return convert(DATA / "minute.flac", tmp_path / "minute.wav", "-ar", "16000").read_bytes()


@contextmanager
def occupied(server: GunicornServer, recording: bytes) -> Iterator[ExitStack]:
    """All permits are held by clients, who leave when the stack that is given is closed.

    Who of them is answered first is one too many.
    """
    request = whole_request(server, recording)
    with ExitStack() as clients:
        sockets: list[socket.socket] = []
        while not select(sockets, [], [], 0.2 if len(sockets) >= ADMITTED else 0)[0]:
            client = socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS)
            sockets.append(clients.enter_context(client))
            client.sendall(request)
        refused, *_ = select(sockets, [], [], 0)[0]
        assert refused.recv(1024).startswith(b"HTTP/1.1 503 ")
        yield clients


def whole_request(server: GunicornServer, recording: bytes) -> bytes:
    request = requests.Request("POST", server.url + PATH, data=SLOW, files={"file": recording}).prepare()
    headers = [f"{name}: {value}" for name, value in {"Host": "here", **request.headers}.items()]
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *headers, "", ""]).encode() + request.body


def test_full_server(start_server: StartServer, minute: bytes) -> None:
    # Else the clients who occupy it, all with the same recording, would share one client's windows.
    server = start_server(WHISPER_RETRY_GRACE_SECONDS="0").wait_until_ready()
    with occupied(server, minute) as clients:
        with openai_client(server.url) as client:
            sees_why(client)
        assert server.get("/health").status_code == 200
        with openai_client(server.url, max_retries=4) as client:
            comes_back_when_there_is_room(client, clients)


def sees_why(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match=f"working on {ADMITTED} requests") as caught:
        client.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP)
    assert (caught.value.status_code, caught.value.type) == (503, "server_error")


def comes_back_when_there_is_room(client: OpenAI, others: ExitStack) -> None:
    attempts: list[tuple[int, str]] = []

    def note(response: Any) -> None:
        attempts.append((response.status_code, response.request.headers["x-stainless-retry-count"]))
        assert int(response.headers.get("retry-after", "1")) in range(1, 121)
        others.close()

    client._client.event_hooks["response"].append(note)
    assert client.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP).text == FLAGSHIP_TEXT
    assert attempts[0] == (503, "0")
    assert attempts[-1] == (200, str(len(attempts) - 1))


def test_what_cannot_get_better_is_not_sent_twice(server: GunicornServer) -> None:
    statuses: list[int] = []
    with openai_client(server.url, max_retries=2) as client:
        client._client.event_hooks["response"].append(lambda answer: statuses.append(answer.status_code))
        with pytest.raises(openai.BadRequestError):
            client.audio.transcriptions.create(model="whisper-1", file=b"no audio" * 99)
    assert statuses == [400]
