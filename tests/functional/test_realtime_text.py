"""Text of an utterance while it is spoken: audio at real speed, and what is sent before it is committed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.realtime_client import TRANSCRIPTION, RealtimeClient, audio_of, realtime, session_of
from tests.functional.recordings import DATA

pytestmark = pytest.mark.slow

BYTES_PER_SECOND = 48_000
PIECE_SECONDS = 0.1
DELTA, COMPLETED = f"{TRANSCRIPTION}.delta", f"{TRANSCRIPTION}.completed"


@pytest.fixture
def session(server: GunicornServer) -> Iterator[RealtimeClient]:
    with realtime(server.url) as opened:
        yield opened


def speak(session: RealtimeClient, audio: bytes) -> None:
    """Send audio as a microphone does, and receive what comes meanwhile."""
    size = int(BYTES_PER_SECOND * PIECE_SECONDS)
    started = time.monotonic()
    for number, first in enumerate(range(0, len(audio), size)):
        session.append(audio[first : first + size])
        while (left := started + (number + 1) * PIECE_SECONDS - time.monotonic()) > 0:
            session.receive_within(left)


def deltas(session: RealtimeClient) -> list[str]:
    return [event["delta"] for event in session.events if event["type"] == DELTA]


def test_a_long_utterance_is_sent_while_it_is_spoken(session: RealtimeClient) -> None:
    """Without a commit: however busy the machine is, its first words come.

    The demo model may hear the whole otherwise than its beginning. Then the transcript counts, and no delta
    more is sent; else the deltas are the transcript.
    """
    audio = audio_of(DATA / "minute.flac")[: 10 * BYTES_PER_SECOND]
    session.update(session_of(transcription={"model": "whisper-1", "language": "en"}))
    speak(session, audio)
    if not deltas(session):
        session.receive_until(DELTA)
    before = "".join(deltas(session))
    assert before.split()[:3] == ["The", "sun", "rises"][: len(before.split())] != []
    session.send("input_audio_buffer.commit")
    completed = session.receive_until(COMPLETED)
    text = completed["transcript"]
    assert "".join(deltas(session)) == (text if text.startswith(before) else before)
    assert {event["item_id"] for event in session.events if event["type"] == DELTA} == {completed["item_id"]}


def test_an_upload_and_a_session_keep_each_other_going(
    server: GunicornServer, session: RealtimeClient
) -> None:
    """Neither has to end for the other one to go on: the upload is answered before the session's commit."""
    session.update(session_of(transcription={"model": "whisper-1", "language": "en"}))
    with ThreadPoolExecutor(1) as uploads:
        upload = uploads.submit(server.transcribe, DATA / "minute.flac", language="en")
        speak(session, audio_of(DATA / "minute.flac")[: 4 * BYTES_PER_SECOND])
        assert upload.result(PATIENCE_SECONDS).json()["text"].startswith("The sun rises")
    if not deltas(session):
        session.receive_until(DELTA)
    session.send("input_audio_buffer.commit")
    assert session.receive_until(COMPLETED)["transcript"].startswith("The sun rises")


def test_silence_sends_nothing(session: RealtimeClient) -> None:
    session.update(session_of())
    received = len(session.events)
    speak(session, bytes(2 * BYTES_PER_SECOND))
    assert len(session.events) == received
    session.send("input_audio_buffer.commit")
    assert session.receive_until(COMPLETED)["transcript"] == ""
    assert deltas(session) == []
