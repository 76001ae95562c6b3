"""How many sessions there are, and how all of them end."""

import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Event

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from app.errors import ServerBusy
from app.realtime import sessions
from app.realtime.configuration import Configuration
from app.realtime.handshake import accept
from app.realtime.sessions import AdmittedSession, Limits, Opening, Sessions
from app.realtime.waker import Waker
from tests.threads import no_thread
from tests.unit.realtime.sessions_parts import COMMIT, PATIENCE_SECONDS, UPDATE, Worker, append
from tests.unit.realtime.test_connection import Stream


class Client:
    """The other end of a session's connection."""

    def __init__(self, opened: Sessions, worker: Worker, caller: str = "a") -> None:
        protocol = ClientProtocol(parse_uri("ws://x/"))
        request = protocol.connect()
        services, answer = worker.services(), accept(request.headers, {})
        opening = Opening(answer, services, Configuration(), for_transcription=True, caller=caller)
        self.admitted: AdmittedSession = opened.admit(opening)
        ours, self.socket = socket.socketpair()
        self.socket.settimeout(PATIENCE_SECONDS)
        self.protocol = protocol
        protocol.send_request(request)
        protocol.data_to_send()
        self.frames: list[Frame] = []
        with ExitStack() as refused:
            refused.enter_context(self.socket)
            stream = refused.enter_context(Stream(fileno=ours.detach()))
            self.admitted.serve(stream, b"")
            refused.pop_all()

    def __enter__(self) -> "Client":
        self.receive("session.created")
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *events: bytes) -> None:
        for event in events:
            self.socket.sendall(Frame(Opcode.TEXT, event).serialize(mask=True))

    def receive(self, text: str) -> None:
        """Wait for an event."""
        while not any(text in bytes(frame.data).decode(errors="replace") for frame in self.frames):
            self._read()

    def close_code(self) -> int:
        """Wait for the end."""
        while not self.frames or self.frames[-1].opcode is not Opcode.CLOSE:
            self._read()
        return int.from_bytes(self.frames[-1].data[:2], "big")

    def _read(self) -> None:
        data = self.socket.recv(65_536)
        assert data, "closed"
        self.protocol.receive_data(data)
        self.frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def wait_until_ended(opened: Sessions, count: int) -> None:
    with opened._changed:
        assert opened._changed.wait_for(lambda: opened.count == count, PATIENCE_SECONDS)


def test_places_are_limited_for_all_and_for_each(held: ExitStack) -> None:
    opened, worker = Sessions(Limits(sessions=3, per_caller=2)), Worker()
    first = held.enter_context(Client(opened, worker))
    held.enter_context(Client(opened, worker))
    with pytest.raises(ServerBusy, match="You have 2 realtime sessions open"):
        Client(opened, worker)
    held.enter_context(Client(opened, worker, "b"))
    with pytest.raises(ServerBusy, match="3 realtime sessions are open"):
        Client(opened, worker, "c")
    first.socket.close()
    wait_until_ended(opened, 2)
    held.enter_context(Client(opened, worker))


def test_a_place_without_a_connection_is_given_back() -> None:
    opened, worker = Sessions(Limits(sessions=1)), Worker()
    request = ClientProtocol(parse_uri("ws://x/")).connect()
    opening = Opening(
        accept(request.headers, {}), worker.services(), Configuration(), for_transcription=True, caller="a"
    )
    opened.admit(opening).abandon()
    assert opened.count == 0
    assert worker.record.notes == []


def no_descriptor(*_: object) -> None:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize(
    ("short", "failure"),
    [("app.realtime.waker._descriptors", no_descriptor), ("app.background.Thread.start", no_thread)],
    ids=["descriptors", "threads"],
)
def test_a_session_that_cannot_start_gives_all_back(
    monkeypatch: pytest.MonkeyPatch, held: ExitStack, short: str, failure: Callable[..., None]
) -> None:
    opened, worker = Sessions(Limits(sessions=1, sending=1)), Worker()
    with monkeypatch.context() as patch:
        patch.setattr(short, failure)
        wakers = noted_wakers(patch)
        with pytest.raises(ServerBusy, match="no room for a realtime session"):
            Client(opened, worker)
    assert opened.count == 0
    assert opened._open == set()
    assert [waker.fileno() for waker in wakers] in ([], [-1])
    client = held.enter_context(Client(opened, worker))
    client.send(UPDATE, append(100), COMMIT)
    client.receive("100 ms")
    client.socket.close()
    opened.stop()
    wait_until_ended(opened, 0)


