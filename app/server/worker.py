"""Gunicorn's thread worker, in which no client can make another one wait.

Connections wait for a request in the main thread's poller. One gets a thread only when the head of its
request is complete, and loses it when it is answered or has reached a limit of `ClientSocket`.
"""

import errno
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import cast

from gunicorn import http, sock, util
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, TConn, ThreadWorker

from app.api.error_body import whole_answer
from app.realtime.sessions import Sessions
from app.runtime import Runtime
from app.server.client_socket import WOULD_BLOCK, ClientSocket, client_socket
from app.server.upgrade import Upgraded, hand_over_upgraded, start_session

HEAD_SECONDS = 10.0
"""From its first byte, or from the connection, the head of a request must be complete within this time."""
HEAD_BYTES = 64 * 1024
LINGER_SECONDS = 2.0
"""How long a connection that has had its last answer is read before it is closed."""
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of `accept` that pass: no descriptor or memory is free at present."""
SHORTAGE_SECONDS = 0.1
"""The pause after one of them."""
NO_CONNECTION = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)
"""Errors of `accept` where the client has gone or another worker has accepted it."""

_CHUNK_BYTES = 64 * 1024
_DISCARD_BYTES = 256 * 1024
_HEAD_ENDS = re.compile(rb"\r\n\r\n|(?<!\r)\n")
"""The end of a head, or a line feed alone, which makes it one that Gunicorn refuses at once."""


class Connection(TConn):  # type: ignore[misc]
    """A connection and the first bytes of its next request."""

    sock: ClientSocket

    def __init__(self, cfg: Config, client: ClientSocket, address: object, server: object) -> None:
        super().__init__(cfg, client, address, server)
        self.parser = http.get_parser(cfg, client, address)
        self.initialized = self.data_ready = True  # or Gunicorn would wait for data in a thread
        self.head = bytearray()
        self.handed_over = False
        self._searched = 0

    def receive(self) -> bool:
        """Read what has arrived, without waiting; False once the client has gone."""
        try:
            data = self.sock.recv(_CHUNK_BYTES)
        except WOULD_BLOCK:
            return True
        except OSError:
            return False
        self.head += data
        return bool(data)

    def is_complete(self, request_line_limit: int) -> bool:
        """Whether the head is complete, or so wrong that Gunicorn's parser refuses it without more bytes."""
        searched, self._searched = self._searched, len(self.head)
        if _HEAD_ENDS.search(self.head, max(0, searched - 3)):
            return True
        return len(self.head) > request_line_limit + 2 and b"\r\n" not in self.head

    def pass_to_parser(self) -> None:
        """Give the head to the parser."""
        self.parser.unreader.unread(bytes(self.head))
        self.head.clear()
        self._searched = 0


