"""Gunicorn's thread worker, which would die without file descriptors, refuse in HTML and not listen."""

import errno
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from app.api.error_body import whole_answer

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Why a connection can't be taken now, but may be later."""

PAUSE_SECONDS = 0.1


class EnduringThreadWorker(ThreadWorker):  # type: ignore[misc]
    """One that leaves connections in the backlog while there is no room for them.

    It closes a connection where the application's answer says so; Gunicorn's own drops that header.
    """

    def load_wsgi(self) -> None:
        """Gunicorn calls this once, after the fork."""
        super().load_wsgi()
        self.wsgi: Callable[..., Iterable[bytes]] = partial(closing_when_told, self.wsgi)

    def accept(self, listener: socket.socket) -> None:
        """Gunicorn calls this when the port is readable, which it stays until someone has connected."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.log.warning("No room for a new connection: %s", error.strerror)
            time.sleep(PAUSE_SECONDS)


def closing_when_told(
    app: Callable[..., Iterable[bytes]], environ: dict[str, object], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """A WSGI application whose `Connection: close` Gunicorn obeys."""

    def start(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
        if ("Connection", "close") in headers:
            start_response.__self__.force_close()  # type: ignore[attr-defined]
        return start_response(status, headers, *rest)

    return app(environ, start)


def refuse(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Answer what is no HTTP, or not the HTTP that is spoken here, as everything else is answered."""
    util.write_nonblock(client, whole_answer(status, reason, message))


util.write_error = refuse  # there is no setting for it
