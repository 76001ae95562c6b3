"""A connection over a pair of sockets: what it reads, writes and waits for."""

import socket
import time
from collections import deque
from collections.abc import Iterator
from math import inf
from threading import Event, Thread

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from app.realtime import connection
from app.realtime.connection import Bytes, Connection
from app.realtime.handshake import accept
from app.realtime.message_room import MessageRoom
from app.realtime.protocol import MAX_MESSAGE_BYTES

PATIENCE_SECONDS = 120.0
MASK = b"\0\0\0\0"


class Stream(socket.socket):
    """What the server's sockets have besides."""

    deadline = inf

    def pending(self) -> int:
        return 0

    def reset_send_timer(self) -> None:
        pass


class Noting:
    """A handler that keeps what it receives."""

    def __init__(self) -> None:
        self.opened = Event()
        self.received: list[tuple[bytes, bool] | str] = []
        self.arrived = Event()
        self.takes_more = True
        self.due_at: tuple[float, int, str] = (inf, 1000, "")
        self.code: int | None = None

    def open(self) -> None:
        self.opened.set()

    def receive(self, data: Bytes, *, is_text: bool) -> None:
        self.received.append((bytes(data), is_text))
        self.arrived.set()

    def refuse_long(self) -> None:
        self.received.append("too long")
        self.arrived.set()

    def due(self) -> tuple[float, int, str]:
        return self.due_at

    def close(self, code: int) -> None:
        self.code = code


