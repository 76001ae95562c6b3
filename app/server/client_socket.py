"""A client's connection, plain or over TLS, in which no thread waits without a limit."""

import errno
import os
import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from app.admission import TransferSlot, TransferSlots

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a non-blocking socket raises instead of blocking."""

LEAST_BYTES_PER_SECOND = 1024
"""A client that receives its answer more slowly than this, on average, is cut off."""

_UNSENT_BYTES = 128 * 1024
"""How much of an answer the kernel buffers beyond the client's receive window (TCP_NOTSENT_LOWAT).

It reports room again only when a third of the buffer is free. Its default is megabytes: a client that
receives steadily, but not fast, would seem to receive nothing.
"""
_TICK_SECONDS = 0.25
"""How often a waiting thread looks whether it has lost its slot."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientSocket(socket.socket):
    """A connection that waits for its client for `idle_seconds` at most, and until `deadline` (monotonic).

    The descriptor itself never blocks. With a timeout of None `recv` and `sendall` wait, and raise
    BlockingIOError when a limit is reached or when `slot`, in which they count bytes, is lost.
    `writers` are the slots of threads that wait for clients to receive their answers: none waits without one.

    `continue_expected`: the client waits for `100 Continue`, which the first `recv` sends.
    """

    idle_seconds: float = 60.0
    deadline: float = inf
    slot: TransferSlot | None = None
    writers: TransferSlots
    continue_expected = False
    _most_at_once = 1024 * 1024
    _timeout: float | None = 0.0
    _waited_seconds = 0.0
    _bytes_sent = 0

    def settimeout(self, value: float | None) -> None:
        """None: wait within the limits. 0: never wait. Else wait for so many seconds at most."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """The value that was set last."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """Wait within the limits, or never."""
        self.settimeout(None if flag else 0.0)

    def pending(self) -> int:
        """How many bytes can be read that a poller doesn't report: 0 except over TLS."""
        return 0

    def leave_pool(self) -> None:
        """From now on a thread of its own waits for the client: it takes nobody's slot."""
        self.writers = TransferSlots(1)

    def reset_send_timer(self) -> None:
        """Start to measure how fast the client receives an answer. Called before each one."""
        self._waited_seconds, self._bytes_sent = 0.0, 0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """At least one byte, b"" at the end. With `flags` it never waits."""
        if flags:
            return super().recv(size, flags)
        limit = self._limit()
        while True:
            try:
                data = super().recv(size)
                break
            except WOULD_BLOCK:
                self._ask_for_body()
                self._wait(select.POLLIN, limit)
        self._count(len(data))
        return data

    def sendall(self, data: "ReadableBuffer", flags: int = 0) -> None:
        """Send all of it, waiting for the client where the kernel has no room."""
        rest = self._send_now(memoryview(data).cast("B"))
        if not rest:
            return
        with self._writer_slot():
            while rest:
                self._wait_until_writable()
                left = self._send_now(rest)
                self._bytes_sent += len(rest) - len(left)
                rest = left

    def _send_now(self, rest: memoryview) -> memoryview:
        """Send what the kernel has room for; returns the rest."""
        with suppress(*WOULD_BLOCK):
            while rest:
                sent = super().send(rest[: self._most_at_once])
                self._count(sent)
                rest = rest[sent:]
        return rest

    def _count(self, size: int) -> None:
        if self.slot:
            self.slot.count(size)

    def _limit(self) -> float:
        seconds = self.idle_seconds if self._timeout is None else self._timeout
        return min(self.deadline, monotonic() + seconds)

    def _wait(self, event: int, limit: float) -> None:
        """Wait for an event until `limit`. Raises what a socket with this timeout raises then."""
        poller = select.poll()
        poller.register(self, event)
        while (left := limit - monotonic()) > 0 and not (self.slot and self.slot.lost):
            if poller.poll(1000 * min(left, _TICK_SECONDS)):
                if self.slot and self.slot.lost:
                    break
                return
        if self._timeout:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _wait_until_writable(self) -> None:
        """Raises BlockingIOError for a client that stalls or is too slow on average."""
        began = monotonic()
        allowed = self.idle_seconds + self._bytes_sent / LEAST_BYTES_PER_SECOND
        self._wait(select.POLLOUT, min(self._limit(), began + allowed - self._waited_seconds))
        self._waited_seconds += monotonic() - began

    @contextmanager
    def _writer_slot(self) -> Iterator[None]:
        """Hold one of `writers`' slots. Raises BlockingIOError if there is none, not even a slow client's."""
        slot = self.writers.take(on_lost=self._hang_up)
        if slot is None:
            raise BlockingIOError(errno.EAGAIN, "no slot to wait in, and no client that is slower")
        self.slot = slot
        try:
            yield
        finally:
            self.writers.give_back(slot)
            self.slot = None

    def _hang_up(self) -> None:
        """Wake the thread that waits for the client, in which the connection is then closed."""
        with suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)  # not that of SSLSocket, which drops its TLS state

    def _ask_for_body(self) -> None:
        if self.continue_expected:
            self.continue_expected = False
            super().send(_CONTINUE)


class TLSClientSocket(ClientSocket, ssl.SSLSocket):  # type: ignore[misc] # SSLSocket names `size` otherwise
    """The same over TLS. The handshake happens in the first `recv`."""

    _most_at_once = 16 * 1024  # one record: OpenSSL reports nothing of a longer write until all is sent

    def pending(self) -> int:
        """How many decrypted bytes have not been read."""
        return ssl.SSLSocket.pending(self)


def client_socket(accepted: socket.socket, context: ssl.SSLContext | None) -> ClientSocket:
    """The connection of a socket that was just accepted; that socket is detached from it.

    Raises OSError if its client has gone already, which TLS notices at once.
    """
    if context is not None:
        accepted.getpeername()  # SSLSocket would call it when it can no longer close the descriptor
    client = ClientSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
    socket.socket.setblocking(client, False)
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    if context is None:
        return client
    context.sslsocket_class = TLSClientSocket
    wrapped = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
    assert isinstance(wrapped, TLSClientSocket)
    socket.socket.setblocking(wrapped, False)
    return wrapped
