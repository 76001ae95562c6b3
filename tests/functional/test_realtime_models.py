"""Realtime sessions of a server with several models, which are loaded and unloaded meanwhile."""

from collections.abc import Iterator

import pytest

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import answer_for, audio_of, realtime, session_of
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One model is loaded at a time, and unloaded after a second without use."""
    folder = tmp_path_factory.mktemp("several")
    write(folder / "random.pt", TINY_TURBO, tokens=5)
    with GunicornServer(
        folder / "server.log",
        WHISPER_MODELS=f"other={folder / 'random.pt'},gpt-realtime-whisper=other",
        WHISPER_MODELS_LOADED="1",
        WHISPER_MODEL_IDLE_SECONDS="1",
    ) as running:
        yield running.wait_until_ready()


def test_an_open_session_keeps_no_model(several: GunicornServer) -> None:
    spoken = audio_of(FLAGSHIP)
    with realtime(several.url) as session:
        session.update(session_of())
        for times in (1, 2):
            unloaded = several.log.count("Unloaded demo")
            assert session.transcribe(spoken)["transcript"] == FLAGSHIP_TEXT
            several.wait_for_log("Unloaded demo", unloaded + 1)
            assert len([event for event in session.events if event["type"].endswith("completed")]) == times


def test_a_session_may_name_any_model(several: GunicornServer) -> None:
    spoken = audio_of(FLAGSHIP)
    text = answer_for(several, spoken, model="other")["text"]
    assert text != FLAGSHIP_TEXT
    with realtime(several.url) as first, realtime(several.url) as second:
        first.update(session_of())
        second.update(session_of("gpt-realtime-whisper"))
        for _ in range(2):
            assert first.transcribe(spoken)["transcript"] == FLAGSHIP_TEXT
            assert second.transcribe(spoken)["transcript"] == text


def test_the_model_of_an_utterance_is_the_one_named_last(several: GunicornServer) -> None:
    spoken = audio_of(FLAGSHIP)
    text = answer_for(several, spoken, model="other")["text"]
    with realtime(several.url) as session:
        session.update(session_of("other"))
        assert session.transcribe(spoken)["transcript"] == text
        session.append(spoken)
        session.update(session_of("whisper-1"))
        session.send("input_audio_buffer.commit")
        completed = session.receive_until("conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == FLAGSHIP_TEXT
