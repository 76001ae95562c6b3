"""Clients that send next to nothing: many connections that begin, and then drip or fall silent."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from tests.functional.raw_requests import connected


@contextmanager
def slow_connections(
    port: int,
    count: int,
    begin: bytes,
    drip: bytes = b"",
    pause_seconds: float = 1.0,
    *,
    renewed: bool = False,
) -> Iterator[list[socket.socket]]:
    """So many connections that send `begin`, then `drip` again and again, until the context is left.

    Those that the server closes are left as they are, or replaced in the list at the next pause.
    """
    clients: list[socket.socket] = []
    left = Event()

    def keep_on() -> None:
        while not left.wait(pause_seconds):
            for number, client in enumerate(clients):
                if renewed and not is_open(client):
                    client.close()
                    clients[number] = _begun(port, begin)
                elif drip:
                    send(client, drip)

    dripping = Thread(target=keep_on)
    try:
        for _ in range(count):
            clients.append(connected(port))
        for client in clients:
            send(client, begin)
        dripping.start()
        yield clients
    finally:
        left.set()
        if dripping.ident:
            dripping.join()
        for client in clients:
            client.close()


def _begun(port: int, begin: bytes) -> socket.socket:
    client = connected(port)
    send(client, begin)
    return client


def is_open(client: socket.socket) -> bool:
    """Whether neither side has closed or half-closed it, whatever there is to read."""
    poller = select.poll()
    try:
        poller.register(client, select.POLLRDHUP)
    except ValueError:
        return False
    return not poller.poll(0)


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
