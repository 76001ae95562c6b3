"""Clients that take their answer slowly or not at all, directly and behind nginx.

Answers are larger than all buffers on the way: minutes of speech, as a file and as events.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.nginx_proxy import Nginx
from tests.functional.raw_requests import greedy, upload
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow

STALL_SECONDS = 2
READERS = 3
SPEECH = "/v1/audio/speech"
WORDS = "The sun rises in the east and sets in the west. " * 80
AS_FILE = {"model": "tts-1", "voice": "alloy", "input": WORDS, "response_format": "wav"}
AS_EVENTS = AS_FILE | {"model": "gpt-4o-mini-tts", "response_format": "pcm", "stream_format": "sse"}
LEAST_BYTES = 8_000_000
"""What either has at least; Linux buffers 4 MB for a sender, and the readers here ask for little."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("readers") / "server.log"
    with GunicornServer(log, WHISPER_STALL_SECONDS=str(STALL_SECONDS)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def nginx(impatient: GunicornServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{impatient.port}") as running:
        yield running


def asking(port: int, body: dict[str, Any]) -> socket.socket:
    """A client that has asked for speech and has read nothing; its own buffer holds a few kilobytes."""
    client = greedy(port)
    request = requests.Request("POST", f"http://here{SPEECH}", json=body).prepare()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    client.sendall(f"POST {SPEECH} HTTP/1.1\r\nHost: here\r\n{head}\r\n".encode() + request.body)
    return client


def counted(server: GunicornServer, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    found = [sample for sample in samples if sample.name == name]
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def spoken(server: GunicornServer, status: str) -> float:
    """How many answers to requests for speech have ended like this."""
    return counted(server, "whisper_requests_total", endpoint=SPEECH, status=status)


def in_progress(server: GunicornServer) -> float:
    """Requests that the server is busy with, the question itself not counted."""
    return counted(server, "whisper_requests_in_progress") - 1


def wait_for(count: float, server: GunicornServer, status: str) -> None:
    """Wait until so many have ended like this, and nothing else is in progress."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while spoken(server, status) < count or in_progress(server):
        assert time.monotonic() < deadline, f"never {count} times {status}: {in_progress(server)} in progress"
        time.sleep(0.1)


def rest_of(client: socket.socket) -> int:
    """How much of the answer's body is still to be had; its end must be missing."""
    answer = HTTPResponse(client)
    answer.begin()
    assert answer.status == 200
    had = 0
    with pytest.raises((HTTPException, ConnectionError)):
        while piece := answer.read(1_000_000):
            had += len(piece)
    return had


@pytest.mark.parametrize("body", [AS_FILE, AS_EVENTS], ids=["file", "events"])
def test_the_answer_is_larger_than_the_buffers(impatient: GunicornServer, body: dict[str, Any]) -> None:
    answer = requests.post(impatient.url + SPEECH, json=body, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    assert len(answer.content) > LEAST_BYTES


@pytest.mark.parametrize("body", [AS_FILE, AS_EVENTS], ids=["file", "events"])
def test_readers_that_never_read_are_cut(impatient: GunicornServer, body: dict[str, Any]) -> None:
    before = spoken(impatient, "499")
    with ExitStack() as held:
        clients = [held.enter_context(asking(impatient.port, body)) for _ in range(READERS)]
        assert impatient.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
        wait_for(before + READERS, impatient, "499")
        assert all(rest_of(client) < LEAST_BYTES for client in clients)
    assert "Traceback" not in impatient.log


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(("body", "status"), [(AS_FILE, "200"), (AS_EVENTS, "499")], ids=["file", "events"])
def test_nginx_takes_a_file_for_a_client_that_does_not_read_and_events_are_cut(
    impatient: GunicornServer, nginx: Nginx, body: dict[str, Any], status: str
) -> None:
    before = spoken(impatient, status)
    with ExitStack() as held:
        for _ in range(READERS):
            held.enter_context(asking(nginx.port, body))
        wait_for(before + READERS, impatient, status)


@pytest.mark.needs("nginx")
def test_uploads_that_trickle_into_nginx_cost_the_server_nothing(
    impatient: GunicornServer, nginx: Nginx
) -> None:
    """More of them than the server has threads, each a byte further every time round."""
    request = upload(FLAGSHIP)
    with ExitStack() as held:
        clients = [
            held.enter_context(socket.create_connection(("127.0.0.1", nginx.port), timeout=PATIENCE_SECONDS))
            for _ in range(100)
        ]
        for client in clients:
            client.sendall(request[:1000])
        for at in range(1000, 1004):
            for client in clients:
                client.sendall(request[at : at + 1])
            assert in_progress(impatient) == 0
        with requests.Session() as session:
            form = {"data": {"model": "whisper-1"}, "files": {"file": FLAGSHIP.read_bytes()}}
            url = f"{nginx.url}/v1/audio/transcriptions"
            assert session.post(url, timeout=PATIENCE_SECONDS, **form).json()["text"] == FLAGSHIP_TEXT
        clients[0].sendall(request[1004:])
        answer = HTTPResponse(clients[0])
        answer.begin()
        assert FLAGSHIP_TEXT in answer.read().decode()
