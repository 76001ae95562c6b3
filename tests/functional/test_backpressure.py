"""A server that is full of stalled uploads, of work, or of clients that don't hang up."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from select import select

import pytest

from app.admission import READING
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.raw_requests import connected, refusal, upload
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

STALL_SECONDS = 20
"""Far more than it takes to open as many uploads as are read."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("backpressure") / "server.log"
    with GunicornServer(log, WHISPER_STALL_SECONDS=str(STALL_SECONDS)) as running:
        yield running.wait_until_ready()


@pytest.mark.slow
def test_stalled_uploads_leave_room_and_are_cut(impatient: GunicornServer) -> None:
    # So much that none counts as slow and has to give way, however long it takes to open all of them.
    half = upload(FLAGSHIP.read_bytes() + bytes(1_000_000))[:700_000]
    with ExitStack() as clients:
        stalled = [clients.enter_context(connected(impatient.port)) for _ in range(READING + 1)]
        for client in stalled:
            client.sendall(half)
        [refused] = select(stalled, [], [], PATIENCE_SECONDS)[0]
        answer, error = refusal(refused)
        assert (answer.status, answer.headers["Connection"]) == (503, "close")
        assert error["message"].startswith(f"The server is reading {READING} uploads")
        assert int(answer.headers["Retry-After"]) in range(1, 121)
        assert impatient.get("/health").status_code == 200
        assert impatient.get("/v1/models").status_code == 200
        for client in stalled:
            if client is not refused:
                assert_cut(client)
    assert impatient.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert "Traceback" not in impatient.log


def assert_cut(client: socket.socket) -> None:
    answer, error = refusal(client)
    assert (answer.status, answer.headers["Connection"]) == (408, "close")
    assert "WHISPER_STALL_SECONDS" in str(error["message"])
    assert error["code"] == "request_timeout"


def test_a_client_that_does_not_hang_up_keeps_nobody_waiting(impatient: GunicornServer) -> None:
    """Forty of them; if the thread that accepts waited for each, the last would be answered after 80 s."""
    with ExitStack() as clients:
        for _ in range(40):
            client = clients.enter_context(connected(impatient.port))
            client.settimeout(40)
            client.sendall(b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            answer = HTTPResponse(client)
            answer.begin()
            assert answer.status == 200
