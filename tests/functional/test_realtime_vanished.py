"""Clients that vanish while their utterances are being transcribed give back all that they held."""

from collections.abc import Iterator
from contextlib import ExitStack
from socket import SHUT_RDWR

import pytest

from app.admission import ADMITTED
from app.realtime.sessions import MOST_HELD_SECONDS
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import RealtimeClient, audio_of, realtime, session_of
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.slow_model import write_slow_model
from tests.functional.test_faults import wait_until

pytestmark = pytest.mark.slow

TELEPHONE = "audio/pcmu"
BYTES_PER_SECOND = 8_000
LONG_SECONDS = 590
"""Nearly all that a session may hold."""
MANY = MOST_HELD_SECONDS // LONG_SECONDS


@pytest.fixture(scope="module")
def vanished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """As many sessions may send as there are permits; a model that nobody uses is unloaded at once."""
    folder = tmp_path_factory.mktemp("vanished")
    with GunicornServer(
        folder / "server.log",
        WHISPER_MODELS=f"slow={write_slow_model(folder)}",
        WHISPER_MODEL_IDLE_SECONDS="1",
        WHISPER_MAX_WAIT_SECONDS="3600",
        WHISPER_REALTIME_SENDING=str(ADMITTED),
    ) as running:
        yield running.wait_until_ready()


def vanish(session: RealtimeClient) -> None:
    session.connection._connection.socket.shutdown(SHUT_RDWR)


def are_over(server: GunicornServer) -> bool:
    return "whisper_realtime_sessions 0.0" in server.get("/metrics").text


def is_full(server: GunicornServer) -> bool:
    """Whether an upload is refused since there is no permit left."""
    answer = server.transcribe(FLAGSHIP)
    return answer.status_code == 503 and f"working on {ADMITTED} requests" in answer.text


def commit(session: RealtimeClient, audio: bytes) -> None:
    session.append(audio, len(audio))
    session.send("input_audio_buffer.commit")
    session.receive_until("input_audio_buffer.committed")


def test_models_and_permits_are_given_back(vanished: GunicornServer) -> None:
    """All permits are held, twice: the second time as well there is one as soon as one client has gone.

    A model that somebody holds is not unloaded.
    """
    minute = audio_of(DATA / "minute.flac", TELEPHONE)
    for times in (1, 2):
        with ExitStack() as held:
            sessions = [held.enter_context(realtime(vanished.url)) for _ in range(ADMITTED)]
            for session in sessions:
                session.update(session_of("slow", format={"type": TELEPHONE}))
            commit(sessions[0], minute)
            vanished.wait_for_log("Loaded slow", times)  # not all may wait for that
            for session in sessions[1:]:
                commit(session, minute)
            wait_until(lambda: is_full(vanished), "all permits are held")
            vanish(sessions.pop())
            wait_until(lambda: vanished.transcribe(FLAGSHIP).status_code == 200, "one has come back")
            assert vanished.log.count("Unloaded slow") == times - 1
            for session in sessions:
                vanish(session)
            vanished.wait_for_log("Unloaded slow", times)
            wait_until(lambda: are_over(vanished), "all sessions have ended")
    assert vanished.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "not committed"])
def test_the_audio_that_was_held_is_given_back(vanished: GunicornServer, commits: bool) -> None:
    """Twice as much as all sessions may hold, by and by: nothing is refused."""
    long = (audio_of(DATA / "minute.flac", TELEPHONE) * 10)[: LONG_SECONDS * BYTES_PER_SECOND]
    for _ in range(2):
        with ExitStack() as held:
            sessions = [held.enter_context(realtime(vanished.url)) for _ in range(MANY)]
            for session in sessions:
                session.update(session_of("slow", format={"type": TELEPHONE}))
                if commits:
                    commit(session, long)
                else:
                    session.append(long, len(long))
                    session.update(session_of("slow", format={"type": TELEPHONE}))
            for session in sessions:
                vanish(session)
            wait_until(lambda: are_over(vanished), "all sessions have ended")
