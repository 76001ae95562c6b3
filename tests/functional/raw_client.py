"""A client that sends any bytes, and asks only that what comes back is an answer."""

import socket
from http.client import HTTPException, HTTPResponse

from tests.functional.gunicorn_server import PATIENCE_SECONDS
from tests.openai_spec import read_as


class RawClient:
    """Sends requests over one connection for as long as the server keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._kept: socket.socket | None = None

    def status(self, request: bytes, *, ends: bool) -> int | None:
        """The status of the answer, None if the connection was closed without one.

        `ends`: nothing else comes. Every error must have OpenAI's body. Raises TimeoutError.
        """
        connection = self._kept or socket.create_connection(self._address, timeout=PATIENCE_SECONDS)
        self._kept = None
        status, kept = _exchange(connection, request, ends)
        if kept:
            self._kept = connection
        else:
            connection.close()
        return status

    def close(self) -> None:
        """Hang up."""
        if self._kept:
            self._kept.close()


def _exchange(connection: socket.socket, request: bytes, ends: bool) -> tuple[int | None, bool]:
    """The status, and whether the connection is good for another request."""
    try:
        connection.sendall(request)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        with HTTPResponse(connection) as answer:
            answer.begin()
            body = answer.read()
    except (HTTPException, ConnectionError):
        return None, False
    if answer.status >= 400:
        read_as("error", body)
    return answer.status, not (ends or answer.will_close)
