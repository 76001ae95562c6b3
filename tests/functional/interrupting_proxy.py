"""A proxy in front of a server, such as a bad network is: it refuses, holds back and cuts transcriptions."""

from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from select import select
from socket import MSG_PEEK
from threading import Event, Thread
from time import monotonic
from types import TracebackType

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer

_HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")


@dataclass
class Interruption:
    """What happens to one transcription.

    `status`: it is refused so, with `retry_after` and a sentence. Otherwise, after so many `events` of its
    stream, the proxy waits until `go_on` is set, and then ends the answer there if `cut`.
    `reached` is set when it waits; `gone` when the client closes its connection meanwhile.
    """

    status: int = 0
    retry_after: int = 1
    events: int = 0
    cut: bool = False
    go_on: Event = field(default_factory=Event)
    reached: Event = field(default_factory=Event)
    gone: Event = field(default_factory=Event)


SENTENCE = "The server is busy, says the proxy."


class InterruptingProxy:
    """Forwards everything to a server; the next transcriptions are interrupted as `interrupt` has said."""

    def __init__(self, server: GunicornServer) -> None:
        self._planned: SimpleQueue[Interruption] = SimpleQueue()
        self.transcriptions = 0
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server, self))
        self._listener.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    def __enter__(self) -> "InterruptingProxy":
        self._thread = Thread(target=self._listener.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def interrupt(self, interruption: Interruption) -> Interruption:
        """Plan what happens to the next transcription that nothing is planned for yet."""
        self._planned.put(interruption)
        return interruption

    def next(self) -> Interruption | None:
        """What happens to a transcription that begins now."""
        self.transcriptions += 1
        try:
            return self._planned.get_nowait()
        except Empty:
            return None


def _handler(server: GunicornServer, proxy: InterruptingProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"  # an answer ends with its connection

        def do_GET(self) -> None:
            self._forward(None)

        def do_POST(self) -> None:
            self._forward(proxy.next() if "transcriptions" in self.path else None)

        def _forward(self, interruption: Interruption | None) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if interruption and interruption.status:
                self._refuse(interruption)
                return
            connection = HTTPConnection(server.host, server.port, timeout=PATIENCE_SECONDS)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer_head(answer)
            with suppress(ConnectionError), closing(connection):
                self._answer_body(answer, interruption)

        def _answer_body(self, answer: HTTPResponse, interruption: Interruption | None) -> None:
            if interruption is None:
                for piece in iter(lambda: answer.read1(65536), b""):
                    self.wfile.write(piece)
                return
            events = 0
            for line in answer:
                if line.startswith(b"data:"):
                    if events == interruption.events:
                        self._hold(interruption)
                        if interruption.cut:
                            return
                    events += 1
                self.wfile.write(line)

        def _hold(self, interruption: Interruption) -> None:
            """Send comments, as the server does, so that only a client that leaves ends the connection."""
            interruption.reached.set()
            deadline = monotonic() + PATIENCE_SECONDS
            try:
                while not interruption.go_on.wait(0.05) and monotonic() < deadline:
                    readable, _, _ = select([self.connection], [], [], 0)
                    if readable and not self.connection.recv(1, MSG_PEEK):
                        raise ConnectionAbortedError
                    self.wfile.write(b": ping\n\n")
            except ConnectionError:  # also a reset, while this reads or writes
                interruption.gone.set()
                raise

        def _refuse(self, interruption: Interruption) -> None:
            self.send_response(interruption.status)
            self.send_header("Retry-After", str(interruption.retry_after))
            self.end_headers()
            self.wfile.write(f'{{"error": {{"message": "{SENTENCE}"}}}}'.encode())

        def _answer_head(self, answer: HTTPResponse) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler
