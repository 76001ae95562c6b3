"""A place to download checkpoints from, and a proxy on the way to it, both on loopback."""

import re
import select
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

Server = TypeVar("Server", bound=ThreadingHTTPServer)


class _Quiet(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Keep stderr for what is tested."""


class HubServer(ThreadingHTTPServer):
    """Sends `contents`, whatever is asked for.

    `cuts` are the bytes after which the next answers break off, `stall_after` those after which an answer
    stands still. Without `ranges` each answer is the whole
    file. `status` other than 200 is an answer without contents.
    """

    daemon_threads = True

    def __init__(self, contents: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.contents = contents
        self.cuts: list[int] = []
        self.stall_after: int | None = None
        self.ranges = True
        self.status = 200
        self.announced: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.authorizations: list[str | None] = []
        self.scheme = "http"

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        """From now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # the handshake is left to the connection's thread, so that one that fails stops nobody
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust the certificate leaves in the handshake."""


class _HubHandler(_Quiet):
    server: HubServer

    def do_GET(self) -> None:
        hub, wanted = self.server, self.headers.get("Range")
        hub.asked.append((self.path, wanted))
        hub.authorizations.append(self.headers.get("Authorization"))
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)) if wanted and hub.ranges else 0
        rest = hub.contents[start:]
        self.send_response(hub.status if hub.status != 200 else self._status(start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.contents) - 1}/{len(hub.contents)}")
        self.send_header("Content-Length", str(hub.announced or len(rest)))
        self.end_headers()
        if hub.status == 200 and hub.stall_after:
            self.wfile.write(rest[: hub.stall_after])
            self.connection.recv(1)  # until the client has gone
        elif hub.status == 200:
            self.wfile.write(rest[: hub.cuts.pop(0)] if hub.cuts else rest)

    def _status(self, start: int) -> int:
        if start >= len(self.server.contents):
            return 416
        return 206 if start else 200


class ProxyServer(ThreadingHTTPServer):
    """Passes requests on, those for TLS as a tunnel, if they bring the user and the password."""

    daemon_threads = True

    def __init__(self, user: str, password: str) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.wanted = f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"
        self.passed: list[str] = []


class _ProxyHandler(_Quiet):
    server: ProxyServer

    def _may_pass(self) -> bool:
        if self.headers.get("Proxy-Authorization") == self.server.wanted:
            self.server.passed.append(f"{self.command} {self.path}")
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="company"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_GET(self) -> None:
        if self._may_pass():
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(self.path, timeout=30)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    def do_CONNECT(self) -> None:
        if self._may_pass():
            target = urlsplit(f"//{self.path}")
            with socket.create_connection((target.hostname, target.port), timeout=30) as there:
                self.send_response(200)
                self.end_headers()
                _relay(self.connection, there)
            self.close_connection = True


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Until either side ends."""
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65_536)
            if not data:
                return
            (other if ready is one else one).sendall(data)


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, answering in threads of its own."""
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def make_certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A company's CA, and a certificate for 127.0.0.1 that it has signed, with its key."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key = folder / "hub.pem", folder / "hub.key"
    _sign(authority, authority_key, "/CN=Company CA", "keyUsage=critical,keyCertSign")
    extensions = ("basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1")
    _sign(certificate, key, "/CN=hub", *extensions, by=(authority, authority_key))
    return authority, certificate, key


def _sign(
    certificate: Path, key: Path, subject: str, *extensions: str, by: tuple[Path, Path] | None = None
) -> None:
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    wanted = [part for extension in extensions for part in ("-addext", extension)]
    signer = ["-CA", by[0], "-CAkey", by[1]] if by else []
    made = ["-days", "2", "-keyout", key, "-out", certificate]
    subprocess.run([*new, "-subj", subject, *wanted, *signer, *made], check=True, capture_output=True)
