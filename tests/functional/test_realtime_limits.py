"""How many realtime sessions there may be, how long they last, and how much one may send."""

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from select import select
from socket import SHUT_RDWR
from socket import socket as Socket
from threading import Event, Thread

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from app.admission import READING
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.process_state import ProcessState
from tests.functional.raw_requests import upload
from tests.functional.realtime_client import RealtimeClient, audio_of, realtime, session_of, websocket
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.slow_connections import slow_connections
from tests.functional.test_faults import wait_until

pytestmark = pytest.mark.slow

APPEND = "input_audio_buffer.append"
SESSIONS = 200
OPEN, SENDERS = 100, 16
"""Of these so many send, which is the default of WHISPER_REALTIME_SENDING."""
UTTERANCES = 60
MOST_GROWTH_MB = 60
SESSION_SECONDS = 4


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    limits = {
        "WHISPER_REALTIME_SENDING": "2",
        "WHISPER_REALTIME_SESSIONS_PER_KEY": "7",
        "WHISPER_REALTIME_SESSIONS": "8",
    }
    with GunicornServer(tmp_path_factory.mktemp("limited") / "server.log", **limits) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """Sessions end soon."""
    log = tmp_path_factory.mktemp("brief") / "server.log"
    with GunicornServer(log, WHISPER_REALTIME_SESSION_SECONDS=f"{SESSION_SECONDS}") as running:
        yield running.wait_until_ready()


def is_refused(session: RealtimeClient) -> bool:
    """Whether a session may not send audio now."""
    session.append(bytes(4_800))
    session.send("session.update", session=session_of())
    refused = session.receive()["type"] == "error"
    if refused:
        session.receive_until("session.updated")
    return refused


def test_so_many_sessions_send_at_a_time(limited: GunicornServer) -> None:
    with realtime(limited.url) as first, realtime(limited.url) as second, realtime(limited.url) as third:
        for session in (first, second, third):
            session.update(session_of())
        # Again and again: on a busy machine one that has sent of late may not count any more.
        wait_until(lambda: [is_refused(each) for each in (first, second, third)][2], "one too many")
        error = next(event["error"] for event in third.events if event["type"] == "error")
        assert (error["type"], "2 realtime sessions" in error["message"]) == ("server_error", True)
        wait_until(lambda: is_refused(first) + is_refused(second) == 0 and no_more(limited), "none is let in")
        assert limited.get("/health").status_code == 200
        first.connection.close()
        wait_until(lambda: not is_refused(third), "there is room for another sender")


def no_more(server: GunicornServer) -> bool:
    """Whether a new session is refused."""
    try:
        websocket(server.port).close()
    except InvalidStatus as refused:
        assert refused.response.status_code == 503
        assert int(refused.response.headers["Retry-After"]) > 0
        return True
    return False


def test_sessions_that_send_nothing_are_none_that_send(limited: GunicornServer) -> None:
    with ExitStack() as held:
        for _ in range(5):
            held.enter_context(realtime(limited.url))
        with realtime(limited.url) as session:
            session.update(session_of())
            assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


def test_one_client_has_so_many_and_all_have_so_many(limited: GunicornServer) -> None:
    wait_until(lambda: "whisper_realtime_sessions 0.0" in limited.get("/metrics").text, "no other is open")
    with ExitStack() as held:
        for _ in range(7):
            held.enter_context(websocket(limited.port))
        with pytest.raises(InvalidStatus) as refused:
            websocket(limited.port)
        assert refused.value.response.status_code == 503
        assert b"You have 7" in (refused.value.response.body or b"")
        held.enter_context(websocket(limited.port, **{"X-Forwarded-For": "192.0.2.1"}))
        with pytest.raises(InvalidStatus) as full:
            websocket(limited.port, **{"X-Forwarded-For": "192.0.2.2"})
        assert full.value.response.status_code == 503
        assert int(full.value.response.headers["Retry-After"]) > 0


def test_two_hundred_open_sessions_leave_everything_else_as_it_was(server: GunicornServer) -> None:
    wait_until(lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "no other is open")
    before = ProcessState.of(server.workers[0])
    with ExitStack() as held:
        for number in range(SESSIONS):
            headers = {"X-Forwarded-For": f"192.0.2.{number % 4}"}
            socket = held.enter_context(websocket(server.port, **headers))
            assert "session.created" in str(socket.recv(PATIENCE_SECONDS))
        assert f"whisper_realtime_sessions {SESSIONS}.0" in server.get("/metrics").text
        with pytest.raises(InvalidStatus) as refused:
            websocket(server.port, **{"X-Forwarded-For": "192.0.2.9"})
        assert refused.value.response.status_code == 503
        assert server.get("/health").status_code == 200
        assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
        during = ProcessState.of(server.workers[0])
        assert during.threads > SESSIONS
        assert during.resident_mb - before.resident_mb < SESSIONS  # a megabyte each
    wait_until(lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "all have ended")
    wait_until(
        lambda: ProcessState.of(server.workers[0]).descriptors <= before.descriptors + 4, "none is left"
    )
    assert ProcessState.of(server.workers[0]).threads <= before.threads + 4


