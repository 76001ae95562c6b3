"""stream=true from the form to the engine: what is sent, and what stops when nobody listens."""

import io
import json
import socket
import threading
import wave
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.admission import ADMITTED
from app.engines.interface import Window, WindowOptions, WindowResult, WordTiming
from app.runtime import Runtime
from app.server.client_socket import client_socket
from app.settings import Settings
from tests.openai_spec import conforming
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.unit.scripted import error_of

PATIENCE_SECONDS = 30
URL = "/v1/audio/transcriptions"
WINDOWS = 3


def answer(window: Window, options: WindowOptions) -> WindowResult:
    if options.temperature:
        raise AssertionError("no second try")
    number = window.seek // 3000
    return result(ts(0), *spell(f" {number} one."), ts(4), ts(4), *spell(f" {number} two."), ts(29))


@dataclass
class GatedEngine(ScriptedEngine):
    """Windows from the gated one on never finish."""

    gate: int = 99
    waits: threading.Event = field(default_factory=threading.Event)

    def submit(self, window: Window, options: WindowOptions) -> Future[WindowResult]:
        if len(self.decoded) < self.gate:
            return super().submit(window, options)
        self.decoded.append((window.seek, window.frames, options))
        self.waits.set()
        return Future()


@pytest.fixture
def engine() -> GatedEngine:
    return GatedEngine(answer)


@pytest.fixture
def runtime(engine: GatedEngine) -> Runtime:
    return Runtime(Settings(max_upload_mb=16), engine)