class Pair:
    """A connection that is served in a thread, and its client."""

    def __init__(self, room: MessageRoom | None = None, early: bytes = b"") -> None:
        ours, theirs = socket.socketpair()
        self.client = theirs
        self.client.settimeout(PATIENCE_SECONDS)
        self.handler = Noting()
        self._frames: deque[Frame] = deque()
        protocol = ClientProtocol(parse_uri("ws://x/"))
        request = protocol.connect()
        answer = accept(request.headers, {})
        stream = Stream(fileno=ours.detach())
        self.connection = Connection(stream, answer, (room or MessageRoom()).place(), early)
        self.protocol = protocol
        self.protocol.send_request(request)
        self.protocol.data_to_send()
        self.thread = Thread(target=self.connection.serve, args=(self.handler,))
        self.thread.start()

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.client.sendall(frame.serialize(mask=True))

    def receive(self) -> Frame:
        """The next frame of the server's."""
        while not self._frames:
            data = self.client.recv(65_536)
            assert data, "the server has closed"
            self.protocol.receive_data(data)
            self._frames += [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        return self._frames.popleft()

    def end(self) -> int | None:
        """The code with which the handler was told of the end."""
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()
        return self.handler.code

    def arrived(self) -> list[tuple[bytes, bool] | str]:
        assert self.handler.arrived.wait(PATIENCE_SECONDS)
        self.handler.arrived.clear()
        return self.handler.received


@pytest.fixture
def pair() -> Iterator[Pair]:
    opened = Pair()
    yield opened
    opened.client.close()
    opened.thread.join(PATIENCE_SECONDS)


def text(data: str, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, data.encode(), fin)


def test_messages_go_both_ways(pair: Pair) -> None:
    pair.send(text("one"))
    assert pair.arrived() == [(b"one", True)]
    pair.connection.send("two")
    assert pair.receive() == text("two")


def test_fragments_are_one_message(pair: Pair) -> None:
    pair.send(text("a", fin=False), Frame(Opcode.PING, b"?"), Frame(Opcode.CONT, b"b", True))
    assert pair.arrived() == [(b"ab", True)]
    assert pair.receive() == Frame(Opcode.PONG, b"?")


def test_binary_messages_are_known(pair: Pair) -> None:
    pair.send(Frame(Opcode.BINARY, b"\0"))
    assert pair.arrived() == [(b"\0", False)]


def test_a_message_may_have_come_with_the_handshake() -> None:
    pair = Pair(early=text("early").serialize(mask=True))
    assert pair.arrived() == [(b"early", True)]
    pair.client.close()
    assert pair.end() == 1006


def test_fragments_that_are_too_long_together(pair: Pair) -> None:
    half = "x" * (MAX_MESSAGE_BYTES // 2 + 1)
    pair.send(text(half, fin=False), Frame(Opcode.CONT, half.encode(), False), Frame(Opcode.CONT, b"", True))
    assert pair.arrived() == ["too long"]
    pair.send(text("next"))
    assert pair.arrived()[1:] == [(b"next", True)]


def test_a_client_that_closes(pair: Pair) -> None:
    pair.send(Frame(Opcode.CLOSE, b"\x03\xe8"))
    assert pair.receive() == Frame(Opcode.CLOSE, b"\x03\xe8")
    assert pair.end() == 1000


@pytest.mark.parametrize("reads", [True, False])
def test_a_client_that_has_gone_is_noticed(pair: Pair, reads: bool) -> None:
    pair.handler.takes_more = reads
    pair.connection.wake()
    pair.client.close()
    assert pair.end() == 1006


def test_what_is_not_taken_is_not_read(pair: Pair) -> None:
    """The client's data fill its socket's buffers, and no memory of the server's."""
    pair.handler.takes_more = False
    assert pair.handler.opened.wait(PATIENCE_SECONDS)
    pair.connection.wake()
    pair.client.setblocking(False)
    message, sent = text("x" * 60_000).serialize(mask=True), 0
    with pytest.raises(BlockingIOError):
        while sent < 100_000_000:
            sent += pair.client.send(message)
    assert sent < 10_000_000
    assert len(pair.handler.received) <= 2
    pair.client.setblocking(True)
    pair.handler.takes_more = True
    pair.connection.wake()
    assert pair.arrived()


def test_it_is_closed_when_it_is_due(pair: Pair) -> None:
    pair.handler.due_at = (0.0, 1012, "The server is restarting.")
    pair.connection.send("last words")
    assert pair.receive() == text("last words")
    closing = pair.receive()
    assert (closing.opcode, closing.data) == (Opcode.CLOSE, b"\x03\xf4The server is restarting.")
    pair.send(Frame(Opcode.CLOSE, b"\x03\xf4"))
    pair.client.close()
    assert pair.end() == 1012


def test_a_time_that_comes_is_waited_for(pair: Pair) -> None:
    pair.handler.due_at = (time.monotonic() + 0.2, 1001, "idle")
    pair.connection.wake()
    assert pair.receive().opcode is Opcode.CLOSE
    assert time.monotonic() >= pair.handler.due_at[0]


def test_a_silent_client_is_pinged_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.3)
    pair = Pair()
    assert pair.receive() == Frame(Opcode.PING, b"")
    pair.send(Frame(Opcode.PONG, b""))
    assert pair.receive() == Frame(Opcode.PING, b"")
    assert pair.end() == 1006
    pair.client.close()


def test_a_client_that_is_sent_nothing_is_pinged_though_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.3)
    pair = Pair()
    over = Event()

    def keep_sending() -> None:
        while not over.wait(0.02):
            pair.send(text("audio"))

    sending = Thread(target=keep_sending)
    sending.start()
    assert [pair.receive() for _ in range(2)] == [Frame(Opcode.PING, b"")] * 2
    over.set()
    sending.join()
    pair.client.close()
    pair.end()


def test_a_long_message_for_which_there_is_no_room() -> None:
    room = MessageRoom(2_000_000)
    other = room.place()
    assert other.resize(1_500_000)
    pair = Pair(room)
    pair.send(text("short"))
    assert pair.arrived() == [(b"short", True)]
    data = text("x" * 2_000_000).serialize(mask=True)
    pair.client.sendall(data[:1_200_000])
    closing = pair.receive()
    assert (closing.opcode, closing.data[:2]) == (Opcode.CLOSE, (1013).to_bytes(2, "big"))
    pair.client.close()
    assert pair.end() == 1013
    assert room.taken_bytes == other.size


def test_room_is_given_back_with_the_message() -> None:
    room = MessageRoom()
    pair = Pair(room)
    pair.send(text("x" * 2_000_000))
    pair.arrived()
    pair.send(text("next"))
    pair.arrived()
    assert room.taken_bytes == 0
    pair.client.close()
    pair.end()


def test_nothing_happens_after_the_end(pair: Pair) -> None:
    pair.client.close()
    pair.end()
    pair.connection.send("to nobody")
    pair.connection.wake()