def test_as_many_as_may_send_leave_everything_else_as_it_was(server: GunicornServer) -> None:
    """Each says one utterance after the other, for as long as others are answered."""
    wait_until(lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "no other is open")
    spoken, done = audio_of(FLAGSHIP), Event()
    texts: list[list[str]] = [[] for _ in range(SENDERS)]
    with ExitStack() as held:
        sockets = [
            held.enter_context(websocket(server.port, **{"X-Forwarded-For": f"192.0.2.{number % 4}"}))
            for number in range(OPEN)
        ]
        senders = held.enter_context(ThreadPoolExecutor(SENDERS))
        held.callback(done.set)
        talks = [
            senders.submit(talk, socket, spoken, heard, done)
            for socket, heard in zip(sockets[:SENDERS], texts, strict=True)
        ]
        for _ in range(3):
            before = [len(heard) for heard in texts]
            assert server.get("/health").status_code == 200
            assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
            wait_until(partial(all_have_more, texts, before), "all senders are answered")
        done.set()
        for each in talks:
            each.result(PATIENCE_SECONDS)
        assert f"whisper_realtime_sessions {OPEN}.0" in server.get("/metrics").text
    assert {text for heard in texts for text in heard} == {FLAGSHIP_TEXT}


def all_have_more(texts: list[list[str]], before: list[int]) -> bool:
    return all(len(heard) > count for heard, count in zip(texts, before, strict=True))


def talk(socket: ClientConnection, spoken: bytes, texts: list[str], done: Event) -> None:
    """Have an utterance transcribed again and again, and note each text. Fails where audio is refused."""
    assert "session.created" in str(socket.recv(PATIENCE_SECONDS))
    socket.send(json.dumps({"type": "session.update", "session": session_of()}))
    while not done.is_set():
        socket.send(json.dumps({"type": APPEND, "audio": b64encode(spoken).decode()}))
        socket.send('{"type": "input_audio_buffer.commit"}')
        while "transcript" not in (event := json.loads(socket.recv(PATIENCE_SECONDS))):
            assert event["type"] != "error", event
        texts.append(event["transcript"])


def test_a_session_may_be_slower_than_any_body(server: GunicornServer) -> None:
    """When all reading places are taken, the slowest body is cut, but never a session."""
    with realtime(server.url) as session:
        session.update(session_of())
        with slow_connections(server.port, READING, upload(FLAGSHIP)[:2_000], b"x") as slow:
            wait_until(lambda: is_cut(slow, server), "a body was cut")
            session.append(bytes(480))
        assert session.transcribe(audio_of(FLAGSHIP))["transcript"].endswith(FLAGSHIP_TEXT)


def is_cut(slow: list[Socket], server: GunicornServer) -> bool:
    """Whether one of the bodies was refused, so that a transcription found a place."""
    answer = server.transcribe(FLAGSHIP)
    if answer.status_code == 503:  # all are new, so that nobody knows yet who is slow
        return False
    assert answer.json()["text"] == FLAGSHIP_TEXT
    return bool(select(slow, [], [], 0)[0])


def test_a_session_has_an_end_whatever_happens(brief: GunicornServer) -> None:
    with websocket(brief.port) as socket:
        created = json.loads(socket.recv(PATIENCE_SECONDS))
        assert created["session"]["expires_at"] > 1_700_000_000
        with pytest.raises(ConnectionClosed) as end:
            while True:
                socket.send('{"type": "input_audio_buffer.clear"}')
                assert "cleared" in str(socket.recv(PATIENCE_SECONDS))
                time.sleep(0.1)
        assert end.value.rcvd is not None
        assert (end.value.rcvd.code, end.value.rcvd.reason) == (
            1001,
            f"The session has reached its maximum duration of {SESSION_SECONDS} seconds.",
        )


def test_what_is_sent_faster_than_it_is_heard_is_not_held(server: GunicornServer) -> None:
    """A hundred megabytes of audio wait in the client, and what may wait in the server."""
    [worker] = server.workers
    utterance = audio_of(FLAGSHIP) * 14
    sent = 0
    with realtime(server.url, socket={"ping_interval": None}) as session:
        session.update(session_of())
        session.transcribe(utterance)
        before = most = ProcessState.of(worker).resident_mb

        def flood() -> None:
            nonlocal sent
            with suppress(ConnectionClosed):
                for _ in range(UTTERANCES):
                    session.append(utterance, len(utterance))
                    session.send("input_audio_buffer.commit")
                    sent += 1

        sending = Thread(target=flood)
        sending.start()
        for _ in range(3):
            session.receive_until("conversation.item.input_audio_transcription.completed")
            most = max(most, ProcessState.of(worker).resident_mb)
        assert sent < UTTERANCES
        session.connection._connection.socket.shutdown(SHUT_RDWR)
        sending.join()
    assert UTTERANCES * len(utterance) > 100_000_000
    assert most - before < MOST_GROWTH_MB


def test_a_message_that_is_too_long_is_dropped(server: GunicornServer) -> None:
    with realtime(server.url) as session:
        session.update(session_of())
        session.append(audio_of(FLAGSHIP))
        session.send(APPEND, audio="A" * (21 * 1024 * 1024))
        error = session.receive_until("error")["error"]
        assert (error["code"], "bytes" in error["message"]) == ("message_too_long", True)
        session.send("input_audio_buffer.commit")
        text = session.receive_until("conversation.item.input_audio_transcription.completed")
        assert text["transcript"] == FLAGSHIP_TEXT


def test_a_message_in_many_fragments_is_too_long_as_well(server: GunicornServer) -> None:
    with realtime(server.url) as session:
        socket = session.connection._connection
        piece = "A" * (1024 * 1024)
        socket.send(iter(['{"type": "input_audio_buffer.append", "audio": "', *[piece] * 21, '"}']))
        assert session.receive_until("error")["error"]["code"] == "message_too_long"
        session.update(session_of())
        assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT
