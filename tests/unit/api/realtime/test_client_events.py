"""What clients send, before a session sees it."""

from typing import Any

import pytest

from app.api.realtime.client_events import check_event, parse_event
from app.errors import InvalidRequest
from app.realtime.session import CLIENT_EVENTS


def session(**input: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "transcription", "audio": {"input": input}}}


GOOD: list[dict[str, Any]] = [
    {"type": "input_audio_buffer.append", "audio": ""},
    {"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "event_1"},
    {"type": "input_audio_buffer.commit", "event_id": "x" * 512},
    {"type": "input_audio_buffer.clear", "event_id": None},
    {"type": "session.update", "session": {"type": "transcription"}},
    session(format={"type": "audio/pcm", "rate": 24000}),
    session(format={"type": "audio/pcmu"}, transcription=None, noise_reduction=None, turn_detection=None),
    session(transcription={"model": "whisper-1", "delay": "low", "something": "new"}),
    session(turn_detection={"type": "semantic_vad", "eagerness": "auto", "create_response": True}),
]


@pytest.mark.parametrize("event", GOOD)
def test_good_events(event: dict[str, Any]) -> None:
    check_event(event)


def test_the_types_are_those_that_a_session_takes() -> None:
    for kind in CLIENT_EVENTS:
        check_event({"type": kind, "audio": "", "session": {"type": "transcription"}})


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({}, "type"),
        ({"type": 5}, "type"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": 5}, "event_id"),
        ({"type": ["input_audio_buffer.append"], "audio": "AAAA"}, "type"),
        ({"type": "session.update"}, "session"),
        ({"type": "session.update", "session": {}}, "session"),
        ({"type": "session.update", "session": []}, "session"),
        ({"type": "response.create"}, "type"),
        ({"type": "conversation.item.create"}, "type"),
        ({"type": "transcription_session.update"}, "type"),
        ({"type": "session.update", "session": {"type": "realtime"}}, "session.type"),
        (session(format={"type": "audio/wav"}), "session.audio.input.format.type"),
        (session(format={"type": "audio/pcm", "rate": 16000}), "session.audio.input.format.rate"),
        (session(transcription={"prompt": "x" * 32_769}), "session.audio.input.transcription.prompt"),
        (session(transcription={"delay": "none"}), "session.audio.input.transcription.delay"),
        (
            session(turn_detection={"type": "server_vad", "threshold": 1.5}),
            "session.audio.input.turn_detection.threshold",
        ),
        (
            session(turn_detection={"type": "server_vad", "silence_duration_ms": -1}),
            "session.audio.input.turn_detection.silence_duration_ms",
        ),
        (session(turn_detection={}), "session.audio.input.turn_detection.type"),
    ],
)
def test_what_is_wrong_is_named(event: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_event(event)
    assert caught.value.param == param


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff", b'{"a": NaN}'])
def test_what_is_no_event(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="Could not parse the event"):
        parse_event(data)


def test_what_would_take_much_memory_is_not_parsed() -> None:
    with pytest.raises(InvalidRequest, match="10000"):
        parse_event(b'{"a": [' + b"[]," * 10_000 + b"[]]}")


def test_an_event() -> None:
    assert parse_event(bytearray(b'{"type": "x"}')) == {"type": "x"}
