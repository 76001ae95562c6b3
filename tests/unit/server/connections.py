"""Connected sockets: the server's end as the worker has it, the client's as any client has it."""

import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from app.admission import TransferSlots
from app.server.client_socket import ClientSocket, client_socket
from tests.unit.server.scripted import PATIENCE_SECONDS


def make_certificate(folder: Path) -> tuple[str, str]:
    """A certificate for localhost that nobody has signed, and its key."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def server_context(certificate: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


def client_context(certificate: tuple[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def accepted() -> Iterator[tuple[socket.socket, socket.socket]]:
    """What `accept` gives, and the client's end."""
    with listening() as listener, socket.create_connection(listener.getsockname()) as theirs:
        theirs.settimeout(PATIENCE_SECONDS)
        with listener.accept()[0] as ours:
            yield ours, theirs


@contextmanager
def plain_connection() -> Iterator[tuple[ClientSocket, socket.socket]]:
    with accepted() as (fresh, theirs), client_socket(fresh, None) as ours:
        ours.writers = TransferSlots(1)
        ours.setblocking(True)
        yield ours, theirs


@contextmanager
def tls_connection(certificate: tuple[str, str]) -> Iterator[tuple[ClientSocket, socket.socket]]:
    """Over TLS, after the handshake."""
    with accepted() as (fresh, bare), client_socket(fresh, server_context(certificate)) as ours:
        ours.writers = TransferSlots(1)
        ours.setblocking(True)
        with ThreadPoolExecutor(1) as pool:
            shaking = pool.submit(shake_hands, bare, certificate)
            assert ours.recv(1) == b"!"
            theirs = shaking.result()
        with theirs:
            yield ours, theirs


def shake_hands(bare: socket.socket, certificate: tuple[str, str]) -> ssl.SSLSocket:
    """The client's part, and one byte that it sends."""
    theirs = client_context(certificate).wrap_socket(bare, server_hostname="localhost")
    theirs.sendall(b"!")
    return theirs


def reset(theirs: socket.socket) -> None:
    """Close it as the machine of a client does that has crashed."""
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