@pytest.fixture
def client(runtime: Runtime) -> FlaskClient:
    return create_app(runtime.settings, runtime).test_client()


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's and the server's end, as Gunicorn hands it over."""
    near, far = socket.socketpair()
    with near, client_socket(far, None) as ours:
        ours.setblocking(True)
        yield near, ours


def recording(channels: int) -> io.BytesIO:
    """As many bytes for any number of channels: few enough that the test client keeps them in memory."""
    file = io.BytesIO()
    with wave.open(file, "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(1)
        audio.setframerate(4_000)
        audio.writeframes(bytes(range(channels)) * (30 * WINDOWS * 4_000 // channels))
    file.seek(0)
    return file


def post(
    client: FlaskClient, environ: dict[str, Any] | None = None, channels: int = 1, **fields: str
) -> TestResponse:
    file = (recording(channels), "a.wav")
    data = {"model": "whisper-1", "stream": "true", "file": file, **fields}
    return client.post(URL, data=data, environ_overrides=environ or {})


def events_of(response: TestResponse) -> list[dict[str, Any]]:
    *frames, rest = response.text.split("\n\n")
    assert rest == ""
    events = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    return [conforming("transcription_stream_event", event) for event in events]


def assert_nothing_is_held(runtime: Runtime) -> None:
    assert runtime.admission.working.taken == 0
    assert runtime.transcriber.reader.held_audio.samples == 0


@pytest.mark.parametrize("form", ["json", "text", ""])
def test_the_deltas_are_the_text_of_the_whole_answer(client: FlaskClient, form: str) -> None:
    *deltas, done = events_of(post(client, response_format=form))
    whole = post(client, stream="false").json["text"]
    assert [event["type"] for event in deltas] == ["transcript.text.delta"] * (2 * WINDOWS)
    assert "".join(event["delta"] for event in deltas) == done["text"] == whole
    assert done["usage"]["input_token_details"] == {"text_tokens": 0, "audio_tokens": 900}
    assert "languages" not in done and "logprobs" not in done


def test_logprobs_and_languages(client: FlaskClient) -> None:
    *deltas, done = events_of(post(client, model="gpt-transcribe", **{"include[]": "logprobs"}))
    assert done["languages"] == [{"code": "en"}]
    tokens = [token for event in deltas for token in event["logprobs"]]
    assert done["logprobs"] == tokens
    assert "".join(token["token"] for token in tokens).strip() == done["text"]
    assert bytes(tokens[1]["bytes"]).decode() == "0"


def test_speakers_stream_by_segment(client: FlaskClient) -> None:
    *segments, done = events_of(post(client, channels=2, response_format="diarized_json"))
    assert [segment["id"] for segment in segments[:2]] == ["seg_001", "seg_002"]
    assert {segment["speaker"] for segment in segments} == {"A", "B"}
    assert done["text"].startswith("A: 0 one.\nB: 0 one.")
    whole = post(client, channels=2, response_format="diarized_json", stream="false").json
    assert (whole["segments"], whole["text"]) == (segments, done["text"])


@pytest.mark.parametrize("granularity", ["segment", "word"])
def test_verbose_json_streams_its_segments(
    client: FlaskClient, engine: GatedEngine, granularity: str
) -> None:
    engine.words = [WordTiming(" one", tuple(spell(" one")), 0.0, 0.5, 0.25)]
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": granularity}
    frames = post(client, **fields).text.split("\n\n")[:-1]
    *deltas, done = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    whole = post(client, stream="false", **fields).json
    assert {name: done[name] for name in whole} == whole
    assert done["type"] == "transcript.text.done"
    segments = [delta["segment"] for delta in deltas]
    words = [segment.pop("words", []) for segment in segments]
    assert "".join(delta["delta"] for delta in deltas) == done["text"]
    if granularity == "segment":
        assert segments == whole["segments"]
        assert not any(words)
    else:
        assert all(word.pop("probability") == 0.25 for group in words for word in group)
        assert [word for group in words for word in group] == whole["words"]


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_formats_that_cannot_stream(client: FlaskClient, form: str) -> None:
    response = post(client, response_format=form)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["param"], error["code"]) == ("response_format", "unsupported_value")
    assert error["message"] == (
        f"response_format '{form}' is not compatible with 'stream'. "
        "Use one of 'json', 'text', 'verbose_json', and 'diarized_json' instead."
    )


def test_what_is_no_audio_has_a_status_of_its_own(client: FlaskClient, runtime: Runtime) -> None:
    data = {"model": "whisper-1", "stream": "true", "file": (io.BytesIO(b"noise" * 99), "a.wav")}
    response = client.post(URL, data=data)
    assert response.status_code == 400
    assert error_of(response)["param"] == "file"
    assert_nothing_is_held(runtime)
    assert len(runtime.transcriber.resume_store) == 0


def test_a_full_server_has_a_status_of_its_own(client: FlaskClient, runtime: Runtime) -> None:
    with ExitStack() as held:
        for _ in range(ADMITTED):
            held.enter_context(runtime.admission.admit("127.0.0.1"))
        response = post(client)
    assert response.status_code == 503
    assert error_of(response)["type"] == "server_error"


def test_a_window_that_fails_late_is_an_event(
    client: FlaskClient, engine: GatedEngine, runtime: Runtime
) -> None:
    def failing(window: Window, options: WindowOptions) -> WindowResult:
        if window.seek:
            raise RuntimeError("/secret")
        return answer(window, options)

    engine.answer = failing
    *_, late = post(client).text.strip().split("\n\n")
    assert json.loads(late.removeprefix("data: "))["error"]["type"] == "server_error"
    assert "secret" not in late
    assert_nothing_is_held(runtime)


def test_a_permit_is_held_while_the_stream_lasts(
    client: FlaskClient, engine: GatedEngine, runtime: Runtime
) -> None:
    engine.gate = 1
    response = post(client)
    assert next(iter(response.response)).startswith(b"data: ")
    with ExitStack() as held:
        for number in range(ADMITTED - 1):
            held.enter_context(runtime.admission.admit(str(number)))
        assert post(client).status_code == 503
    response.close()
    assert_nothing_is_held(runtime)


def test_no_window_is_submitted_after_the_client_left(
    client: FlaskClient,
    engine: GatedEngine,
    runtime: Runtime,
    connection: tuple[socket.socket, socket.socket],
) -> None:
    near, far = connection
    engine.gate = 1
    response = post(client, {"gunicorn.socket": far})
    frames = iter(response.response)
    assert [b"0 one." in next(frames), b"0 two." in next(frames)] == [True, True]
    assert engine.waits.wait(PATIENCE_SECONDS)
    near.close()
    assert list(frames) == []
    assert [seek for seek, *_ in engine.decoded] == [0, 3000]
    assert all(opened.closed for opened in engine.recordings)
    response.close()
    assert_nothing_is_held(runtime)


def test_a_client_that_leaves_before_the_first_event(
    client: FlaskClient,
    engine: GatedEngine,
    runtime: Runtime,
    connection: tuple[socket.socket, socket.socket],
) -> None:
    near, far = connection
    engine.gate = 0
    leaving = threading.Thread(target=lambda: engine.waits.wait(PATIENCE_SECONDS) and near.close())
    leaving.start()
    response = post(client, {"gunicorn.socket": far})
    leaving.join()
    assert response.status_code == 499
    assert len(engine.decoded) == 1
    assert all(opened.closed for opened in engine.recordings)
    assert_nothing_is_held(runtime)


def test_an_answer_nobody_reads_stops_its_work(
    client: FlaskClient, engine: GatedEngine, runtime: Runtime
) -> None:
    """As a server does whose write fails: it closes the answer. No socket is there to be asked."""
    engine.gate = 1
    response = post(client)
    assert engine.waits.wait(PATIENCE_SECONDS)
    response.close()
    assert len(engine.decoded) == 2
    assert all(opened.closed for opened in engine.recordings)
    assert_nothing_is_held(runtime)
