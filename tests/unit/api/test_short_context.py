"""Who asks for a short context, who gets one, and what the answer says about it."""

import io
from base64 import b64encode
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from app import create_app
from app.engines.interface import Window, WindowOptions, WindowResult
from app.runtime import Lease, Runtime
from app.settings import Settings
from tests.functional.recordings import silence
from tests.scripted_engine import ScriptedEngine, result, spell, ts
from tests.unit.scripted import error_of

NOTICE = "short audio context, no longer exact"
RATE = 4_000
"""Of small files: werkzeug's client leaves the files open that it makes of large ones."""
Post = Callable[..., TestResponse]


def hello(window: Window, options: WindowOptions) -> WindowResult:
    return result(ts(0), *spell(" Hello."), ts(1))


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(hello)


def poster(engine: ScriptedEngine, settings: Settings) -> Post:
    client = create_app(settings, Runtime(settings, engine)).test_client()

    def post(path: str = "/v1/audio/transcriptions", seconds: float = 3, **fields: str) -> TestResponse:
        part = "audio_file" if path in ("/asr", "/detect-language") else "file"
        audio = io.BytesIO(silence(seconds, RATE)), "a.wav"
        form = {"model": "whisper-1", "language": "en", **fields, part: audio}
        return client.post(path, data=form, buffered=True)

    return post


@pytest.fixture
def post(engine: ScriptedEngine) -> Post:
    return poster(engine, Settings(speech_floor=0.0))


@pytest.fixture
def post_short(engine: ScriptedEngine) -> Post:
    """To a server whose context is short unless a request asks for another."""
    return poster(engine, Settings(speech_floor=0.0, context="short"))


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_a_request_may_ask_for_it(post: Post, engine: ScriptedEngine, path: str) -> None:
    answer = post(path, audio_context="short")
    assert answer.json["text"] == "Hello."
    assert answer.headers["x-model-notice"] == NOTICE
    assert engine.calls == [("submit", 384)]


@pytest.mark.parametrize("fields", [{}, {"audio_context": ""}, {"audio_context": "full"}])
def test_without_it_nothing_is_short(post: Post, engine: ScriptedEngine, fields: dict[str, str]) -> None:
    for stream in ("false", "true"):
        answer = post(stream=stream, **fields)
        assert answer.text
        assert "x-model-notice" not in answer.headers
    assert engine.calls == [("submit", 1500)] * 2


@pytest.mark.parametrize("value", ["long", "SHORT", "1"])
def test_another_value_is_refused(post: Post, engine: ScriptedEngine, value: str) -> None:
    answer = post(audio_context=value)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["param"], error["code"]) == ("audio_context", "invalid_value")
    assert "'full' and 'short'" in (error["message"] or "")
    assert engine.calls == []


def test_an_answer_says_so_only_where_it_was_used(post: Post) -> None:
    assert "x-model-notice" not in post(audio_context="short", seconds=29).headers


def test_not_where_the_text_is_of_the_window_in_full(post: Post, engine: ScriptedEngine) -> None:
    engine.answer = lambda window, options: (
        result(1, avg_logprob=-2.0) if window.is_short else hello(window, options)
    )
    answer = post(audio_context="short")
    assert answer.json["text"] == "Hello."
    assert "x-model-notice" not in answer.headers
    assert engine.calls == [("submit", 384), ("submit", 1500)]


def test_a_stream_says_so_where_it_may_be_used(post: Post, engine: ScriptedEngine) -> None:
    """Its headers are sent before the last window is decoded."""
    answer = post(audio_context="short", seconds=33, stream="true")
    assert answer.headers["x-model-notice"] == NOTICE
    assert answer.text.count('"delta"') == 2
    assert engine.calls == [("submit", 1500), ("submit", 384)]


def test_it_is_told_beside_what_is_told_of_the_model(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lease, "notice", "a toy")
    assert post(audio_context="short").headers["x-model-notice"] == f"a toy; {NOTICE}"
    assert post().headers["x-model-notice"] == "a toy"


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/asr", "/inference"])
def test_a_server_may_be_set_to_it(post_short: Post, engine: ScriptedEngine, path: str) -> None:
    assert post_short(path).headers["x-model-notice"] == NOTICE
    assert engine.calls[-1] == ("submit", 384)


def test_and_a_request_may_then_ask_for_all(post_short: Post, engine: ScriptedEngine) -> None:
    assert "x-model-notice" not in post_short(audio_context="full").headers
    assert engine.calls == [("submit", 1500)]


def test_nobody_detects_a_language_alone_in_it(post_short: Post, engine: ScriptedEngine) -> None:
    assert "x-model-notice" not in post_short("/detect-language").headers
    assert engine.calls == [("detect_language", 1500)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_has_the_servers(engine: ScriptedEngine, stream: bool) -> None:
    for context, notice in (("full", None), ("short", NOTICE)):
        settings = Settings(speech_floor=0.0, context=context)
        client = create_app(settings, Runtime(settings, engine)).test_client()
        audio = {"data": b64encode(silence(3, RATE)).decode(), "format": "wav"}
        messages = [{"role": "user", "content": [{"type": "input_audio", "input_audio": audio}]}]
        body = {"model": "gpt-4o-audio-preview", "messages": messages, "stream": stream}
        answer = client.post("/v1/chat/completions", json=body, buffered=True)
        assert "Hello." in answer.text
        assert answer.headers.get("x-model-notice") == notice


def test_the_list_of_models_tells(engine: ScriptedEngine) -> None:
    for context, notice in (("full", None), ("short", NOTICE)):
        settings = Settings(context=context)
        client = create_app(settings, Runtime(settings, engine)).test_client()
        models = client.get("/v1/models").json["data"]
        assert {model.get("notice") for model in models} == {notice}