class SpeechWorker(ThreadWorker):  # type: ignore[misc]
    """A worker that closes its port as soon as it stops, and answers malformed HTTP as OpenAI does.

    `waiting` are connections whose request head isn't complete, `lingering` those that have had their last
    answer; both in the order of their time-outs. When there are too many connections, the oldest of these
    is closed, so that new ones are always accepted.
    """

    def load_wsgi(self) -> None:
        """Gunicorn calls this once, after the fork."""
        super().load_wsgi()
        self.wsgi: Callable[..., Iterable[bytes]] = partial(
            obey_connection_close, partial(hand_over_upgraded, self.wsgi)
        )
        self.sessions: Sessions = self.app.wsgi().extensions["realtime"]
        self.runtime: Runtime = self.app.wsgi().extensions["runtime"]
        self.tls = sock.ssl_context(self.cfg) if self.cfg.is_ssl else None
        self.waiting: dict[Connection, None] = {}
        self.lingering: dict[Connection, None] = {}
        replace_write_error()

    def accept(self, listener: socket.socket) -> None:
        """Gunicorn calls this for a new connection. Out of descriptors or memory, it stays in the backlog."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            self._handle_accept_error(error)
            return
        try:
            client = client_socket(accepted, self.tls)
        except OSError as error:
            self.log.debug("A client had gone before it was accepted: %s", error)
            accepted.close()
            return
        client.idle_seconds = self.runtime.settings.stall_seconds
        client.writers = self.runtime.admission.writing
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._evict()
        self._await_head(Connection(self.cfg, client, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: ClientSocket) -> None:
        """Gunicorn's poller calls this for a kept connection that sends its next request."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_head(conn)

    def handle_request(self, req: Request, conn: Connection) -> bool:
        """Gunicorn calls this in one of the threads; False closes the connection."""
        # Gunicorn would send `100 Continue` before the application has checked the head.
        conn.sock.continue_expected, req._expected_100_continue = req._expected_100_continue, False
        conn.sock.reset_send_timer()
        try:
            return bool(super().handle_request(req, conn))
        except Upgraded as upgrade:
            conn.sock.leave_pool()
            conn.handed_over = start_session(upgrade.session, conn.sock, conn.parser.unreader.take_buffered())
            return False
        except BlockingIOError:
            self.log.info("A connection was cut: its client did not take its answer")
            return False

    def finish_request(self, conn: Connection, fs: "Future[object]") -> None:
        """Gunicorn calls this in its main thread when a thread has answered."""
        if conn.handed_over:  # a session has the connection now, and closes it
            self.nr_conns -= 1
            return
        conn.sock.continue_expected = False
        if fs.cancelled() or fs.exception() or not fs.result():
            self._linger(conn)
            return
        conn.head += conn.parser.unreader.take_buffered()
        if conn.head or conn.sock.pending():
            self._await_head(conn)
        else:
            super().finish_request(conn, fs)

    def run(self) -> None:
        """Serve until the worker is told to stop and all requests and realtime sessions have ended."""
        super().run()
        self.sessions.wait_until_closed()

    def murder_pending(self) -> None:
        """Gunicorn calls this about once a second: close the connections whose time is up."""
        now = time.monotonic()
        for conn in [conn for conn in self.waiting if conn.timeout < now]:
            if conn.head:
                self._refuse(conn, 408, "Request Timeout", "The head of the request did not come in time.")
            else:
                self._close(conn)
        for conn in [conn for conn in self.lingering if conn.timeout < now]:
            self._close(conn)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Gunicorn calls this with False when the worker is full, and once when it stops."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            self.runtime.drain()
            self.sessions.stop()
            for listener in self.sockets:
                listener.close()
            for conn in self.waiting:
                if not conn.head:
                    conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)

    def _handle_accept_error(self, error: OSError) -> None:
        """Log and wait if resources are short; ignore clients that have gone. Raises every other error."""
        if error.errno in SHORTAGES:
            self.log.warning("No room for a new connection: %s", error.strerror)
            time.sleep(SHORTAGE_SECONDS)
        elif error.errno not in NO_CONNECTION:
            raise error

    def _await_head(self, conn: Connection) -> None:
        conn.timeout = time.monotonic() + HEAD_SECONDS
        conn.sock.setblocking(False)
        self.waiting[conn] = None
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_head_readable, conn))
        if conn.sock.pending():
            self._on_head_readable(conn, conn.sock)
        else:
            self._serve_if_complete(conn)  # a client may send several requests at once

    def _on_head_readable(self, conn: Connection, _client: ClientSocket) -> None:
        if not conn.receive():
            self._close(conn)
        elif not self._serve_if_complete(conn) and len(conn.head) > HEAD_BYTES:
            message = f"The head of the request is longer than {HEAD_BYTES} bytes."
            self._refuse(conn, 431, "Request Header Fields Too Large", message)

    def _serve_if_complete(self, conn: Connection) -> bool:
        complete = conn.is_complete(self.cfg.limit_request_line)
        if complete:
            self._unregister(conn)
            conn.pass_to_parser()
            self.enqueue_req(conn)
        return complete

    def _refuse(self, conn: Connection, status: int, reason: str, message: str) -> None:
        self._unregister(conn)
        with suppress(OSError):
            conn.sock.send(whole_answer(status, reason, message))
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Send the end of the stream and read on until the client closes: bytes that are left unread when
        a socket is closed reset the connection, and the client may lose its answer.
        """
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self.lingering[conn] = None
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._discard_input, conn))
        except (OSError, ValueError):
            self._close(conn)

    def _discard_input(self, conn: Connection, client: ClientSocket) -> None:
        try:
            if client.recv(_DISCARD_BYTES):
                return
        except WOULD_BLOCK:
            return
        except OSError:
            pass
        self._close(conn)

    def _evict(self) -> None:
        """Close the oldest connection without a request: waiting ones first, kept-alive ones last."""
        for connections in (self.waiting, self.lingering, self.keepalived_conns):
            if connections:
                self._close(cast(Connection, next(iter(connections))))
                return

    def _close(self, conn: Connection) -> None:
        self._unregister(conn)
        self.nr_conns -= 1
        conn.close()

    def _unregister(self, conn: Connection) -> None:
        """Remove it from the poller and from the lists of connections."""
        self.waiting.pop(conn, None)
        self.lingering.pop(conn, None)
        with suppress(ValueError):
            self.keepalived_conns.remove(conn)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)


def obey_connection_close(
    app: Callable[..., Iterable[bytes]], environ: dict[str, object], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Call a WSGI application, and close the connection if its answer has `Connection: close`.

    Gunicorn drops that header.
    """

    def start(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
        if ("Connection", "close") in headers:
            start_response.__self__.force_close()  # type: ignore[attr-defined]
        return start_response(status, headers, *rest)

    return app(environ, start)


def replace_write_error() -> None:
    """Make Gunicorn write OpenAI's error body where it refuses a request by itself: malformed HTTP.

    It has no setting for this, so its function is replaced, in this process alone. (Its own writes HTML.)
    """
    util.write_error = write_error


def write_error(client: socket.socket, status: int, reason: str, message: str) -> None:
    """Send an error answer; Gunicorn calls this with what it could not parse."""
    util.write_nonblock(client, whole_answer(status, reason, message))
