"""What no client should send in a realtime session. The same seed and number always make the same bytes."""

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
FIN, MASKED = 0x80, 0x80
KEY = b"\x11\x22\x33\x44"

HANDSHAKE = (
    b"GET /v1/realtime?intent=transcription HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
"""Opens a session without any library."""


@dataclass(frozen=True)
class MalformedFrame:
    """Bytes for an open WebSocket. `ends`: the server waits for more, and none comes."""

    number: int
    kind: str
    data: bytes = field(repr=False)
    ends: bool


def malformed_frame(seed: int, number: int) -> MalformedFrame:
    """The frame of this number."""
    random = Random(f"{seed}/{number}")
    kind, make = random.choice(list(KINDS.items()))
    return MalformedFrame(number, kind, make(random), ends=kind in UNFINISHED)


def frame(data: bytes, opcode: int = TEXT, first: int = FIN, *, length: int | None = None) -> bytes:
    """A client's frame; `first` are the bits before the opcode, `length` is what it says of its data."""
    size = len(data) if length is None else length
    masked = bytes(byte ^ KEY[place % 4] for place, byte in enumerate(data))
    return bytes([first | opcode]) + _length(size) + KEY + masked


def _length(size: int) -> bytes:
    if size < 126:
        return bytes([MASKED | size])
    return struct.pack("!BH", MASKED | 126, size) if size < 65_536 else struct.pack("!BQ", MASKED | 127, size)


def _noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(1, 400))


def _text(random: Random) -> bytes:
    return frame(random.randbytes(random.randrange(400)))


def _opcode(random: Random) -> bytes:
    return frame(_event(random), random.choice([*range(3, 8), *range(11, 16)]))


def _reserved(random: Random) -> bytes:
    return frame(_event(random), first=FIN | random.choice([0x10, 0x20, 0x40, 0x70]))


def _unmasked(random: Random) -> bytes:
    data = _event(random)[:125]
    return bytes([FIN | TEXT, len(data)]) + data


def _control(random: Random) -> bytes:
    opcode, size = random.choice([CLOSE, PING, 10]), random.choice([126, 1_000, 70_000])
    return frame(random.randbytes(size), opcode)


def _fragmented_control(random: Random) -> bytes:
    return frame(b"", random.choice([CLOSE, PING]), 0)


def _close(random: Random) -> bytes:
    codes = [struct.pack("!H", random.randrange(65_536)), b"\x03", b"\x03\xe8\xff\xfe"]
    return frame(random.choice(codes), CLOSE)


def _fragments(random: Random) -> bytes:
    parts = [
        frame(_event(random)[:100], random.choice([0, TEXT, BINARY]), random.choice([0, FIN])) for _ in "abc"
    ]
    return b"".join(parts)


def _huge(random: Random) -> bytes:
    return frame(b"x" * 50, length=random.choice([2**20, 2**32, 2**62, 2**63 - 1, 2**64 - 1]))


def _cut(random: Random) -> bytes:
    whole = frame(_event(random))
    return whole[: random.randrange(1, len(whole))]


def _mutated(random: Random) -> bytes:
    data = bytearray(_event(random))
    for _ in range(random.randrange(1, 6)):
        data[random.randrange(len(data))] = random.randrange(256)
    return frame(bytes(data))


def _odd_event(random: Random) -> bytes:
    event = json.loads(_event(random))
    place = event
    while isinstance(place, dict) and place:
        name = random.choice(list(place))
        if random.random() < 0.4 or not isinstance(place[name], dict):
            place[name] = random.choice(ODD)
            break
        place = place[name]
    return frame(json.dumps(event).encode())


def _event(random: Random) -> bytes:
    """A client's event as it should be."""
    return json.dumps(random.choice(EVENTS)).encode()


EVENTS: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "event_id": "event_1",
        "session": {
            "type": "transcription",
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {
                        "model": "whisper-1",
                        "language": "en",
                        "prompt": "Some words",
                        "keywords": ["one", "two"],
                    },
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 300},
                }
            },
        },
    },
    {"type": "input_audio_buffer.append", "audio": b64encode(bytes(480)).decode()},
    {"type": "input_audio_buffer.append", "audio": b64encode(bytes(range(255))).decode()},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear", "event_id": "x" * 500},
]
ODD: list[Any] = [
    *(None, True, 0, -1, 1e300, 10**40, "", "x" * 3_000, "\ud800", [], {}, [[]], [None] * 300),
    *({"type": None}, {"type": "server_vad", "threshold": -1}, "audio/pcm", ["whisper-1"], "\u0000"),
]
KINDS: dict[str, Callable[[Random], bytes]] = {
    "noise": _noise,
    "text": _text,
    "opcode": _opcode,
    "reserved bits": _reserved,
    "unmasked": _unmasked,
    "long control frame": _control,
    "fragmented control frame": _fragmented_control,
    "close": _close,
    "fragments": _fragments,
    "huge": _huge,
    "cut": _cut,
    "mutated event": _mutated,
    "mutated event again": _mutated,
    "odd event": _odd_event,
    "odd event again": _odd_event,
    "odd event once more": _odd_event,
}
UNFINISHED = ("noise", "fragments", "huge", "cut")
