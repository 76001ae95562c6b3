"""Turns that the server finds in a session's audio: when they begin and end, and what becomes of them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import (
    TRANSCRIPTION,
    Event,
    RealtimeClient,
    answer_for,
    audio_of,
    realtime,
    session_of,
)
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow

SAID = ["Good morning.", "The server is ready.", "Please close the window."]
BYTES_PER_MS = 48
SERVER_VAD = {"type": "server_vad"}
COMPLETED = f"{TRANSCRIPTION}.completed"
BUFFER = "input_audio_buffer"


@pytest.fixture
def session(server: GunicornServer) -> Iterator[RealtimeClient]:
    with realtime(server.url) as opened:
        yield opened


def three_utterances(format: str = "audio/pcm") -> bytes:
    return audio_of(DATA / "three_utterances.wav", format)


def silence(milliseconds: int) -> bytes:
    return bytes(BYTES_PER_MS * milliseconds)


def of_type(session: RealtimeClient, kind: str) -> list[Event]:
    return [event for event in session.events if event["type"] == kind]


def receive_completed(session: RealtimeClient, times: int) -> list[Event]:
    """So many transcripts, in the order of their items."""
    while len(of_type(session, COMPLETED)) < times:
        session.receive_until(COMPLETED)
    items = [event["item_id"] for event in of_type(session, f"{BUFFER}.committed")]
    return sorted(of_type(session, COMPLETED), key=lambda event: items.index(event["item_id"]))


@pytest.mark.parametrize("size", [960, 70_001])
def test_each_utterance_is_an_item(session: RealtimeClient, size: int) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(three_utterances() + silence(700), size)
    assert [event["transcript"] for event in receive_completed(session, 3)] == SAID
    items = [event["item_id"] for event in of_type(session, f"{BUFFER}.speech_started")]
    assert len(set(items)) == 3
    for item in items:
        kinds = [
            event["type"] for event in session.events if item in (event.get("item_id"), id_of_item(event))
        ]
        assert [kind for kind in kinds if not kind.endswith(".delta")] == [
            f"{BUFFER}.speech_started",
            f"{BUFFER}.speech_stopped",
            f"{BUFFER}.committed",
            "conversation.item.added",
            "conversation.item.done",
            COMPLETED,
        ]
    chain = [event["previous_item_id"] for event in of_type(session, f"{BUFFER}.committed")]
    assert chain == [None, *items[:2]]
    ids = [event["event_id"] for event in session.events]
    assert len(set(ids)) == len(ids)


def id_of_item(event: Event) -> Any:
    return event.get("item", {}).get("id")


def test_the_times_are_those_of_the_audio(session: RealtimeClient, server: GunicornServer) -> None:
    """What lies between them gives the same text as a file."""
    earlier = silence(1_000)
    audio = earlier + three_utterances() + silence(700)
    turns = session_of("gpt-4o-transcribe", turn_detection=SERVER_VAD)
    told = {**turns, "include": ["item.input_audio_transcription.logprobs"]}
    session.update(told)
    session.append(audio)
    texts = receive_completed(session, 3)
    starts = [event["audio_start_ms"] for event in of_type(session, f"{BUFFER}.speech_started")]
    ends = [event["audio_end_ms"] for event in of_type(session, f"{BUFFER}.speech_stopped")]
    assert starts[0] >= 500
    for start, end, completed in zip(starts, ends, texts, strict=True):
        answer = answer_for(
            server,
            audio[start * BYTES_PER_MS : end * BYTES_PER_MS],
            **{"model": "gpt-4o-transcribe", "include[]": "logprobs"},
        )
        assert completed["transcript"] == answer["text"]
        assert completed["logprobs"] == answer["logprobs"]
        assert completed["usage"] == answer["usage"]


def test_telephone_audio_has_turns_too(session: RealtimeClient) -> None:
    session.update(session_of(format={"type": "audio/pcmu"}, turn_detection=SERVER_VAD))
    session.append(three_utterances("audio/pcmu") + b"\xff" * 8 * 700, 800)
    assert [event["transcript"] for event in receive_completed(session, 3)] == SAID


@pytest.mark.parametrize(
    ("pause_ms", "utterances"), [(300, 3), (5_000, 1)], ids=["the pauses end them", "no pause is so long"]
)
def test_the_client_says_how_long_a_pause_is(session: RealtimeClient, pause_ms: int, utterances: int) -> None:
    session.update(session_of(turn_detection={**SERVER_VAD, "silence_duration_ms": pause_ms}))
    session.append(three_utterances() + silence(pause_ms + 200))
    transcripts = [event["transcript"] for event in receive_completed(session, utterances)]
    assert len(transcripts) == utterances
    assert transcripts[0].startswith("Good morning.")


def test_a_turn_may_be_committed_before_it_ends(session: RealtimeClient) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(audio_of(FLAGSHIP))
    session.send(f"{BUFFER}.commit")
    completed = session.receive_until(COMPLETED)
    assert completed["transcript"] == FLAGSHIP_TEXT
    assert completed["item_id"] == of_type(session, f"{BUFFER}.speech_started")[0]["item_id"]
    session.append(three_utterances() + silence(700))
    assert [event["transcript"] for event in receive_completed(session, 4)][1:] == SAID


def test_a_turn_that_is_cleared_is_not_heard_of_again(session: RealtimeClient) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(audio_of(FLAGSHIP))
    session.send(f"{BUFFER}.clear")
    session.receive_until(f"{BUFFER}.cleared")
    cleared = of_type(session, f"{BUFFER}.speech_started")[0]["item_id"]
    before = len(session.events)
    session.append(silence(1_000) + three_utterances() + silence(700))
    assert [event["transcript"] for event in receive_completed(session, 3)] == SAID
    assert cleared not in [event.get("item_id") for event in session.events[before:]]


def test_silence_sends_nothing(session: RealtimeClient) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(silence(20_000))
    session.update(session_of(turn_detection=SERVER_VAD))
    assert session.types() == ["session.created", "session.updated", "session.updated"]


def test_turns_can_be_switched_off_and_on(session: RealtimeClient) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.update(session_of())
    assert session.transcribe(three_utterances())["transcript"].startswith(SAID[0])
    assert not of_type(session, f"{BUFFER}.speech_started")
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(three_utterances() + silence(700))
    assert [event["transcript"] for event in receive_completed(session, 4)][1:] == SAID


def test_the_silence_before_turns_were_switched_off_is_not_committed(session: RealtimeClient) -> None:
    session.update(session_of(turn_detection=SERVER_VAD))
    session.append(silence(3_000))
    session.update(session_of())
    session.send(f"{BUFFER}.commit")
    assert "0.00ms" in session.receive_until("error")["error"]["message"]


def test_a_sentence_that_is_whole_ends_a_semantic_turn(session: RealtimeClient) -> None:
    """After 0.8 s, once its text is known: 4 s would be the wait for a speaker who goes on."""
    session.update(session_of(turn_detection={"type": "semantic_vad"}))
    speech = audio_of(FLAGSHIP)
    session.append(speech, 4_800)
    for _ in range(38):
        session.append(silence(100))
        if time_for_text(session):
            break
    assert session.receive_until(COMPLETED)["transcript"] == FLAGSHIP_TEXT
    stopped = of_type(session, f"{BUFFER}.speech_stopped")[0]["audio_end_ms"]
    assert stopped < len(speech) / BYTES_PER_MS + 3_900


def time_for_text(session: RealtimeClient) -> bool:
    """Whether the turn has ended, having left the server time to hear what was said."""
    deadline = time.monotonic() + 0.4
    while (left := deadline - time.monotonic()) > 0:
        event = session.receive_within(left)
        if event and event["type"] == f"{BUFFER}.speech_stopped":
            return True
    return False
