"""A worker whose event loop the test turns, with sockets, threads and Gunicorn's parser, but no arbiter."""

import os
import selectors
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPResponse
from io import BytesIO
from time import monotonic
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from gunicorn import util
from gunicorn.config import Config

from app.realtime.sessions import Limits, Sessions
from app.server.worker import Connection, SpeechWorker
from tests.unit.server.connections import listening
from tests.unit.server.scripted import PATIENCE_SECONDS, FakeLog, FakeRuntime

T = TypeVar("T")


class Application:
    """Answers with method, path and body, and keeps what it was asked."""

    def __init__(self, runtime: FakeRuntime) -> None:
        self.extensions = {"runtime": runtime, "realtime": Sessions(Limits())}
        self.asked: list[str] = []
        self.answer: bytes | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked.append(environ["PATH_INFO"])
        wants_no_body = environ["PATH_INFO"] == "/refused"
        body = b"" if wants_no_body else environ["wsgi.input"].read()
        answer = self.answer or f"{environ['PATH_INFO']} {body.decode()}".encode()
        headers = [("Content-Length", str(len(answer)))]
        start_response("200 OK", [*headers, ("Connection", "close")] if wants_no_body else headers)
        return [answer]


class Driven(SpeechWorker):
    """A worker whose turns the test takes."""

    application: Application
    log: FakeLog

    def turn_until(self, done: Callable[[], object]) -> None:
        """Let it do what is to be done until this is so."""
        limit = monotonic() + PATIENCE_SECONDS
        while not done():
            assert monotonic() < limit, "this never becomes so"
            self.wait_for_and_dispatch_events(0.01)

    def turn(self, times: int = 3) -> None:
        """Let it do what it can do now, and nothing that needs a thread."""
        for _ in range(times):
            self.wait_for_and_dispatch_events(0)

    @property
    def port(self) -> tuple[str, int]:
        address: tuple[str, int] = self.sockets[0].getsockname()
        return address

    def connect(self) -> socket.socket:
        """A client that was let in."""
        client = socket.create_connection(self.port)
        client.settimeout(PATIENCE_SECONDS)
        self.turn_until(lambda: client.getsockname() in [conn.client for conn in self.waiting])
        return client

    def meanwhile(self, call: Callable[[], T]) -> T:
        """What a client does that waits for the worker, whose turns are taken meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(call)
            self.turn_until(calling.done)
            return calling.result()


@contextmanager
def driven_worker(**settings: Any) -> Iterator[Driven]:
    with listening() as listener, ThreadPoolExecutor(2) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(util, "write_error", util.write_error)  # put back at the end
        application = Application(FakeRuntime())
        config = Config()
        for name, value in {"threads": 2, "worker_connections": 20, "keepalive": 75, **settings}.items():
            config.set(name, value)
        app = SimpleNamespace(wsgi=lambda: application)
        worker = Driven(1, os.getppid(), [listener], app, 30, config, FakeLog())
        worker.application = application
        worker.tpool, worker.poller = pool, selectors.DefaultSelector()
        worker.method_queue.init()
        worker.poller.register(
            worker.method_queue.fileno(), selectors.EVENT_READ, worker.method_queue.run_callbacks
        )
        worker.load_wsgi()
        worker.set_accept_enabled(True)
        try:
            yield worker
        finally:
            pool.shutdown()
            worker.method_queue.run_callbacks(None)
            for conn in open_connections(worker):
                worker._close(conn)
            worker.method_queue.close()
            worker.poller.close()
            worker.tmp.close()


def open_connections(worker: SpeechWorker) -> list[Connection]:
    return [*worker.waiting, *worker.lingering, *worker.keepalived_conns]


@contextmanager
def client_of(worker: Driven) -> Iterator[socket.socket]:
    with worker.connect() as client:
        yield client


def read_answer(worker: Driven, client: socket.socket) -> tuple[HTTPResponse, bytes]:
    """One answer."""
    return worker.meanwhile(lambda: _read_answer(client))


def _read_answer(client: socket.socket) -> tuple[HTTPResponse, bytes]:
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        assert piece, f"only {bytes(head)!r} came"
        head += piece
    answer = HTTPResponse(SimpleNamespace(makefile=lambda _: BytesIO(head)))  # type: ignore[arg-type]
    answer.begin()
    left = int(answer.headers["Content-Length"])
    body = bytearray()
    while left > len(body):
        body += client.recv(left - len(body))
    return answer, bytes(body)


def is_closed(worker: Driven, client: socket.socket) -> bool:
    """Whether nothing but the end comes."""
    return worker.meanwhile(lambda: client.recv(1)) == b""
