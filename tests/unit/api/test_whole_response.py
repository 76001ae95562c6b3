"""Blanks before a JSON answer that takes long, for gateways that cut silent connections."""

import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from threading import Event
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api import whole_response
from app.engines.interface import Window, WindowOptions, WindowResult
from app.errors import EngineFailure
from app.runtime import Runtime
from app.settings import Settings
from tests.functional.recordings import silence
from tests.scripted_engine import ScriptedEngine, done, result, spell, ts

PATIENCE_SECONDS = 60
URL = "/v1/audio/transcriptions"


class SlowEngine(ScriptedEngine):
    """Its only window, and its language, wait for `released`; then it says `Hello.` or fails."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.released = Event()
        self.fails = False

    def detect_language(self, window: Window) -> Future[dict[str, float]]:
        return done(lambda: self._wait() or self.languages)

    def _answer(self, window: Window, options: WindowOptions) -> WindowResult:
        self._wait()
        return result(ts(0), *spell(" Hello."), ts(1))

    def _wait(self) -> None:
        assert self.released.wait(PATIENCE_SECONDS)
        if self.fails:
            raise EngineFailure("The model failed.")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> SlowEngine:
    """A second of waiting for it takes a twentieth of one until it is released."""
    engine = SlowEngine()

    def hurried(futures: Iterable[Future[str]], seconds: float | None = None) -> Any:
        return wait(futures, seconds / 20 if seconds and not engine.released.is_set() else seconds)

    monkeypatch.setattr(whole_response, "wait", hurried)
    return engine


@pytest.fixture
def runtime(engine: SlowEngine) -> Runtime:
    return Runtime(Settings(keepalive_seconds=1, speech_floor=0.0), engine)


@pytest.fixture
def post(runtime: Runtime) -> Callable[..., TestResponse]:
    client: FlaskClient = create_app(runtime.settings, runtime).test_client()

    def post(**fields: str) -> TestResponse:
        data = {"model": "whisper-1", "language": "en", "file": (io.BytesIO(silence(1)), "a.wav"), **fields}
        return client.post(URL, data=data)

    return post


def pieces_of(response: TestResponse) -> Iterator[bytes]:
    assert response.status_code == 200
    assert response.content_length is None
    return iter(response.iter_encoded())


def released_after_a_blank(engine: SlowEngine, response: TestResponse) -> Any:
    pieces = pieces_of(response)
    assert next(pieces) == b" "
    assert next(pieces) == b" "
    engine.released.set()
    body = b"".join(pieces)
    response.close()
    return json.loads(body)


@pytest.mark.parametrize("response_format", ["json", "verbose_json"])
def test_blanks_come_before_the_answer(
    engine: SlowEngine, runtime: Runtime, post: Callable[..., TestResponse], response_format: str
) -> None:
    body = released_after_a_blank(engine, post(response_format=response_format))
    assert body["text"] == "Hello."
    assert runtime.admission.working.taken == 0


def test_a_failure_after_a_blank_is_openais_error_body(
    engine: SlowEngine, runtime: Runtime, post: Callable[..., TestResponse], caplog: pytest.LogCaptureFixture
) -> None:
    engine.fails = True
    caplog.set_level(logging.INFO, "app.api.accounting")
    body = released_after_a_blank(engine, post())
    assert body["error"]["type"] == "server_error"
    assert runtime.admission.working.taken == 0
    [line] = [record for record in caplog.records if record.name == "app.api.accounting"]
    assert vars(line)["fields"]["status"] == 500


@pytest.mark.parametrize(
    ("url", "part", "key"),
    [("/inference", "file", "error"), ("/detect-language", "audio_file", "detail")],
)
def test_a_late_failure_has_the_shape_of_its_endpoint(
    engine: SlowEngine, runtime: Runtime, url: str, part: str, key: str
) -> None:
    client = create_app(runtime.settings, runtime).test_client()
    engine.fails = True
    engine.released.set()
    in_time = client.post(url, data={part: (io.BytesIO(silence(1)), "a.wav")})
    assert in_time.status_code == 500
    engine.released.clear()
    late = client.post(url, data={part: (io.BytesIO(silence(1)), "a.wav")})
    assert released_after_a_blank(engine, late) == in_time.json == {key: "The model failed."}


def test_what_fails_in_time_keeps_its_status(engine: SlowEngine, post: Callable[..., TestResponse]) -> None:
    engine.released.set()
    engine.fails = True
    assert post().status_code == 500


def test_what_is_made_in_time_has_a_length(engine: SlowEngine, post: Callable[..., TestResponse]) -> None:
    engine.released.set()
    response = post()
    assert response.content_length == len(response.data)
    assert response.json["text"] == "Hello."


@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
def test_only_json_takes_blanks(
    engine: SlowEngine, post: Callable[..., TestResponse], response_format: str
) -> None:
    engine.released.set()
    response = post(response_format=response_format)
    assert response.content_length == len(response.data)
    assert not response.data.startswith(b" ")


def test_whoever_leaves_at_a_blank_gets_no_more_work_done(
    engine: SlowEngine, runtime: Runtime, post: Callable[..., TestResponse]
) -> None:
    response = post()
    assert next(pieces_of(response)) == b" "
    engine.released.set()
    response.close()
    assert runtime.admission.working.taken == 0
