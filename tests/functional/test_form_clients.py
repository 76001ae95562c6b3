"""Clients whose whole talk is one form: n8n, Home Assistant's custom component, Obsidian's plugins."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe

Part = tuple[str, tuple[str | None, str | bytes] | tuple[str | None, str | bytes, str]]


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


@pytest.fixture(scope="module")
def webm() -> bytes:
    return convert_to_pipe(FLAGSHIP, "-c:a", "libopus", "-b:a", "96k", "-f", "webm", "-live", "1")


def send(
    session: requests.Session, server: GunicornServer, parts: list[Part], path: str = "transcriptions"
) -> Any:
    """The parsed answer to a form whose parts go out in this order."""
    url = f"{server.url}/v1/audio/{path}"
    answer = session.post(url, files=parts, headers={"Authorization": "Bearer x"}, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fields(**values: str) -> list[Part]:
    return [(name, (None, value)) for name, value in values.items()]


@pytest.mark.parametrize("options", [{}, {"language": "en"}, {"language": "en", "temperature": "0.2"}])
def test_n8n_transcription(
    session: requests.Session, server: GunicornServer, webm: bytes, options: dict[str, str]
) -> None:
    file: Part = ("file", ("data.webm", webm, "audio/webm"))
    assert send(session, server, [*fields(model="whisper-1", **options), file])["text"] == FLAGSHIP_TEXT


def test_n8n_translation(session: requests.Session, server: GunicornServer) -> None:
    file: Part = ("file", ("data", (DATA / "german.wav").read_bytes(), "audio/wav"))
    answer = send(session, server, [*fields(model="whisper-1"), file], "translations")
    assert answer["text"] == EXPECTED["german.wav"]["translation"]


def test_home_assistant(session: requests.Session, server: GunicornServer) -> None:
    asked = fields(model="whisper-1", language="en", temperature="0", prompt="")
    file: Part = ("file", ("audio.wav", FLAGSHIP.read_bytes(), "audio/wav"))
    assert send(session, server, [file, *asked])["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("language", ["", "auto", "en"])
def test_obsidian_whisper(
    session: requests.Session, server: GunicornServer, webm: bytes, language: str
) -> None:
    asked = fields(model="whisper-1", language=language, prompt="", temperature="0", response_format="json")
    file: Part = ("file", ("2026-11-22.webm", webm, "audio/webm"))
    assert send(session, server, [file, *asked])["text"] == FLAGSHIP_TEXT


def test_obsidian_plugin_that_wants_segments(
    session: requests.Session, server: GunicornServer, webm: bytes
) -> None:
    asked = fields(model="whisper-1", response_format="verbose_json", timestamp_granularities="segment")
    file: Part = ("file", ("audio.webm", webm, "audio/webm"))
    assert [part["text"] for part in send(session, server, [file, *asked])["segments"]] == [
        f" {FLAGSHIP_TEXT}"
    ]
