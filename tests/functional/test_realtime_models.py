"""Realtime sessions of a server with several models, which are loaded and unloaded meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from benchmarks.random_weights import TINY_TURBO, write
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.realtime_client import TRANSCRIPTION, answer_for, audio_of, realtime, session_of
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow

BYTES_PER_SECOND = 48_000
IDLE_SECONDS = 1


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One model is loaded at a time, and unloaded after a second without use."""
    folder = tmp_path_factory.mktemp("several")
    for name in ("random.pt", "gone.pt"):
        write(folder / name, TINY_TURBO, tokens=5)
    with GunicornServer(
        folder / "server.log",
        WHISPER_MODELS=f"other={folder / 'random.pt'},gpt-realtime-whisper=other,gone={folder / 'gone.pt'}",
        WHISPER_MODELS_LOADED="1",
        WHISPER_MODEL_IDLE_SECONDS=str(IDLE_SECONDS),
    ) as running:
        running.wait_until_ready()
        (folder / "gone.pt").unlink()
        yield running


def test_an_open_session_keeps_no_model(several: GunicornServer) -> None:
    spoken = audio_of(FLAGSHIP)
    with realtime(several.url) as session:
        session.update(session_of())
        for times in (1, 2):
            unloaded = several.log.count("Unloaded demo")
            assert session.transcribe(spoken)["transcript"] == FLAGSHIP_TEXT
            several.wait_for_log("Unloaded demo", unloaded + 1)
            assert len([event for event in session.events if event["type"].endswith("completed")]) == times


def unload(server: GunicornServer, name: str) -> int:
    return requests.delete(f"{server.url}/api/ps/{name}", timeout=PATIENCE_SECONDS).status_code


def test_an_utterance_keeps_its_model_until_it_is_answered(several: GunicornServer) -> None:
    """Neither who unloads it nor who needs its room gets it, nor does its time run out."""
    spoken = audio_of(DATA / "minute.flac")[: 10 * BYTES_PER_SECOND]
    with realtime(several.url) as session, ThreadPoolExecutor(1) as others:
        session.update(session_of())
        session.append(spoken)
        session.receive_until(f"{TRANSCRIPTION}.delta")  # it has its model, and is not committed
        unloaded = several.log.count("Unloaded demo")
        other = others.submit(several.transcribe, FLAGSHIP, model="other")
        while session.receive_within(2 * IDLE_SECONDS):
            pass
        assert unload(several, "demo") == 409
        assert several.log.count("Unloaded demo") == unloaded
        session.send("input_audio_buffer.commit")
        assert session.receive_until(f"{TRANSCRIPTION}.completed")["transcript"].startswith("The sun rises")
        assert other.result(PATIENCE_SECONDS).status_code == 200
        assert several.log.count("Unloaded demo") == unloaded + 1
        assert unload(several, "demo") == 404


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


def test_an_utterance_fails_whose_model_has_gone(several: GunicornServer) -> None:
    """Its items are told apart, no path is told, and the session goes on."""
    spoken = audio_of(FLAGSHIP)
    with realtime(several.url) as session:
        session.update(session_of("gone"))
        for _ in range(2):
            session.append(spoken)
            session.send("input_audio_buffer.commit")
            item_id = session.receive_until("input_audio_buffer.committed")["item_id"]
            failed = session.receive_until(f"{TRANSCRIPTION}.failed")
            assert (failed["item_id"], failed["content_index"]) == (item_id, 0)
            assert "The model 'gone'" in failed["error"]["message"]
            assert ".pt" not in failed["error"]["message"]
        session.update(session_of("whisper-1"))
        assert session.transcribe(spoken)["transcript"] == FLAGSHIP_TEXT
