"""What is wrong in a realtime session is said in an `error`, and the session goes on."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import (
    TRANSCRIPTION,
    Event,
    RealtimeClient,
    audio_of,
    realtime,
    session_of,
)
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

SILENCE = b64encode(bytes(9600)).decode()
"""0.2 seconds."""


@pytest.fixture
def session(server: GunicornServer) -> Iterator[RealtimeClient]:
    with realtime(server.url) as opened:
        yield opened


def error_of(session: RealtimeClient, event: Event | str | bytes) -> Event:
    """What a message is answered with."""
    data = event if isinstance(event, str | bytes) else json.dumps(event)
    session.connection._connection.send(data)
    error: Event = session.receive_until("error")["error"]
    return error


def still_transcribes(session: RealtimeClient) -> None:
    session.update(session_of())
    assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


UPDATE = "session.update"
WRONG: dict[str, tuple[Event | str | bytes, str | None, str]] = {
    "no JSON": ("{", None, "valid JSON"),
    "no UTF-8": (b"\xff".decode("latin-1"), None, "valid JSON"),
    "binary": (bytes(640), None, "base64"),
    "no object": ("[]", None, "object"),
    "not a number": ('{"type": NaN}', None, "valid JSON"),
    "too deep": ("[" * 9_000, None, "valid JSON"),
    "too complex": ("[" * 11_000, None, "10000"),
    "no type": ({}, "type", "'type'"),
    "another type": ({"type": "input_audio_buffer.pause"}, "type", "input_audio_buffer.commit"),
    "the older update": ({"type": "transcription_session.update", "session": {}}, "type", "session.update"),
    "a conversation": ({"type": "response.create"}, "type", "transcription sessions"),
    "a conversation's session": (
        {"type": UPDATE, "session": {"type": "realtime"}},
        "session.type",
        "transcription sessions",
    ),
    "no session": ({"type": UPDATE}, "session", "'session'"),
    "another rate": (
        {"type": UPDATE, "session": session_of(format={"type": "audio/pcm", "rate": 16000})},
        "session.audio.input.format.rate",
        "24000",
    ),
    "a long event_id": ({"type": "input_audio_buffer.clear", "event_id": "x" * 513}, "event_id", "512"),
    "audio before a session.update": (
        {"type": "input_audio_buffer.append", "audio": SILENCE},
        "session.audio.input.transcription",
        "session.update",
    ),
    "a commit before a session.update": ({"type": "input_audio_buffer.commit"}, None, "100ms"),
    "an unknown model": (
        {"type": UPDATE, "session": session_of("none")},
        "session.audio.input.transcription.model",
        "`none`",
    ),
    "an unknown language": (
        {"type": UPDATE, "session": session_of(transcription={"language": "xx"})},
        "session.audio.input.transcription.language",
        "xx",
    ),
    "turns with a model that has none": (
        {
            "type": UPDATE,
            "session": session_of("gpt-realtime-whisper", turn_detection={"type": "server_vad"}),
        },
        "session.audio.input.turn_detection",
        "null",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(session: RealtimeClient, what: str) -> None:
    sent, param, said = WRONG[what]
    error = error_of(session, sent)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert said in error["message"]


def test_the_session_goes_on_after_all_of_them(session: RealtimeClient) -> None:
    for sent, _, _ in WRONG.values():
        error_of(session, sent)
    still_transcribes(session)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"type": "input_audio_buffer.append"}, "'audio'"),
        ({"type": "input_audio_buffer.append", "audio": "no base64!"}, "base64"),
        ({"type": "input_audio_buffer.append", "audio": "A" * (20 * 1024 * 1024 + 4)}, "bytes"),
        ({"type": "input_audio_buffer.commit"}, "0.00ms"),
    ],
    ids=["none", "no base64", "too much at a time", "a commit of nothing"],
)
def test_audio_that_is_wrong(session: RealtimeClient, event: Event, said: str) -> None:
    session.update(session_of())
    error = error_of(session, {**event, "event_id": "mine"})
    assert said in error["message"]
    assert error["event_id"] == "mine"
    still_transcribes(session)


def test_a_commit_of_too_little(session: RealtimeClient) -> None:
    session.update(session_of())
    session.append(bytes(48 * 99))
    error = error_of(session, {"type": "input_audio_buffer.commit"})
    assert (error["code"], "99.00ms" in error["message"]) == ("input_audio_buffer_commit_empty", True)
    session.append(bytes(48))
    session.send("input_audio_buffer.commit")
    session.receive_until("input_audio_buffer.committed")


def test_a_commit_after_the_transcription_was_cleared(session: RealtimeClient) -> None:
    session.update(session_of())
    session.append(bytes(48 * 200))
    session.update(session_of(transcription=None))
    error = error_of(session, {"type": "input_audio_buffer.commit"})
    assert error["param"] == "session.audio.input.transcription"
    still_transcribes(session)


def test_a_session_of_no_type_is_told_what_is_offered(server: GunicornServer) -> None:
    with realtime(server.url, {}) as session:
        error = error_of(session, {"type": "input_audio_buffer.append", "audio": SILENCE})
        assert "intent=transcription" in error["message"]
        still_transcribes(session)


def test_a_model_in_the_url(server: GunicornServer) -> None:
    with realtime(server.url, {"intent": "transcription", "model": "gpt-4o-transcribe"}) as session:
        updated = session.update({"type": "transcription", "audio": {"input": {"transcription": {}}}})
        assert updated["audio"]["input"]["transcription"] == {"model": "gpt-4o-transcribe"}


@pytest.mark.parametrize("model", ["gpt-realtime-whisper", "gpt-live-transcribe"])
def test_the_model_in_the_url_may_be_one_for_sessions_alone(server: GunicornServer, model: str) -> None:
    with realtime(server.url, {"intent": "transcription", "model": model}) as session:
        updated = session.update({"type": "transcription", "audio": {"input": {"transcription": {}}}})
        assert updated["audio"]["input"]["transcription"] == {"model": model}
        assert updated["audio"]["input"]["turn_detection"] is None
        assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


def test_audio_that_was_cleared_is_not_transcribed(session: RealtimeClient) -> None:
    session.update(session_of())
    session.append(audio_of(FLAGSHIP))
    session.send("input_audio_buffer.clear")
    session.receive_until("input_audio_buffer.cleared")
    assert "0.00ms" in error_of(session, {"type": "input_audio_buffer.commit"})["message"]


def test_null_clears(session: RealtimeClient) -> None:
    default = session.update(session_of(turn_detection={"type": "server_vad"}))["audio"]["input"]
    vad = {"type": "server_vad", "silence_duration_ms": 800}
    session.update(session_of(format={"type": "audio/pcmu"}, turn_detection=vad))
    told = {"format": None, "turn_detection": {"type": "server_vad", "silence_duration_ms": None}}
    updated = session.update({"type": "transcription", "audio": {"input": told}})
    assert updated["audio"]["input"] == default


def test_only_what_is_sent_changes(session: RealtimeClient) -> None:
    session.update(session_of(transcription={"model": "whisper-1", "language": "en", "prompt": "x"}))
    vad = {"type": "server_vad", "silence_duration_ms": 800}
    session.update({"type": "transcription", "audio": {"input": {"turn_detection": vad}}})
    told: dict[str, Any] = {"transcription": {"language": None}, "noise_reduction": {"type": "near_field"}}
    updated = session.update({"type": "transcription", "audio": {"input": told}})
    assert updated["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "whisper-1", "prompt": "x"},
        "noise_reduction": {"type": "near_field"},
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 800,
        },
    }


def test_silence_has_no_text(session: RealtimeClient) -> None:
    session.update(session_of())
    assert session.transcribe(bytes(48 * 200))["transcript"] == ""
    assert f"{TRANSCRIPTION}.delta" not in session.types()
