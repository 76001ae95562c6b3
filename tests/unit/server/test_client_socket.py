"""Connections over loopback, plain and over TLS: what waits, what ends a wait, and what is sent unasked."""

import hashlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import pytest
from gunicorn import http
from gunicorn.config import Config

from app.admission import TransferSlot, TransferSlots
from app.server import client_socket as module
from app.server.client_socket import ClientSocket, TLSClientSocket, client_socket
from tests.unit.server.connections import (
    accepted,
    plain_connection,
    reset,
    server_context,
    tls_connection,
)
from tests.unit.server.scripted import PATIENCE_SECONDS

SHORT_SECONDS = 0.02
TOO_MUCH = bytes(range(256)) * 4096 * 32
"""More than a kernel keeps for a client that doesn't read: 32 MiB."""

Connection = tuple[ClientSocket, socket.socket]


@pytest.fixture(params=["plain", "tls"])
def connection(request: pytest.FixtureRequest) -> Iterator[Connection]:
    """The server's end, whose limits are far away, and the client's."""
    with ExitStack() as held:
        if request.param == "tls":
            certificate = request.getfixturevalue("certificate")
            ours, theirs = held.enter_context(tls_connection(certificate))
        else:
            ours, theirs = held.enter_context(plain_connection())
        ours.idle_seconds = 10 * PATIENCE_SECONDS
        yield ours, theirs


def ends_in(what: type[OSError], call: Callable[[], object]) -> None:
    """It raises just this, and not a kind of it."""
    with pytest.raises(OSError) as caught:
        call()
    assert caught.type is what


