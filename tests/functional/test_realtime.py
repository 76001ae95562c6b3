"""Realtime transcription through OpenAI's SDK: what is said in a session, and what is heard."""

import asyncio
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.functional.checked_clients import async_openai_client
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.realtime_client import (
    ENCODINGS,
    EVENTS,
    INTENT,
    TRANSCRIPTION,
    RealtimeClient,
    answer_for,
    audio_of,
    realtime,
    session_of,
)
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.readme import REALTIME, blocks

SPOKEN = b64encode(bytes(9600)).decode()
"""0.2 seconds of silence."""


@pytest.fixture
def session(server: GunicornServer) -> Iterator[RealtimeClient]:
    with realtime(server.url) as opened:
        yield opened


def test_an_utterance_that_is_committed_is_transcribed(session: RealtimeClient) -> None:
    """Words may be sent before the commit, if the model is quicker than the client."""
    session.update(session_of())
    completed = session.transcribe(audio_of(FLAGSHIP))
    assert completed["transcript"] == FLAGSHIP_TEXT
    delta = f"{TRANSCRIPTION}.delta"
    assert delta in session.types()
    assert [kind for kind in session.types() if kind != delta] == [
        "session.created",
        "session.updated",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.completed",
    ]


def test_items_keep_their_ids_and_follow_each_other(session: RealtimeClient) -> None:
    session.update(session_of())
    first, second = (session.transcribe(audio_of(FLAGSHIP)) for _ in range(2))
    named = [event for event in session.events if "item_id" in event or "item" in event]
    ids = [event.get("item_id") or event["item"]["id"] for event in named]
    assert [item_id for item_id, _ in groupby(ids)] == [first["item_id"], second["item_id"]]
    chain = [(event["item_id"], event.get("previous_item_id")) for event in committed(session)]
    assert chain == [(first["item_id"], None), (second["item_id"], first["item_id"])]


def committed(session: RealtimeClient) -> list[dict[str, Any]]:
    return [event for event in session.events if event["type"] == "input_audio_buffer.committed"]


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "gpt-realtime-whisper"])
@pytest.mark.parametrize("format", ENCODINGS)
def test_completed_is_what_the_same_file_gives(
    server: GunicornServer, session: RealtimeClient, tmp_path: Path, format: str, model: str
) -> None:
    told = {"prompt": "Weather and seas.", "language": "en"}
    kind = {"type": format}
    opened = session_of(format=kind, transcription={"model": model, **told})
    session.update({**opened, "include": ["item.input_audio_transcription.logprobs"]})
    completed = session.transcribe(audio_of(DATA / "numbers.wav", format))
    file = convert(
        DATA / "numbers.wav", tmp_path / "same.wav", "-c:a", CODECS[format], *ENCODINGS[format][2:]
    )
    answer = server.transcribe(file, **{**told, "model": "gpt-4o-transcribe", "include[]": "logprobs"}).json()
    assert completed["transcript"] == answer["text"] != ""
    assert completed["logprobs"] == answer["logprobs"] != []
    assert completed["usage"] == answer["usage"]


@pytest.mark.parametrize(
    ("recording", "seconds", "told"),
    [
        pytest.param("numbers.wav", 10, {"prompt": "Weather and seas."}, id="language and prompt"),
        pytest.param("german.wav", 10, {"prompt": "Wetter und Meer."}, id="another language"),
        pytest.param("minute.flac", 40, {"language": "en"}, id="over 30 s"),
        pytest.param("minute.flac", 40, {"prompt": "The sun."}, id="over 30 s, language detected"),
    ],
)
def test_completed_is_what_a_request_gives(
    server: GunicornServer, session: RealtimeClient, recording: str, seconds: int, told: dict[str, str]
) -> None:
    audio = audio_of(DATA / recording)[: 48_000 * seconds]
    assert completed_of(session, audio, **told) == answered_of(server, audio, **told)


@pytest.mark.slow
def test_completed_has_the_context_of_requests(
    server: GunicornServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    audio = audio_of(DATA / "numbers.wav")
    log = tmp_path_factory.mktemp("short") / "server.log"
    with (
        GunicornServer(log, WHISPER_CONTEXT="short") as short,
        realtime(short.wait_until_ready().url) as session,
    ):
        completed = completed_of(session, audio, language="en")
        assert completed == answered_of(short, audio, language="en")
    full = answered_of(server, audio, language="en")
    assert completed["transcript"] == full["transcript"]
    assert completed["logprobs"] != full["logprobs"]


def completed_of(session: RealtimeClient, audio: bytes, **told: str) -> dict[str, Any]:
    """An utterance's text, the log probabilities of its tokens, and its usage."""
    opened = session_of(transcription={"model": "gpt-4o-transcribe", **told})
    session.update({**opened, "include": ["item.input_audio_transcription.logprobs"]})
    completed = session.transcribe(audio)
    return {name: completed[name] for name in ("transcript", "logprobs", "usage")}


def answered_of(server: GunicornServer, audio: bytes, **told: str) -> dict[str, Any]:
    """The same of a request with the utterance as a file; there is some text."""
    answer = answer_for(server, audio, **{"model": "gpt-4o-transcribe", "include[]": "logprobs", **told})
    assert answer["text"]
    return {"transcript": answer["text"], "logprobs": answer["logprobs"], "usage": answer["usage"]}


CODECS = {"audio/pcm": "pcm_s16le", "audio/pcmu": "pcm_mulaw", "audio/pcma": "pcm_alaw"}


def test_the_program_of_the_documentation(server: GunicornServer, tmp_path: Path) -> None:
    [program] = blocks("python", REALTIME)
    (tmp_path / "speech.pcm").write_bytes(audio_of(FLAGSHIP))
    finished = subprocess.run(
        [sys.executable, "-c", program.replace(":8000", f":{server.port}")],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert finished.stdout.splitlines() == [FLAGSHIP_TEXT, FLAGSHIP_TEXT]


def test_the_asynchronous_client(server: GunicornServer) -> None:
    async def talk() -> str:
        async with (
            async_openai_client(server.url) as client,
            client.realtime.connect(extra_query=INTENT) as connection,
        ):
            await connection.session.update(session=session_of())  # type: ignore[arg-type]
            audio = b64encode(audio_of(FLAGSHIP)).decode()
            await connection.input_audio_buffer.append(audio=audio)
            await connection.input_audio_buffer.commit()
            while True:
                data = await connection.recv_bytes()
                event = EVENTS.validate_json(data, strict=True)
                if event.type == f"{TRANSCRIPTION}.completed":
                    return str(event.transcript)

    assert asyncio.run(talk()) == FLAGSHIP_TEXT
