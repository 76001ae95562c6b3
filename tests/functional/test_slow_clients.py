"""Clients that dribble, stall or don't hang up, more of them than the server has threads."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

THREADS = 64
STALL_SECONDS = 2

REQUEST_LINE = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: here\r\n"
HEADERS = REQUEST_LINE + b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
CHUNKED = REQUEST_LINE + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGINNINGS = [
    REQUEST_LINE,
    HEADERS,
    HEADERS + b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF',
    CHUNKED + b"ffff\r\n{",
]


@pytest.fixture(scope="module")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("slow") / "server.log"
    with GunicornServer(log, WHISPER_STALL_SECONDS=str(STALL_SECONDS)) as running:
        yield running.wait_until_ready()


def connected(server: GunicornServer, sent: bytes) -> socket.socket:
    connection = socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS)
    connection.sendall(sent)
    return connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    return b"".join(iter(lambda: connection.recv(10_000), b""))


@pytest.mark.parametrize("beginning", BEGINNINGS, ids=["headers", "no body", "half a body", "half a chunk"])
def test_stalled_clients_are_cut_and_keep_nobody_out(
    impatient_server: GunicornServer, beginning: bytes
) -> None:
    with ExitStack() as held:
        stalled = [held.enter_context(connected(impatient_server, beginning)) for _ in range(THREADS + 8)]
        assert impatient_server.get("/health").status_code == 200
        assert impatient_server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
        ends = [all_of(client) for client in stalled]
    assert {end.partition(b"\r\n")[0] for end in ends} <= {
        b"",
        b"HTTP/1.1 400 BAD REQUEST",
        b"HTTP/1.1 503 SERVICE UNAVAILABLE",
    }
    assert "Traceback" not in impatient_server.log


def test_clients_that_do_not_hang_up_keep_nobody_out(server: GunicornServer) -> None:
    """Gunicorn's own would wait for each of them, 2 s in turn, and longer than this test does."""
    last = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with ExitStack() as held:
        answered = [held.enter_context(connected(server, last)) for _ in range(THREADS + 8)]
        assert all(client.recv(17) == b"HTTP/1.1 200 OK\r\n" for client in answered)
        assert server.get("/health").status_code == 200