def soon(call: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(2 * SHORT_SECONDS, call)
    timer.start()
    return timer


def lose(slot: TransferSlot) -> None:
    slot.lost = True


def test_what_was_accepted_is_used_up() -> None:
    with accepted() as (fresh, _):
        number = fresh.fileno()
        with client_socket(fresh, None) as ours:
            assert (fresh.fileno(), ours.fileno()) == (-1, number)
            assert type(ours) is ClientSocket
            assert not os.get_blocking(number)


@pytest.mark.parametrize("blocking", [True, False])
def test_the_descriptor_itself_never_blocks(connection: Connection, blocking: bool) -> None:
    ours, _ = connection
    ours.setblocking(blocking)
    assert not os.get_blocking(ours.fileno())


@pytest.mark.parametrize(
    ("given", "told"), [(None, None), (0, 0), (0.0, 0.0), (2.5, 2.5), (True, None), (False, 0.0)]
)
def test_the_timeout_that_was_set_is_told(connection: Connection, given: object, told: object) -> None:
    ours, _ = connection
    if isinstance(given, bool):
        ours.setblocking(given)
    else:
        ours.settimeout(given)  # type: ignore[arg-type]
    assert ours.gettimeout() == told


def test_a_unix_socket_is_a_connection_too(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as theirs:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        theirs.connect(listener.getsockname())
        with client_socket(listener.accept()[0], None) as ours:
            ours.writers, ours.idle_seconds = TransferSlots(1), SHORT_SECONDS
            ours.setblocking(True)
            ends_in(BlockingIOError, lambda: ours.recv(1))
            ends_in(BlockingIOError, lambda: ours.sendall(TOO_MUCH))


def test_what_has_come_is_given_at_once(connection: Connection) -> None:
    ours, theirs = connection
    theirs.sendall(b"abc")
    assert ours.recv(2) == b"ab"
    ours.settimeout(0)
    assert ours.recv(2) == b"c"


def test_a_wait_ends_when_something_comes(connection: Connection) -> None:
    ours, theirs = connection
    timer = soon(lambda: theirs.sendall(b"a"))
    assert ours.recv(10) == b"a"
    timer.join()


def test_a_wait_ends_when_the_client_hangs_up(connection: Connection) -> None:
    ours, theirs = connection
    timer = soon(lambda: theirs.shutdown(socket.SHUT_RDWR))
    assert ours.recv(10) == b""
    timer.join()


def test_a_wait_ends_at_the_idle_limit(connection: Connection) -> None:
    ours, _ = connection
    ours.idle_seconds = SHORT_SECONDS
    ends_in(BlockingIOError, lambda: ours.recv(1))


def test_a_wait_ends_at_the_deadline(connection: Connection) -> None:
    ours, _ = connection
    ours.deadline = monotonic() + SHORT_SECONDS
    ends_in(BlockingIOError, lambda: ours.recv(1))


def test_after_the_deadline_nothing_is_waited_for(connection: Connection) -> None:
    ours, theirs = connection
    ours.deadline = 0.0
    ends_in(BlockingIOError, lambda: ours.recv(1))
    ends_in(BlockingIOError, lambda: ours.sendall(TOO_MUCH))
    theirs.close()


def test_a_wait_ends_when_the_place_is_lost(connection: Connection) -> None:
    ours, _ = connection
    ours.slot = TransferSlot()
    timer = soon(lambda: lose(ours.slot))
    ends_in(BlockingIOError, lambda: ours.recv(1))
    timer.join()


def test_bytes_are_counted_in_the_place(connection: Connection) -> None:
    ours, theirs = connection
    ours.slot = TransferSlot()
    theirs.sendall(bytes(1000))
    received = 0
    while received < 1000:
        received += len(ours.recv(600))
    assert ours.slot.bytes_per_second() == 1000


def test_without_a_timeout_nothing_is_waited_for(connection: Connection) -> None:
    ours, _ = connection
    ours.setblocking(False)
    with pytest.raises(module.WOULD_BLOCK):
        ours.recv(1)


def test_a_timeout_is_told_as_one(connection: Connection) -> None:
    ours, theirs = connection
    ours.settimeout(SHORT_SECONDS)
    ends_in(TimeoutError, lambda: ours.recv(1))
    ends_in(TimeoutError, lambda: ours.sendall(TOO_MUCH))
    theirs.close()


def test_the_idle_limit_is_none_for_whoever_has_a_timeout(connection: Connection) -> None:
    ours, theirs = connection
    ours.idle_seconds = 0.0
    ours.settimeout(PATIENCE_SECONDS)
    timer = soon(lambda: theirs.sendall(b"a"))
    assert ours.recv(1) == b"a"
    timer.join()


def test_a_look_at_what_came_never_waits() -> None:
    with plain_connection() as (ours, theirs):
        ours.continue_expected = True
        peek = socket.MSG_PEEK | socket.MSG_DONTWAIT
        ends_in(BlockingIOError, lambda: ours.recv(1, peek))
        assert ours.continue_expected
        theirs.sendall(b"a")
        assert ours.recv(1) == b"a"
        theirs.sendall(b"b")
        wait_until_readable(ours)
        assert ours.recv(1, peek) == ours.recv(1) == b"b"


def test_tls_can_not_be_looked_into(certificate: tuple[str, str]) -> None:
    with tls_connection(certificate) as (ours, _), pytest.raises(ValueError, match="flags"):
        ours.recv(1, socket.MSG_PEEK)


def test_what_no_poller_sees_is_known(connection: Connection) -> None:
    ours, theirs = connection
    theirs.sendall(b"abc")
    ours.recv(1)
    assert ours.pending() == (2 if isinstance(ours, TLSClientSocket) else 0)
    ours.recv(2)
    assert ours.pending() == 0


def wait_until_readable(sock: socket.socket) -> None:
    assert select.select([sock], [], [], PATIENCE_SECONDS)[0]


def read_all(theirs: socket.socket, size: int, pause: float = 0.0) -> str:
    """The digest of so many bytes, with a pause before every megabyte."""
    digest, left = hashlib.sha256(), size
    while left:
        if pause and left % 2**20 == 0:
            sleep(pause)
        piece = theirs.recv(min(left, 2**16, left % 2**20 or 2**20))
        assert piece, f"{left} bytes are missing"
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest()


@pytest.mark.parametrize("pause", [0.0, SHORT_SECONDS])
def test_all_of_an_answer_is_sent(connection: Connection, pause: float) -> None:
    ours, theirs = connection
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all, theirs, len(TOO_MUCH), pause)
        ours.sendall(TOO_MUCH)
        assert reading.result() == hashlib.sha256(TOO_MUCH).hexdigest()
    assert ours.slot is None
    assert ours.writers.taken == 0


def test_what_the_kernel_takes_needs_no_place(connection: Connection) -> None:
    ours, theirs = connection
    ours.writers = TransferSlots(0)
    ours.setblocking(False)
    ours.sendall(memoryview(b"abc"))
    ours.sendall(b"")
    assert theirs.recv(10) == b"abc"


def test_no_thread_waits_without_a_slot(connection: Connection) -> None:
    """A client that takes nothing, when all slots are those of faster clients, is cut at once."""
    ours, theirs = connection
    ours.writers = TransferSlots(1, safe_seconds=inf)
    assert ours.writers.take() is not None
    ours.idle_seconds = 10 * PATIENCE_SECONDS
    ends_in(BlockingIOError, lambda: ours.sendall(TOO_MUCH))
    assert ours.slot is None
    theirs.close()


def test_a_client_that_takes_nothing_gives_way_to_another(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once: its thread doesn't go on waiting until it looks again."""
    ours, theirs = connection
    monkeypatch.setattr(module, "_TICK_SECONDS", 10 * PATIENCE_SECONDS)
    ours.idle_seconds = 10 * PATIENCE_SECONDS
    ours.writers = TransferSlots(1, safe_seconds=0.0)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(ours.sendall, TOO_MUCH)
        wait_until_taken(ours.writers)
        assert ours.writers.take() is not None
        ends_in(BlockingIOError, lambda: sending.result(PATIENCE_SECONDS))
    theirs.close()


def wait_until_taken(slots: TransferSlots) -> None:
    """Wait until there is no free slot."""
    deadline = monotonic() + PATIENCE_SECONDS
    while slots.taken < slots.count:
        assert monotonic() < deadline
        sleep(0.01)


class Counted(TransferSlot):
    """How many bytes were sent."""

    bytes = 0

    def count(self, size: int) -> None:
        self.bytes += size


def test_what_a_client_takes_is_seen_soon(connection: Connection) -> None:
    """Else whoever takes an answer steadily, but not fast, is cut like one that takes nothing."""
    ours, theirs = connection
    # A large buffer of the client's would say only late that it has room again.
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    ours.slot = sent = Counted()
    ours.setblocking(False)
    assert ours._send_now(memoryview(TOO_MUCH)), "the kernel has room for all of it"
    left = min(sent.bytes, 512 * 1024)  # far less than a third of what it would keep by itself
    while left:
        left -= len(theirs.recv(left))
    assert select.select([], [ours], [], PATIENCE_SECONDS)[1]


def test_a_client_that_takes_nothing_is_cut(connection: Connection) -> None:
    ours, theirs = connection
    ours.idle_seconds = SHORT_SECONDS
    ends_in(BlockingIOError, lambda: ours.sendall(TOO_MUCH))
    assert (ours.slot, ours.writers.taken) == (None, 0)
    theirs.close()


def test_a_client_that_hangs_up_is_no_wait(connection: Connection) -> None:
    ours, theirs = connection
    soon(theirs.close).join()
    with pytest.raises((BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)):
        for _ in range(10):
            ours.sendall(TOO_MUCH)


def test_a_client_that_takes_too_little_on_average_is_cut(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes something all the time, so that no single wait is long."""
    ours, theirs = connection
    monkeypatch.setattr(module, "LEAST_BYTES_PER_SECOND", 10**12)
    ours.idle_seconds = 20 * SHORT_SECONDS
    cut = Event()
    pieces: list[int] = []

    def take() -> None:
        while not cut.is_set() and (piece := theirs.recv(2**18)):
            pieces.append(len(piece))
            sleep(SHORT_SECONDS)

    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(take)
        ends_in(BlockingIOError, lambda: [ours.sendall(TOO_MUCH) for _ in range(1000)])
        cut.set()
        taking.result()
    assert len(pieces) > 2


class Taker:
    """A clock that stands still but for the waits, in each of which the client empties the kernel."""

    def __init__(self, theirs: socket.socket, seconds: float) -> None:
        self.now, self.seconds, self.theirs = 0.0, seconds, theirs
        self.taken = 0

    def wait(self, _event: int, limit: float) -> None:
        self.now += self.seconds
        if self.now > limit:
            raise BlockingIOError
        self.taken += len(self.theirs.recv(2**20))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], tuple[ClientSocket, Taker]]]:
    """A connection whose kernel holds little: a wait of so many seconds for every few kilobytes."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with far, client_socket(near, None) as ours:
        ours.writers = TransferSlots(1)
        ours.setblocking(True)

        def make(seconds: float) -> tuple[ClientSocket, Taker]:
            taker = Taker(far, seconds)
            monkeypatch.setattr(module, "monotonic", lambda: taker.now)
            monkeypatch.setattr(ClientSocket, "_wait", taker.wait)
            return ours, taker

        yield make


def test_a_byte_a_second_is_too_slow(narrow: Callable[[float], tuple[ClientSocket, Taker]]) -> None:
    ours, taker = narrow(50.0)
    ends_in(BlockingIOError, lambda: ours.sendall(bytes(2**20)))
    assert 0 < taker.taken < 2**16
    assert taker.now < 60.0 + taker.taken / module.LEAST_BYTES_PER_SECOND + 50.0


def test_the_slowest_that_may_be_gets_all(narrow: Callable[[float], tuple[ClientSocket, Taker]]) -> None:
    ours, taker = narrow(1.0)
    ours.sendall(bytes(2**20))
    assert taker.now > ours.idle_seconds


def test_every_answer_is_counted_anew(narrow: Callable[[float], tuple[ClientSocket, Taker]]) -> None:
    """A connection that is kept would else be cut for the sum of its waits."""
    ours, taker = narrow(25.0)
    for _ in range(20):
        ours.reset_send_timer()
        ours.sendall(bytes(6000))
    assert taker.now > ours.idle_seconds


def test_the_waits_of_one_answer_are_added_up(
    narrow: Callable[[float], tuple[ClientSocket, Taker]],
) -> None:
    """An answer in pieces is one answer."""
    ours, taker = narrow(25.0)
    ours.reset_send_timer()
    ends_in(BlockingIOError, lambda: [ours.sendall(bytes(6000)) for _ in range(20)])
    assert taker.now < 200.0


def test_a_body_is_asked_for_once_and_only_when_it_is_waited_for(connection: Connection) -> None:
    ours, theirs = connection
    ours.continue_expected = True
    theirs.sendall(b"early")
    wait_until_readable(ours)
    assert ours.recv(5) == b"early"
    assert ours.continue_expected
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(answer_when_asked, theirs)
        assert ours.recv(5) == b"body"
        assert asked.result() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not ours.continue_expected
    timer = soon(lambda: theirs.sendall(b"rest"))
    assert ours.recv(5) == b"rest"
    timer.join()
    ours.sendall(b"done")
    assert theirs.recv(100) == b"done"


def answer_when_asked(theirs: socket.socket) -> bytes:
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += theirs.recv(100)
    theirs.sendall(b"body")
    return asked


def test_nobody_is_asked_who_has_not_said_so(connection: Connection) -> None:
    ours, theirs = connection
    timer = soon(lambda: theirs.sendall(b"a"))
    assert ours.recv(1) == b"a"
    timer.join()
    ours.sendall(b"answer")
    assert theirs.recv(100) == b"answer"


@pytest.mark.parametrize(("sent", "finished"), [(b"12345", True), (b"12", False)])
def test_gunicorn_drops_the_rest_of_a_body_within_its_time(
    connection: Connection, sent: bytes, finished: bool
) -> None:
    ours, theirs = connection
    parser = http.get_parser(Config(), ours, ("127.0.0.1", 1))
    theirs.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n" + sent)
    next(parser)
    seconds = PATIENCE_SECONDS if finished else 5 * SHORT_SECONDS
    assert parser.finish_body(deadline=monotonic() + seconds) is finished
    assert ours.gettimeout() is None


def test_a_client_that_breaks_off_its_handshake(certificate: tuple[str, str]) -> None:
    with accepted() as (fresh, theirs), client_socket(fresh, server_context(certificate)) as ours:
        assert type(ours) is TLSClientSocket
        assert not os.get_blocking(ours.fileno())
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
        ours.settimeout(PATIENCE_SECONDS)
        with pytest.raises(OSError, match=r"HTTP_REQUEST|http request"):
            ours.recv(1)


@pytest.mark.parametrize("sent", [b"", b"hello"])
def test_a_client_that_is_gone_before_its_handshake(certificate: tuple[str, str], sent: bytes) -> None:
    with accepted() as (fresh, theirs):
        theirs.sendall(sent)
        reset(theirs)
        with pytest.raises(OSError):
            client_socket(fresh, server_context(certificate))
        assert fresh.fileno() != -1  # whoever accepted it closes it