def noted_wakers(patch: pytest.MonkeyPatch) -> list[Waker]:
    """Those that are made from now on."""
    made: list[Waker] = []

    def new_waker() -> Waker:
        made.append(Waker())
        return made[-1]

    patch.setattr("app.realtime.connection.Waker", new_waker)
    return made


def test_so_many_may_send(monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    monkeypatch.setattr(sessions, "SENDING_SECONDS", PATIENCE_SECONDS)
    opened, worker = Sessions(Limits(sending=1)), Worker()
    first, second = (held.enter_context(Client(opened, worker)) for _ in range(2))
    for client in (first, second):
        client.send(UPDATE)
        client.receive("session.updated")
    first.send(append(100), COMMIT)
    first.receive("100 ms")
    second.send(append(100))
    second.receive("1 realtime sessions send audio")
    with pytest.raises(ServerBusy, match="send audio"):
        Client(opened, worker)
    first.socket.close()
    wait_until_ended(opened, 1)
    second.send(append(100), COMMIT)
    second.receive("100 ms")


def test_one_caller_leaves_half_to_others(monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    monkeypatch.setattr(sessions, "SENDING_SECONDS", PATIENCE_SECONDS)
    opened, worker = Sessions(Limits(sending=3)), Worker()
    clients = [held.enter_context(Client(opened, worker, caller)) for caller in "aaab"]
    for client in clients:
        client.send(UPDATE)
        client.receive("session.updated")
    for client in clients[:2]:
        client.send(append(100), COMMIT)
        client.receive("100 ms")
    clients[2].send(append(100))
    clients[2].receive("2 of your realtime sessions send audio")
    clients[3].send(append(100), COMMIT)
    clients[3].receive("100 ms")
    clients[3].socket.close()
    wait_until_ended(opened, 3)
    clients[2].send(append(100), COMMIT)
    clients[2].receive("100 ms")


def test_stopping_waits_for_what_was_committed(held: ExitStack) -> None:
    opened, worker = Sessions(Limits()), Worker()
    worker.may_answer.clear()
    busy, idle = (held.enter_context(Client(opened, worker)) for _ in range(2))
    busy.send(UPDATE, append(300), COMMIT)
    busy.receive("conversation.item.done")
    opened.stop()
    assert idle.close_code() == 1012
    with pytest.raises(ServerBusy, match="stopping"):
        Client(opened, worker)
    worker.may_answer.set()
    busy.receive("300 ms")
    assert busy.close_code() == 1012
    for client in (busy, idle):
        client.socket.close()
    opened.wait_until_closed()
    assert opened.count == 0
    assert sorted(str(note) for note in worker.record.notes if note != "opened") == [
        "(1012, 0)",
        "(1012, 300)",
        "answered",
    ]


def test_stopping_waits_no_longer_than_so(monkeypatch: pytest.MonkeyPatch, held: ExitStack) -> None:
    monkeypatch.setattr(sessions, "STOP_SECONDS", 0.2)
    opened, worker = Sessions(Limits()), Worker()
    worker.may_answer.clear()
    client = held.enter_context(Client(opened, worker))
    client.send(UPDATE, append(300), COMMIT)
    client.receive("conversation.item.done")
    opened.stop()
    assert client.close_code() == 1012
    opened.wait_until_closed()


def test_a_failure_ends_its_own_session_alone(held: ExitStack, caplog: pytest.LogCaptureFixture) -> None:
    opened, worker, broken = Sessions(Limits()), Worker(), Worker()
    other = held.enter_context(Client(opened, worker))
    closed = Event()
    broken.record.closed = lambda code, heard_ms: closed.set()  # type: ignore[method-assign]
    broken.parse = lambda fields: 1 // 0  # type: ignore[assignment, method-assign, return-value]
    with Client(opened, broken) as client:
        client.send(UPDATE)
        assert client.close_code() == 1011
        assert closed.wait(PATIENCE_SECONDS)
    wait_until_ended(opened, 1)
    assert "ZeroDivisionError" in caplog.text
    other.send(UPDATE)
    other.receive("session.updated")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [(Limits(idle_seconds=0.1), "Nothing was sent"), (Limits(session_seconds=0.1), "maximum duration")],
    ids=["idle", "long"],
)
def test_sessions_end(held: ExitStack, limits: Limits, reason: str) -> None:
    client = held.enter_context(Client(Sessions(limits), Worker()))
    assert client.close_code() == 1001
    assert reason in bytes(client.frames[-1].data).decode(errors="replace")
