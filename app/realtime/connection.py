"""A WebSocket over a connection whose handshake is done: one thread reads, writes and keeps the time."""

import select
import socket
from collections import deque
from contextlib import suppress
from ssl import SSLWantReadError, SSLWantWriteError
from time import monotonic
from typing import Protocol

from websockets.frames import DATA_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN

from app.realtime.message_room import MessagePlace
from app.realtime.protocol import MAX_MESSAGE_BYTES, RealtimeProtocol, TooLong
from app.realtime.waker import Waker

PING_SECONDS = 20.0
"""After so long without a byte in either direction the client is sent a ping: proxies close connections that
are silent in one. If nothing at all comes for so long after that, it has gone.
"""
LINGER_SECONDS = 2.0
"""How long a client that is told to close has for it."""

_READ_BYTES = 64 * 1024
_WOULD_BLOCK = (BlockingIOError, SSLWantReadError, SSLWantWriteError)
_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


Bytes = bytes | bytearray


class Stream(Protocol):
    """A client's connection. With a time-out of 0 `recv` raises BlockingIOError where it would wait; with
    None `sendall` waits for the client within the connection's own limits.
    """

    deadline: float

    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def pending(self) -> int: ...
    def reset_send_timer(self) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Handler(Protocol):
    """What a connection is for. All is called in its thread."""

    @property
    def takes_more(self) -> bool:
        """Whether `receive` may be called."""

    def open(self) -> None:
        """The connection can send."""

    def receive(self, data: Bytes, *, is_text: bool) -> None:
        """A whole message."""

    def refuse_long(self) -> None:
        """A message was longer than MAX_MESSAGE_BYTES, and is dropped."""

    def due(self) -> tuple[float, int, str]:
        """When (monotonic) the connection is to be closed at present, and with which code and reason."""

    def close(self, code: int) -> None:
        """The connection is closed; nothing more is sent."""


class Connection:
    """`send` and `wake` may be called from any thread; `serve` is the thread of the connection.

    `early` are bytes that the client sent behind its handshake; `place` is for its long messages.
    """

    def __init__(
        self, stream: Stream, protocol: RealtimeProtocol, place: MessagePlace, early: bytes = b""
    ) -> None:
        self.stream = stream
        self._protocol = protocol
        self._place = place
        self._early = early
        self._outbox: deque[str] = deque()
        self._inbox: deque[Frame] = deque()
        self._fragments = bytearray()
        self._is_text = True
        self._too_long = False
        self._heard = self._sent = self._pinged = monotonic()
        self._lost = False
        self._waker = Waker()

    def send(self, text: str) -> None:
        """Send a message soon. Nothing happens if the connection is closed."""
        self._outbox.append(text)
        self.wake()

    def wake(self) -> None:
        """Have the thread look at its handler again."""
        self._waker.wake()

    def discard(self) -> None:
        """In place of `serve`: give back what it has, but leave the stream open."""
        self._waker.close()

    def serve(self, handler: Handler) -> None:
        """Exchange messages until the connection is closed, by either side."""
        try:
            handler.open()
            self._receive(self._early)
            while self._flush() and self._protocol.state is OPEN:
                self._turn(handler)
            if not self._lost:
                self._linger()
        except Exception:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "The server had an error.")
            self._flush()
            raise
        finally:
            self.stream.close()
            self._waker.close()
            self._place.resize(0)
            handler.close(self._close_code())

    def _turn(self, handler: Handler) -> None:
        """Wait for what comes first, and do it."""
        due, code, reason = handler.due()
        now = monotonic()
        if now >= due:
            self._write_messages()
            self._protocol.send_close(code, reason)
        elif self._inbox and handler.takes_more:
            self._handle(self._inbox.popleft(), handler)
            if not self._inbox:
                self._hold()
        else:
            reads = handler.takes_more
            ping_due = self._ping_if_silent(now, reads=reads)
            if self._wait(min(due, ping_due) - now, reads=reads):
                self._read(reads=reads)

    def _ping_if_silent(self, now: float, *, reads: bool) -> float:
        """When to look again. A client whose bytes are not read can't be told from a silent one."""
        if reads and self._pinged > self._heard and now - self._pinged > PING_SECONDS:
            self._lost = True
            return now
        ping_due = max(self._pinged, min(self._heard, self._sent)) + PING_SECONDS
        if now >= ping_due:
            self._pinged = now
            self._protocol.send_ping(b"")
            return now
        return ping_due

    def _wait(self, seconds: float, *, reads: bool) -> bool:
        """Whether there is something to read, or the client has gone. Ends early when woken."""
        if reads and self.stream.pending():
            return True
        poller = select.poll()
        poller.register(self.stream, select.POLLIN if reads else _GONE)
        poller.register(self._waker, select.POLLIN)
        ready = [descriptor for descriptor, _ in poller.poll(max(0.0, 1000 * seconds))]
        if self._waker.fileno() in ready:
            self._waker.clear()
        return self.stream.fileno() in ready

    def _read(self, *, reads: bool) -> None:
        """Read what has arrived; a client that has gone while nothing was read is noticed, too."""
        self.stream.settimeout(0.0)
        try:
            data = self.stream.recv(_READ_BYTES) if reads else b""
        except _WOULD_BLOCK:
            return
        except OSError:
            data = b""
        if data:
            self._heard = monotonic()
            self._receive(data)
        else:
            self._lost = True

    def _receive(self, data: bytes) -> None:
        if data:
            self._protocol.receive_data(data)
            self._inbox += [frame for frame in self._protocol.events_received() if isinstance(frame, Frame)]
            self._hold()

    def _hold(self) -> None:
        """Count what is held of messages. If there is no room for it the connection is closed."""
        frames = sum(len(frame.data) for frame in self._inbox)
        if not self._place.resize(self._protocol.buffered_bytes + len(self._fragments) + frames):
            self._inbox.clear()
            self._protocol.fail(
                CloseCode.TRY_AGAIN_LATER,
                "The server has no room for a message of this length at present. Send shorter ones.",
            )

    def _handle(self, frame: Frame, handler: Handler) -> None:
        """Collect a message's fragments, and hand it over."""
        if frame.opcode not in DATA_OPCODES:
            return  # the protocol has answered it
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        size = len(self._fragments) + len(frame.data)
        self._too_long |= isinstance(frame.data, TooLong) or size > MAX_MESSAGE_BYTES
        if self._too_long:
            self._fragments.clear()
        else:
            self._fragments += frame.data
        if frame.fin:
            self._hand_over(handler)

    def _hand_over(self, handler: Handler) -> None:
        message, self._fragments = self._fragments, bytearray()
        too_long, self._too_long = self._too_long, False
        if too_long:
            handler.refuse_long()
        else:
            handler.receive(message, is_text=self._is_text)

    def _write_messages(self) -> None:
        while self._outbox and self._protocol.state is OPEN:
            self._protocol.send_text(self._outbox.popleft().encode())

    def _flush(self) -> bool:
        """Send all that is to be sent; False once the client has gone."""
        self._write_messages()
        data = b"".join(self._protocol.data_to_send())
        if data and not self._lost:
            self._sent = monotonic()
            self.stream.reset_send_timer()
            self.stream.settimeout(None)
            try:
                self.stream.sendall(data)
            except OSError:
                self._lost = True
        return not self._lost

    def _linger(self) -> None:
        """Read until the client closes: bytes that are left unread would reset the connection, and with it
        what the client has not received yet.
        """
        limit = monotonic() + LINGER_SECONDS
        with suppress(OSError):
            self.stream.shutdown(socket.SHUT_WR)
            while (left := limit - monotonic()) > 0:
                self.stream.settimeout(left)
                if not self.stream.recv(_READ_BYTES):
                    break

    def _close_code(self) -> int:
        closing = self._protocol.close_rcvd or self._protocol.close_sent
        return closing.code if closing else CloseCode.ABNORMAL_CLOSURE
