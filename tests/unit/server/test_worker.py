"""A worker in its own event loop, with real sockets and Gunicorn's parser, but without an arbiter."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPResponse
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn import http
from gunicorn.config import Config
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER
from hypothesis import example, given
from hypothesis import strategies as st

from app.server import worker as module
from app.server.client_socket import ClientSocket
from app.server.upgrade import Upgraded
from app.server.worker import HEAD_BYTES, HEAD_SECONDS, LINGER_SECONDS, Connection
from tests.openai_spec import read_as
from tests.unit.server.connections import client_context, reset
from tests.unit.server.driven_worker import (
    Driven,
    client_of,
    driven_worker,
    is_closed,
    open_connections,
    read_answer,
)
from tests.unit.server.scripted import PATIENCE_SECONDS

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"


@pytest.fixture
def worker() -> Iterator[Driven]:
    with driven_worker() as worker:
        yield worker


@pytest.fixture
def client(worker: Driven) -> Iterator[socket.socket]:
    with client_of(worker) as client:
        yield client


class TestHeads:
    def test_a_head_in_pieces_needs_no_thread(self, worker: Driven, client: socket.socket) -> None:
        [conn] = worker.waiting
        deadline = conn.timeout
        for number, byte in enumerate(GET[:-1], 1):
            client.sendall(bytes([byte]))
            worker.turn_until(lambda count=number: len(conn.head) == count)
            assert conn.timeout == deadline, "a byte must not buy more time"
        assert worker.application.asked == []
        client.sendall(GET[-1:])
        assert read_answer(worker, client)[1] == b"/a "
        worker.turn_until(lambda: worker.keepalived_conns)
        assert (worker.waiting, worker.nr_conns) == ({}, 1)

    def test_the_next_head_has_its_own_time(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(GET)
        read_answer(worker, client)
        worker.turn_until(lambda: worker.keepalived_conns)
        before = monotonic()
        client.sendall(GET[:5])
        worker.turn_until(lambda: worker.waiting)
        [conn] = worker.waiting
        assert before + HEAD_SECONDS <= conn.timeout <= monotonic() + HEAD_SECONDS
        client.sendall(GET[5:])
        assert read_answer(worker, client)[1] == b"/a "
        assert worker.application.asked == ["/a", "/a"]

    @pytest.mark.parametrize("requests", [[GET, LAST], [POST, LAST], [GET, POST, GET, LAST]])
    def test_requests_at_once_are_answered_in_turn(
        self, worker: Driven, client: socket.socket, requests: list[bytes]
    ) -> None:
        client.sendall(b"".join(requests))
        bodies = [read_answer(worker, client)[1] for _ in requests]
        assert bodies == [b"/p body" if request == POST else b"/a " for request in requests]
        assert is_closed(worker, client)

    def test_the_second_of_two_requests_may_come_in_part(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(POST + GET[:7])
        assert read_answer(worker, client)[1] == b"/p body"
        worker.turn_until(lambda: worker.waiting)
        client.sendall(GET[7:])
        assert read_answer(worker, client)[1] == b"/a "

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"GET / HTTP/1.1\n", 400),
            (b"GET /" + b"a" * 5000, 414),
            (b"\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA" + b"a" * 9000 + b": b\r\n\r\n", 431),
        ],
    )
    def test_what_is_no_head_is_refused_at_once(
        self, worker: Driven, client: socket.socket, sent: bytes, status: int
    ) -> None:
        client.sendall(sent)
        answer, body = read_answer(worker, client)
        assert answer.status == status
        assert answer.headers["Connection"] == "close"
        assert read_as("error", body)["error"]["type"] == "invalid_request_error"
        assert worker.application.asked == []

    def test_a_head_that_is_too_long_is_refused_before_it_ends(
        self, worker: Driven, client: socket.socket
    ) -> None:
        client.sendall(GET[:-2] + b"A: aaaaaaaaaa\r\n" * (HEAD_BYTES // 15 + 5))
        answer, body = read_answer(worker, client)
        assert (answer.status, answer.headers["Connection"]) == (431, "close")
        assert str(HEAD_BYTES) in read_as("error", body)["error"]["message"]
        assert (len(worker.lingering), worker.waiting) == (1, {})

    def test_a_late_head_is_told_so(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(GET[:-1])
        [conn] = worker.waiting
        worker.turn_until(lambda: conn.head)
        worker.murder_pending()
        assert worker.lingering == {}
        conn.timeout = 0.0
        worker.murder_pending()
        answer, body = read_answer(worker, client)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        read_as("error", body)
        assert list(worker.lingering) == [conn]

    def test_a_silent_connection_is_closed_without_a_word(
        self, worker: Driven, client: socket.socket
    ) -> None:
        [conn] = worker.waiting
        conn.timeout = 0.0
        worker.murder_pending()
        assert is_closed(worker, client)
        assert worker.nr_conns == 0

    def test_a_client_that_hangs_up_in_its_head(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(GET[:-1])
        client.close()
        worker.turn_until(lambda: not worker.waiting)
        assert (worker.nr_conns, worker.log.levels) == (0, [])

    def test_a_client_that_crashes_in_its_head(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(GET[:-1])
        reset(client)
        worker.turn_until(lambda: not worker.waiting)
        assert (worker.nr_conns, worker.log.levels) == (0, [])

    def test_a_body_is_asked_for_by_the_application_alone(self, worker: Driven) -> None:
        asks = b"Host: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        with client_of(worker) as client:
            client.sendall(b"POST /refused HTTP/1.1\r\n" + asks)
            assert read_answer(worker, client)[0].status == 200
        with client_of(worker) as client:
            client.sendall(b"POST /wanted HTTP/1.1\r\n" + asks)
            assert worker.meanwhile(lambda: client.recv(25)) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(b"body")
            assert read_answer(worker, client)[1] == b"/wanted body"
            worker.turn_until(lambda: worker.keepalived_conns)
            assert not worker.keepalived_conns[0].sock.continue_expected


TOKENS = [b"GET", b"POST", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\r", b"\n", b"Host: x", b"a" * 70, b"\0", b":"]


class Source:
    """A socket that is never to be waited for."""

    def recv(self, size: int) -> bytes:
        raise AssertionError("a thread would wait for the rest of the head")


def connection(limit: int = 4094) -> Connection:
    config = Config()
    config.set("limit_request_line", limit)
    client: Any = SimpleNamespace(setblocking=lambda flag: None, recv=Source().recv)
    return Connection(config, client, ("127.0.0.1", 1), ("127.0.0.1", 2))


@given(pieces=st.lists(st.lists(st.sampled_from(TOKENS), max_size=6).map(b"".join), max_size=8))
@example(pieces=[b"GET / HTTP/1.1\r", b"\nHost: x\r\n\r", b"\n"])
@example(pieces=[b"\r\n\r\n"])
@example(pieces=[b"a", b"\n"])
@example(pieces=[b"\r", b"\n", b"\r", b"\n"])
def test_no_thread_waits_for_a_head_that_is_complete(pieces: list[bytes]) -> None:
    limit = 200
    conn, whole = connection(limit), connection(limit)
    for piece in pieces:
        conn.head += piece
        whole.head = bytearray(conn.head)
        whole._searched = 0
        complete = conn.is_complete(limit)
        assert complete is whole.is_complete(limit), "it must not matter how a head was cut"
        if complete:
            break
    else:
        return
    conn.pass_to_parser()
    assert conn.head == b""
    with suppress(http.errors.ParseException):  # refused or read, but not waited for
        next(conn.parser)


class TestAccepting:
    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
    def test_a_connection_without_room_is_left_waiting(
        self, worker: Driven, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr(module.time, "sleep", slept.append)
        worker.accept(failing_listener(number))
        assert worker.log.levels == ["warning"]
        assert slept == [module.SHORTAGE_SECONDS]
        assert worker.nr_conns == 0

    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ECONNABORTED])
    def test_a_client_that_has_gone_again_is_nothing(self, worker: Driven, number: int) -> None:
        worker.accept(failing_listener(number))
        assert (worker.log.levels, worker.nr_conns) == ([], 0)

    def test_a_port_that_is_broken_still_ends_the_worker(self, worker: Driven) -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            worker.accept(failing_listener(errno.EBADF))

    def test_a_client_that_crashed_before_it_was_let_in(self, worker: Driven) -> None:
        with client_of(worker):
            for sent in (b"", GET[:-1]):
                gone = socket.create_connection(worker.port)
                gone.sendall(sent)
                reset(gone)
        worker.turn_until(lambda: worker.nr_conns == 0)
        with client_of(worker) as client:
            client.sendall(GET)
            assert read_answer(worker, client)[1] == b"/a "

    def test_a_connection_has_the_servers_limits(self, worker: Driven, client: socket.socket) -> None:
        [conn] = worker.waiting
        assert conn.sock.idle_seconds == worker.runtime.settings.stall_seconds
        assert conn.sock.writers is worker.runtime.admission.writing

    def test_the_oldest_that_waits_for_its_client_makes_room(self) -> None:
        with driven_worker(worker_connections=6, threads=1) as worker, ExitStack() as held:

            def connect(sends: bytes = b"") -> socket.socket:
                client = held.enter_context(worker.connect())
                client.sendall(sends)
                return client

            kept = connect(GET)
            read_answer(worker, kept)
            worker.turn_until(lambda: worker.keepalived_conns)
            lingering = connect(LAST)
            read_answer(worker, lingering)
            worker.turn_until(lambda: worker.lingering)
            waiting = [connect() for _ in range(3)]
            assert worker.nr_conns == 5
            for oldest in waiting:  # each of which the next one replaces
                waiting.append(connect())
                assert is_closed(worker, oldest)
                assert worker.nr_conns == 5
                if len(waiting) == 6:
                    break
            assert (len(worker.keepalived_conns), len(worker.lingering)) == (1, 1)

    def test_without_one_that_waits_lingering_and_kept_ones_make_room(self) -> None:
        with driven_worker(worker_connections=20, threads=1) as worker, ExitStack() as held:
            kept, lingering = (held.enter_context(worker.connect()) for _ in range(2))
            for client, request in ((kept, GET), (lingering, LAST)):
                client.sendall(request)
                read_answer(worker, client)
            worker.turn_until(lambda: worker.keepalived_conns and worker.lingering)
            worker._evict()
            assert (worker.nr_conns, len(worker.keepalived_conns), worker.lingering) == (1, 1, {})
            worker._evict()
            assert (worker.nr_conns, len(worker.keepalived_conns)) == (0, 0)
            assert is_closed(worker, kept)
            worker._evict()
            assert worker.nr_conns == 0


def failing_listener(number: int) -> Any:
    def accept() -> None:
        raise OSError(number, os.strerror(number))

    return SimpleNamespace(accept=accept)


class TestLingering:
    @pytest.fixture
    def answered(self, worker: Driven, client: socket.socket) -> Connection:
        """One that was answered for the last time."""
        client.sendall(LAST)
        read_answer(worker, client)
        worker.turn_until(lambda: worker.lingering)
        [conn] = worker.lingering
        return conn

    def test_nobody_waits_for_a_client_to_hang_up(
        self, worker: Driven, client: socket.socket, answered: Connection
    ) -> None:
        assert client.recv(1) == b""
        for _ in range(3):
            client.sendall(b"the rest of a body that nobody wants" * 1000)
            worker.turn()
        assert (worker.nr_conns, list(worker.lingering)) == (1, [answered])
        client.close()
        worker.turn_until(lambda: not worker.lingering)
        assert (worker.nr_conns, answered.sock.fileno()) == (0, -1)
        assert len(worker.poller.get_map()) == 2  # the port and the queue

    def test_a_client_that_never_hangs_up_is_cut(
        self, worker: Driven, client: socket.socket, answered: Connection
    ) -> None:
        assert answered.timeout <= monotonic() + LINGER_SECONDS
        worker.murder_pending()
        assert worker.nr_conns == 1
        answered.timeout = 0.0
        worker.murder_pending()
        assert (worker.nr_conns, answered.sock.fileno()) == (0, -1)

    def test_a_client_that_crashes(self, worker: Driven, client: socket.socket, answered: Connection) -> None:
        client.sendall(b"more")
        reset(client)
        worker.turn_until(lambda: not worker.lingering)
        assert (worker.nr_conns, worker.log.levels) == (0, [])

    @pytest.mark.parametrize("outcome", ["closed", "failed", "cancelled"])
    def test_whatever_became_of_a_request_its_connection_is_counted_out(
        self, worker: Driven, client: socket.socket, outcome: str
    ) -> None:
        [conn] = worker.waiting
        worker._unregister(conn)
        done: Future[object] = Future()
        if outcome == "closed":
            conn.sock.close()
            done.set_result(False)
        elif outcome == "failed":
            done.set_exception(ValueError())
        else:
            done.cancel()
        worker.finish_request(conn, done)
        client.close()
        worker.turn_until(lambda: worker.nr_conns == 0)
        assert open_connections(worker) == []


class TestAnswering:
    def test_a_client_that_takes_nothing_is_cut(self, worker: Driven, client: socket.socket) -> None:
        worker.application.answer = bytes(2**25)
        [conn] = worker.waiting
        conn.sock.idle_seconds = 0.01
        client.sendall(GET)
        worker.turn_until(lambda: worker.lingering)
        assert worker.log.levels == ["info"]
        assert "did not take its answer" in worker.log.lines[0]
        assert worker.runtime.admission.writing.taken == 0

    def test_a_session_waits_in_none_of_the_slots_for_answers(
        self, worker: Driven, client: socket.socket
    ) -> None:
        """It waits in a thread of its own: neither takes a slot from the other."""
        streams: list[ClientSocket] = []
        session: Any = SimpleNamespace(serve=lambda stream, _early: streams.append(stream))

        def app(_environ: dict[str, object], _start_response: object) -> list[bytes]:
            raise Upgraded(session)

        worker.wsgi = app
        client.sendall(GET)
        worker.turn_until(lambda: streams and worker.nr_conns == 0)
        with streams[0] as stream, ThreadPoolExecutor(1) as pool:
            sending = pool.submit(stream.sendall, bytes(2**25))
            worker.turn_until(lambda: stream.writers.taken)
            assert worker.runtime.admission.writing.taken == 0
            reset(client)
            with pytest.raises(OSError):
                sending.result(PATIENCE_SECONDS)

    def test_every_answer_is_counted_anew(self, worker: Driven, client: socket.socket) -> None:
        [conn] = worker.waiting
        conn.sock._waited_seconds, conn.sock._bytes_sent = 1e9, 7
        client.sendall(GET)
        read_answer(worker, client)
        assert (conn.sock._waited_seconds, conn.sock._bytes_sent) == (0.0, 0)

    def test_the_application_can_close_a_connection(self, worker: Driven, client: socket.socket) -> None:
        client.sendall(b"GET /refused HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(worker, client)[0].headers["Connection"] == "close"
        assert is_closed(worker, client)

    @pytest.mark.parametrize(
        ("headers", "closed"), [([("Connection", "close")], True), ([("X", "close")], False)]
    )
    def test_gunicorn_is_told_to_close(self, headers: list[tuple[str, str]], closed: bool) -> None:
        asked = SimpleNamespace(should_close=lambda: False, method="GET", version=(1, 1))
        response = Response(asked, None, None)

        def app(environ: dict[str, object], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "0"), *headers])
            return []

        assert module.obey_connection_close(app, {}, response.start_response) == []
        assert response.should_close() is closed
        assert response.status == "200 OK"

    def test_what_is_no_http_is_answered_in_openais_way(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs, HTTPResponse(theirs) as answer:
            module.write_error(ours, 400, "Bad Request", "Invalid Method 'é'")
            answer.begin()
            error = read_as("error", answer.read())["error"]
        assert (answer.status, answer.reason, answer.will_close) == (400, "Bad Request", True)
        assert answer.headers["x-request-id"].startswith("req_")
        assert error["message"] == "Invalid Method 'é'"
        assert error["type"] == "invalid_request_error"


class TestStopping:
    def test_a_full_worker_keeps_its_port(self, worker: Driven) -> None:
        worker.set_accept_enabled(False)
        assert worker.application.extensions["runtime"].told == []
        assert worker.sockets[0].fileno() != -1
        worker.set_accept_enabled(True)
        with client_of(worker) as client:
            client.sendall(GET)
            assert read_answer(worker, client)[1] == b"/a "

    @pytest.mark.parametrize("full", [False, True])
    def test_a_stopping_worker_closes_its_port(self, worker: Driven, full: bool) -> None:
        if full:
            worker.set_accept_enabled(False)
        worker.alive = False
        worker.set_accept_enabled(False)
        assert worker.application.extensions["runtime"].told == ["drain"]
        assert worker.sockets[0].fileno() == -1

    def test_a_stopping_worker_does_not_wait_for_the_silent(self, worker: Driven) -> None:
        with client_of(worker) as silent, client_of(worker) as sending:
            quiet, begun = worker.waiting
            sending.sendall(GET[:-1])
            worker.turn_until(lambda: begun.head)
            worker.alive = False
            worker.set_accept_enabled(False)
            assert quiet.timeout <= monotonic() + STOP_KEEPALIVE_LINGER < begun.timeout
            quiet.timeout = 0.0
            worker.murder_pending()
            assert is_closed(worker, silent)
            sending.sendall(GET[-1:])
            answer, body = read_answer(worker, sending)
            assert (body, answer.headers["Connection"]) == (b"/a ", "close")


class TestTLS:
    @pytest.fixture
    def worker(self, certificate: tuple[str, str]) -> Iterator[Driven]:
        with driven_worker(certfile=certificate[0], keyfile=certificate[1]) as worker:
            yield worker

    @pytest.fixture
    def client(self, worker: Driven, certificate: tuple[str, str]) -> Iterator[ssl.SSLSocket]:
        bare = worker.connect()
        wrap = client_context(certificate).wrap_socket
        with worker.meanwhile(lambda: wrap(bare, server_hostname="localhost")) as client:
            yield client

    def test_the_handshake_needs_no_thread(self, worker: Driven, client: ssl.SSLSocket) -> None:
        assert worker.application.asked == []
        assert len(worker.waiting) == 1
        client.sendall(GET)
        assert read_answer(worker, client)[1] == b"/a "

    @pytest.mark.parametrize("requests", [[GET, GET], [POST, GET], [POST, POST, GET]])
    def test_requests_at_once_are_answered_in_turn(
        self, worker: Driven, client: ssl.SSLSocket, requests: list[bytes]
    ) -> None:
        """What TLS has decrypted the poller doesn't see."""
        client.sendall(b"".join(requests))
        for request in requests:
            assert read_answer(worker, client)[1] == (b"/p body" if request == POST else b"/a ")

    def test_a_request_behind_a_long_body(self, worker: Driven, client: ssl.SSLSocket) -> None:
        body = b"b" * 12_000
        head = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 12000\r\n\r\n"
        client.sendall(head)
        client.sendall(body + GET)
        assert read_answer(worker, client)[1] == b"/p " + body
        assert read_answer(worker, client)[1] == b"/a "

    def test_a_head_in_pieces(self, worker: Driven, client: ssl.SSLSocket) -> None:
        [conn] = worker.waiting
        for number, byte in enumerate(GET[:-1], 1):
            client.sendall(bytes([byte]))
            worker.turn_until(lambda count=number: len(conn.head) == count)
        client.sendall(GET[-1:])
        assert read_answer(worker, client)[1] == b"/a "

    @pytest.mark.parametrize("sent", [b"", b"hello"])
    def test_a_client_that_crashed_before_it_was_let_in(self, worker: Driven, sent: bytes) -> None:
        gone = socket.create_connection(worker.port)
        gone.sendall(sent)
        reset(gone)
        worker.turn_until(lambda: not module.selectors.select.select([worker.sockets[0]], [], [], 0)[0])
        assert (worker.nr_conns, worker.log.levels) == (0, [])

    def test_what_is_no_tls(self, worker: Driven) -> None:
        with worker.connect() as client:
            client.sendall(GET)
            worker.turn_until(lambda: not worker.waiting)
            assert worker.application.asked == []

    def test_a_silent_handshake_has_the_time_of_a_head(self, worker: Driven) -> None:
        with worker.connect() as client:
            [conn] = worker.waiting
            assert conn.timeout <= monotonic() + HEAD_SECONDS
            conn.timeout = 0.0
            worker.murder_pending()
            assert is_closed(worker, client)
            assert worker.nr_conns == 0
