"""Clients that send next to nothing: many connections that begin, and then drip or fall silent."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

from tests.functional.raw_requests import connected


@contextmanager
def slow_connections(
    port: int, count: int, begin: bytes, drip: bytes = b"", pause_seconds: float = 1.0
) -> Iterator[list[socket.socket]]:
    """So many connections that send `begin`, then `drip` again and again, until the context is left.

    Those that the server closes are left as they are.
    """
    with ExitStack() as held:
        clients = [held.enter_context(connected(port)) for _ in range(count)]
        for client in clients:
            send(client, begin)
        left = Event()
        dripping = Thread(target=_drip, args=(clients, drip, pause_seconds, left))
        dripping.start()
        try:
            yield clients
        finally:
            left.set()
            dripping.join()


def _drip(clients: list[socket.socket], drip: bytes, pause_seconds: float, left: Event) -> None:
    while drip and not left.wait(pause_seconds):
        for client in clients:
            send(client, drip)


def send(client: socket.socket, data: bytes) -> None:
    """Send it, unless the server has hung up."""
    with suppress(ConnectionError):
        client.sendall(data)


def sent_within(client: socket.socket, seconds: float) -> bytes:
    """What the server has sent after so many seconds, or until it hangs up."""
    end, received = time.monotonic() + seconds, b""
    with suppress(TimeoutError, ConnectionError):
        while (left := end - time.monotonic()) > 0:
            client.settimeout(left)
            if not (chunk := client.recv(65_536)):
                break
            received += chunk
    return received
