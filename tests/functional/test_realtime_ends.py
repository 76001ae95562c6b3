"""How realtime sessions end: with the server, with the client, and without either noticing."""

import json
import signal
import socket
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.realtime_client import RealtimeClient, audio_of, realtime, session_of, websocket
from tests.functional.realtime_malformed import HANDSHAKE
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.slow_model import write_slow_model
from tests.functional.test_client_gone import cpu_seconds, settled_cpu_seconds, wait_for_work
from tests.functional.test_faults import wait_until

pytestmark = pytest.mark.slow

COMPLETED = "conversation.item.input_audio_transcription.completed"
MINUTES = 8


def close_of(session: RealtimeClient) -> int:
    """The code with which the server ends it; nothing else comes."""
    with pytest.raises(ConnectionClosed) as end:
        session.receive()
    assert end.value.rcvd is not None
    return end.value.rcvd.code


def silent_client(server: GunicornServer) -> socket.socket:
    """One that opens a session and then reads nothing and answers nothing."""
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE_SECONDS)
    client.sendall(HANDSHAKE)
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def test_the_utterance_in_flight_is_answered_before_the_server_ends(start_server: StartServer) -> None:
    """And a client that doesn't answer keeps no server from ending."""
    server = start_server().wait_until_ready()
    with (
        silent_client(server),
        realtime(server.url) as busy,
        realtime(server.url) as speaking,
        realtime(server.url) as idle,
    ):
        for session in (busy, speaking):
            session.update(session_of())
            session.append(audio_of(FLAGSHIP))
        busy.send("input_audio_buffer.commit")
        busy.receive_until("input_audio_buffer.committed")
        server.send(signal.SIGTERM)
        assert busy.receive_until(COMPLETED)["transcript"] == FLAGSHIP_TEXT
        assert [close_of(session) for session in (busy, idle)] == [1012, 1012]
        while (event := next_or_none(speaking)) is not None:  # text from before the server ended
            assert event["type"].endswith(".delta")
    assert server.wait() == 0
    assert server.log.count("close_code=1012") == 4


def test_an_utterance_that_takes_too_long_is_cut_off(start_server: StartServer, tmp_path: Path) -> None:
    """The server ends by itself; its worker, which is in the middle of minutes of speech, is not killed."""
    server = start_server(WHISPER_MODEL=str(write_slow_model(tmp_path))).wait_until_ready()
    [worker] = server.workers
    with realtime(server.url) as session:
        session.update(session_of(format={"type": "audio/pcmu"}))
        session.append(audio_of(DATA / "minute.flac", "audio/pcmu") * MINUTES, 4_000_000)
        session.send("input_audio_buffer.commit")
        session.receive_until("conversation.item.done")
        wait_for_work(server, 1)
        server.send(signal.SIGTERM)
        assert close_of(session) == 1012
    assert server.wait() == 0
    assert not Path(f"/proc/{worker}").exists()
    assert server.log.count("close_code=1012") == 1
    assert [word for word in ("SIGKILL", "SIGABRT", "TIMEOUT", "Traceback") if word in server.log] == []


def next_or_none(session: RealtimeClient) -> dict[str, object] | None:
    try:
        return session.receive()
    except ConnectionClosed as end:
        assert end.rcvd is not None
        assert end.rcvd.code == 1012
        return None


def test_a_client_that_has_gone_gets_no_more_work_done(server: GunicornServer) -> None:
    """Counted in the worker's own seconds, so however busy the machine is."""
    minute = audio_of(DATA / "minute.flac")
    before = cpu_seconds(server)
    closed = server.log.count("close_code=1006")
    with realtime(server.url) as session:
        session.update(session_of())
        session.transcribe(minute)
    minute_seconds = cpu_seconds(server) - before
    with realtime(server.url) as session:
        session.update(session_of())
        session.append(minute * MINUTES, 4_000_000)
        session.send("input_audio_buffer.commit")
        session.receive_until("input_audio_buffer.committed")
        wait_for_work(server, minute_seconds / 2)
        session.connection._connection.socket.shutdown(socket.SHUT_RDWR)
        server.wait_for_log("close_code=1006", closed + 1)
        left = cpu_seconds(server)
        assert settled_cpu_seconds(server) - left < minute_seconds * MINUTES / 2
    assert "whisper_realtime_sessions 0.0" in server.get("/metrics").text


def test_a_client_is_pinged(server: GunicornServer) -> None:
    """One that answers stays; one that has stopped is noticed."""
    closed = server.log.count("close_code=1006")
    with websocket(server.port) as alive, silent_client(server) as silent:
        server.wait_for_log("close_code=1006", closed + 1)
        received = b"".join(iter(lambda: silent.recv(65_536), b""))
        assert received.endswith(b"\x89\x00")  # a ping was the last that it got
        assert json.loads(alive.recv(PATIENCE_SECONDS))["type"] == "session.created"
        alive.send('{"type": "input_audio_buffer.clear"}')
        assert "cleared" in str(alive.recv(PATIENCE_SECONDS))


def test_the_places_of_clients_that_have_gone_are_given_back(server: GunicornServer) -> None:
    """While nothing is sent and long before it would be pinged."""
    wait_until(lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "no other is open")
    opened = [websocket(server.port) for _ in range(20)]
    assert "whisper_realtime_sessions 20.0" in server.get("/metrics").text
    for client in opened:
        client.socket.shutdown(socket.SHUT_RDWR)
    wait_until(
        lambda: "whisper_realtime_sessions 0.0" in server.get("/metrics").text, "all places are given back"
    )
