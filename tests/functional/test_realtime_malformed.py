"""Malformed frames and events: each ends its own connection at most, and leaves nothing behind."""

import socket
from contextlib import suppress

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.process_state import at_rest
from tests.functional.realtime_client import audio_of, realtime, session_of
from tests.functional.realtime_malformed import HANDSHAKE, PING, frame, malformed_frame
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.test_faults import wait_until

pytestmark = pytest.mark.slow

SEED = 20_261_125
MOST_GROWTH_MB = 40
"""What Python and the allocator may keep of thousands of sessions; one that leaked keeps far more."""

SPARE_THREADS = 8
"""Gunicorn's pool starts its threads one by one, as they are needed."""


class Session:
    """An open WebSocket without any library."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.sendall(HANDSHAKE)
        self.received = b""
        self.wait_for(b"session.created")

    def wait_for(self, text: bytes) -> bool:
        """Whether the server sends it before it hangs up."""
        with suppress(ConnectionError):
            while text not in self.received:
                data = self.socket.recv(65_536)
                if not data:
                    return False
                self.received += data
            return True
        return False

    def is_open_after(self, data: bytes, mark: bytes) -> bool:
        """Whether the server answers a ping after these bytes."""
        self.received = b""
        with suppress(ConnectionError):
            self.socket.sendall(data + frame(mark, PING))
        return self.wait_for(mark)


def send_all(server: GunicornServer, numbers: range) -> int:
    """Send these frames; how many left their session open."""
    survived, session = 0, Session(server.port)
    for number in numbers:
        sent = malformed_frame(SEED, number)
        if sent.ends:
            with suppress(ConnectionError):
                session.socket.sendall(sent.data)
        elif session.is_open_after(sent.data, b"mark-%d." % number):
            survived += 1
            continue
        session.socket.close()
        session = Session(server.port)
    session.socket.close()
    return survived


def check(server: GunicornServer, numbers: range) -> None:
    """Some of them end their session and some don't; the worker goes on."""
    worker = server.workers
    survived = send_all(server, numbers)
    assert len(numbers) / 5 < survived < len(numbers)
    assert server.workers == worker
    assert "Traceback" not in server.log
    with realtime(server.url) as session:
        session.update(session_of())
        assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


def test_hundreds_of_malformed_frames(server: GunicornServer) -> None:
    check(server, range(-300, 0))
    wait_until(
        lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "all sessions have ended"
    )


def test_ten_thousand_malformed_frames(start_server: StartServer) -> None:
    own = start_server().wait_until_ready()
    check(own, range(-100, 0))  # what the first ones allocate stays
    [worker] = own.workers
    before = at_rest(worker, 0, 0)
    check(own, range(10_000))
    after = at_rest(worker, before.descriptors, PATIENCE_SECONDS)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads + SPARE_THREADS
    assert after.resident_mb - before.resident_mb < MOST_GROWTH_MB


def test_the_same_number_makes_the_same_bytes() -> None:
    assert [malformed_frame(SEED, number).data for number in range(50)] == [
        malformed_frame(SEED, number).data for number in range(50)
    ]
