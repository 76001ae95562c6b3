"""Frames that are too long are skipped, whatever the pieces in which they come."""

import struct

import pytest
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN

from app.realtime.handshake import accept
from app.realtime.protocol import MAX_MESSAGE_BYTES, RealtimeProtocol, TooLong

HEADERS = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
LONG = MAX_MESSAGE_BYTES + 1


@pytest.fixture
def protocol() -> RealtimeProtocol:
    opened = accept(HEADERS, {})
    opened.data_to_send()
    return opened


def frame(data: bytes, opcode: int = Opcode.TEXT, length: int | None = None) -> bytes:
    """A frame with a mask of zeros."""
    return struct.pack("!BBQ4x", 0x80 | opcode, 0xFF, len(data) if length is None else length) + data


def received(protocol: RealtimeProtocol) -> list[tuple[Opcode, bytes, bool]]:
    frames = [event for event in protocol.events_received() if isinstance(event, Frame)]
    return [(event.opcode, bytes(event.data), isinstance(event.data, TooLong)) for event in frames]


@pytest.mark.parametrize("piece", [1024 * 1024, LONG, 7_000_001])
def test_a_frame_that_is_too_long_has_no_data(protocol: RealtimeProtocol, piece: int) -> None:
    stream = frame(bytes(LONG)) + frame(b"next")
    for start in range(0, len(stream), piece):
        protocol.receive_data(stream[start : start + piece])
        assert protocol.buffered_bytes < 16
    assert received(protocol) == [(Opcode.TEXT, b"", True), (Opcode.TEXT, b"next", False)]
    assert protocol.state is OPEN


def test_the_longest_is_kept(protocol: RealtimeProtocol) -> None:
    protocol.receive_data(frame(b"x" * MAX_MESSAGE_BYTES)[:-1])
    assert protocol.buffered_bytes == MAX_MESSAGE_BYTES - 1
    protocol.receive_data(b"x")
    assert [len(data) for _, data, _ in received(protocol)] == [MAX_MESSAGE_BYTES]


def test_one_that_never_ends_holds_nothing(protocol: RealtimeProtocol) -> None:
    protocol.receive_data(frame(bytes(1_000), length=2**62))
    for _ in range(3):
        protocol.receive_data(bytes(100_000))
        assert protocol.buffered_bytes == 0
    assert received(protocol) == []
    protocol.receive_eof()


def test_a_control_frame_that_is_too_long_ends_the_connection(protocol: RealtimeProtocol) -> None:
    protocol.receive_data(frame(bytes(LONG), Opcode.PING))
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == CloseCode.PROTOCOL_ERROR
