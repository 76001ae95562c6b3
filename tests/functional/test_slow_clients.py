"""Clients that fall silent within the headers or between chunks, more of them than there are threads."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.functional.checked_clients import openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.raw_requests import PATH, connected
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

THREADS = 64
STALL_SECONDS = 2

REQUEST_LINE = f"POST {PATH} HTTP/1.1\r\nHost: here\r\n".encode()
CHUNK = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{"


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("slow") / "server.log"
    with GunicornServer(log, WHISPER_STALL_SECONDS=str(STALL_SECONDS)) as running:
        yield running.wait_until_ready()


@pytest.mark.parametrize("sent", [REQUEST_LINE, REQUEST_LINE + CHUNK], ids=["headers", "chunk"])
def test_silent_clients_are_cut_and_keep_nobody_out(impatient: GunicornServer, sent: bytes) -> None:
    with ExitStack() as held:
        silent = [held.enter_context(connected(impatient.port)) for _ in range(THREADS + 8)]
        for client in silent:
            client.sendall(sent)
        assert impatient.get("/health").status_code == 200
        sdk = held.enter_context(openai_client(impatient.url, max_retries=5))
        assert sdk.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP).text == FLAGSHIP_TEXT
        ends = [all_of(client) for client in silent]
    assert {end.split(b" ")[1] for end in ends if end} <= {b"408", b"503"}
    assert "Traceback" not in impatient.log


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    return b"".join(iter(lambda: connection.recv(10_000), b""))
