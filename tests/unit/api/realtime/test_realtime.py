"""What sessions share, and who may open one."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from app.realtime.sessions import Limits, Sessions
from app.settings import Settings
from tests.unit.scripted import ScriptedRuntime

HANDSHAKE = {
    "Host": "speech.example:8000",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def made(**changes: object) -> Flask:
    runtime = ScriptedRuntime()
    runtime.settings = Settings(**changes)  # type: ignore[arg-type]
    return create_app(runtime.settings, runtime)


def test_the_limits_are_the_settings() -> None:
    app = made(
        realtime_sessions=5,
        realtime_sessions_per_key=4,
        realtime_sending=3,
        realtime_idle_seconds=2,
        realtime_session_seconds=1,
    )
    sessions: Sessions = app.extensions["realtime"]
    assert sessions.limits == Limits(5, 4, 3, 2, 1)


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    yield made(cors_origins=("https://intranet.example", "app://obsidian.md")).test_client()


def status(client: FlaskClient, **headers: str) -> int:
    """Of a handshake. Without Gunicorn nobody takes the connection over, so each answer is whole."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get("/v1/realtime?intent=transcription", headers={**HANDSHAKE, **changed}).status_code


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "https://intranet.example",
        "app://obsidian.md",
        "http://speech.example:8000",
        "https://speech.example:8000",
    ],
)
def test_pages_that_may_connect(client: FlaskClient, origin: str) -> None:
    assert status(client, Origin=origin) != 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "https://intranet.example.evil.example",
        "http://speech.example",
        "http://speech.example:8001",
        "http://speech.example:x",
        "speech.example:8000",
        "file://speech.example:8000",
        "http://",
    ],
)
def test_other_pages_may_not(client: FlaskClient, origin: str) -> None:
    answer = client.get("/v1/realtime", headers={**HANDSHAKE, "Origin": origin})
    assert answer.status_code == 403
    error = answer.json["error"]
    assert error["code"] == "origin_not_allowed"
    assert "WHISPER_CORS_ORIGINS" in error["message"]


@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("speech.example", "http://speech.example", True),
        ("speech.example", "https://speech.example", True),
        ("speech.example:443", "https://speech.example", True),
        ("speech.example:80", "https://speech.example", False),
        ("[::1]:8000", "http://[::1]:8000", True),
    ],
)
def test_the_servers_own_pages(client: FlaskClient, host: str, origin: str, own: bool) -> None:
    assert (status(client, Host=host, Origin=origin) != 403) == own


def test_what_is_no_handshake(client: FlaskClient) -> None:
    answer = client.get("/v1/realtime")
    assert answer.status_code == 426
    assert "WebSocket" in answer.json["error"]["message"]


def test_other_methods(client: FlaskClient) -> None:
    assert client.post("/v1/realtime").status_code == 405
