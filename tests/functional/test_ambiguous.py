"""Requests whose end is ambiguous, with another one behind them: one answer, and the connection is closed.

A proxy that reads them in another way would take the second request for a part of the first, or the reverse.
"""

import socket

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.raw_requests import PATH, connected
from tests.openai_spec import read_as

ANSWER = b"HTTP/1.1 "
BEHIND = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_CHUNKS = b"0\r\n\r\n"


def request(headers: bytes, body: bytes = b"", ends: bytes = b"\r\n") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n%b%b%b" % (
        PATH.encode(),
        headers,
        ends,
        body,
    )


AMBIGUOUS = {
    "CL.TE": request(b"Content-Length: 5\r\n" + CHUNKED, NO_CHUNKS),
    "TE.CL": request(CHUNKED + b"Content-Length: 5\r\n", NO_CHUNKS),
    "CL.TE, longer": request(b"Content-Length: %d\r\n" % (5 + len(BEHIND)) + CHUNKED, NO_CHUNKS),
    "TE.TE": request(CHUNKED + b"Transfer-Encoding: cow\r\n", NO_CHUNKS),
    "TE.TE, reversed": request(b"Transfer-Encoding: cow\r\n" + CHUNKED, NO_CHUNKS),
    "TE, not last": request(b"Transfer-Encoding: chunked, identity\r\n", NO_CHUNKS),
    "TE twice": request(CHUNKED + CHUNKED, NO_CHUNKS),
    "TE and a space": request(b"Transfer-Encoding : chunked\r\n", NO_CHUNKS),
    "TE and a tab": request(b"Transfer-Encoding:\x0bchunked\r\n", NO_CHUNKS),
    "CL.CL": request(b"Content-Length: 0\r\nContent-Length: 2\r\n", b"{}"),
    "CL.CL, the same": request(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "CL list": request(b"Content-Length: 2, 0\r\n", b"{}"),
    "CL with a sign": request(b"Content-Length: +2\r\n", b"{}"),
    "LF after a line": request(b"X-A: b\nContent-Length: 2\r\n", b"{}"),
    "LF at the end": request(b"Content-Length: 2\n", b"{}", ends=b"\n"),
    "LF alone": b"POST /v1 HTTP/1.1\nHost: here\n\n",
    "LF in a chunk": request(CHUNKED, b"2\n{}\r\n" + NO_CHUNKS),
    "LF in a chunk's extension": request(CHUNKED, b"2;a\nb\r\n{}\r\n" + NO_CHUNKS),
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_nothing_behind_an_ambiguous_request_is_answered(server: GunicornServer, sent: bytes) -> None:
    with connected(server.port) as client:
        client.sendall(sent + BEHIND)
        received = until_closed(client)
    assert received.count(ANSWER) == 1
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith((ANSWER + b"400 ", ANSWER + b"501 ")), head
    read_as("error", body)


def test_a_clear_request_leaves_the_next_one_its_answer(server: GunicornServer) -> None:
    """Else the test above would prove nothing."""
    with connected(server.port) as client:
        client.sendall(request(b"Content-Length: 2\r\n", b"{}") + BEHIND)
        received = until_closed(client)
    assert received.count(ANSWER) == 2
    assert received.startswith(ANSWER + b"400 ")
    assert ANSWER + b"200 " in received


def until_closed(client: socket.socket) -> bytes:
    """All that comes before the end, which must come."""
    received = b""
    while piece := client.recv(65_536):
        received += piece
    return received
