"""Open WebUI's speech-to-text in its two forms, its second try and its strict reader."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe

URL = "/v1/audio/transcriptions"
TEXT = "text/plain; charset=utf-8"
HEADERS = {"Authorization": "Bearer dummy", "X-OpenWebUI-User-Name": "Ann%20Example"}


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


@pytest.fixture(scope="module")
def webm() -> bytes:
    """What a browser's recorder gives: no length in the header."""
    return convert_to_pipe(FLAGSHIP, "-c:a", "libopus", "-b:a", "96k", "-f", "webm", "-live", "1")


def as_form(audio: bytes, language: str | None) -> dict[str, Any]:
    """aiohttp's multipart: every part with a type, the file by the name it was stored under."""
    parts = {"model": (None, "whisper-1", TEXT)}
    if language:
        parts["language"] = (None, language, TEXT)
    return {"files": {**parts, "file": ("3f0c.webm", audio, "application/octet-stream")}}


def as_json(audio: bytes, language: str | None) -> dict[str, Any]:
    """With AUDIO_STT_OPENAI_API_REQUEST_FORMAT=json."""
    spoken = {"data": b64encode(audio).decode(), "format": "webm"}
    body = {"model": "whisper-1", "input_audio": spoken}
    return {"json": body | {"language": language} if language else body}


def transcribed(
    session: requests.Session, server: GunicornServer, form: Any, audio: bytes, language: str | None = None
) -> dict[str, Any]:
    """Its steps: once more without the language if that fails, then only JSON that says it is JSON."""
    for tried in (language, None):
        request = form(audio, tried)
        answer = session.post(server.url + URL, headers=HEADERS, timeout=PATIENCE_SECONDS, **request)
        if answer.status_code == 200:
            break
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    body: dict[str, Any] = answer.json()
    return body


FORMS = pytest.mark.parametrize("form", [as_form, as_json])


@FORMS
@pytest.mark.parametrize("language", [None, "en", "xx-such-language"])
def test_text(
    session: requests.Session, server: GunicornServer, webm: bytes, form: Any, language: str | None
) -> None:
    assert transcribed(session, server, form, webm, language)["text"] == FLAGSHIP_TEXT


@FORMS
def test_error_message_is_shown(session: requests.Session, server: GunicornServer, form: Any) -> None:
    error = transcribed(session, server, form, b"no audio" * 99, "en")["error"]
    assert "could not be decoded" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "whisper-1"}, "input_audio"),
        ({"model": "whisper-1", "input_audio": {"format": "webm"}}, "input_audio"),
        ({"model": "whisper-1", "input_audio": {"data": "no base64!", "format": "webm"}}, "input_audio"),
        ({"model": "whisper-1", "input_audio": "UklGRg=="}, "input_audio"),
        ({"input_audio": {"data": "UklGRg==", "format": "wav"}}, None),
    ],
    ids=["no audio", "no data", "not base64", "text", "no model"],
)
def test_bad_json(
    session: requests.Session, server: GunicornServer, body: dict[str, Any], param: str | None
) -> None:
    answer = session.post(server.url + URL, json=body, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").partition(".")[0] == (param or "")
