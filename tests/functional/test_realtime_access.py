"""Who may open a realtime session: keys, client secrets, browsers and their pages."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from openai import OpenAI
from websockets.exceptions import InvalidStatus

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.realtime_client import INTENT, audio_of, realtime, session_of, websocket
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

pytestmark = pytest.mark.slow

KEY = "sk-one-of-the-keys-of-this-server"
ADMIN_KEY = "sk-an-admin-key-of-this-server"
SIGNING = "0123456789abcdef" * 4
PAGE = "https://intranet.example"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("keyed") / "server.log"
    keys = {"WHISPER_API_KEYS": KEY, "WHISPER_ADMIN_KEYS": ADMIN_KEY}
    with GunicornServer(log, WHISPER_CORS_ORIGINS=PAGE, **keys) as running:
        yield running.wait_until_ready()


def secret_of(server: GunicornServer, **fields: object) -> str:
    url = f"{server.url}/v1/realtime/client_secrets"
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = requests.post(url, json=fields, headers=headers, timeout=PATIENCE_SECONDS)
    return str(answer.json()["value"])


@pytest.mark.parametrize("key", [None, "sk-wrong", "ek_wrong"])
def test_without_a_right_key_it_is_refused(keyed: GunicornServer, key: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(keyed.port, key)
    assert refused.value.response.status_code == 401
    assert b'"error"' in (refused.value.response.body or b"")


def test_the_key_of_a_browser_is_a_subprotocol(keyed: GunicornServer) -> None:
    with websocket(keyed.port, KEY) as socket:
        assert socket.subprotocol == "realtime"
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))


def test_a_client_secret_opens_sessions(keyed: GunicornServer) -> None:
    secret = secret_of(keyed, session=session_of())
    for _ in range(2):
        with realtime(keyed.url, INTENT, api_key=secret) as session:
            assert session.events[0]["session"]["audio"]["input"]["turn_detection"] is None
            assert session.transcribe(audio_of(FLAGSHIP))["transcript"] == FLAGSHIP_TEXT


def test_the_sdk_creates_client_secrets(keyed: GunicornServer) -> None:
    with OpenAI(base_url=f"{keyed.url}/v1", api_key=KEY, _strict_response_validation=True) as client:
        secret = client.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 60},
            session=session_of("gpt-4o-transcribe"),  # type: ignore[arg-type]
        )
    with websocket(keyed.port, secret.value) as socket:
        session = json.loads(socket.recv(PATIENCE_SECONDS))["session"]
        assert session["audio"]["input"]["transcription"] == {"model": "gpt-4o-transcribe"}


def test_other_workers_know_a_client_secret(keyed: GunicornServer) -> None:
    secret, served = secret_of(keyed), keyed.log.count("Serving ")
    os.kill(keyed.workers[0], signal.SIGKILL)
    keyed.wait_for_log("Serving ", served + 1)
    with websocket(keyed.port, secret) as socket:
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))


def test_instances_with_one_secret_know_each_others_client_secrets(
    keyed: GunicornServer, start_server: StartServer, tmp_path: Path
) -> None:
    signing = tmp_path / "secret"
    signing.write_text(SIGNING)
    settings = {"WHISPER_API_KEYS": KEY, "WHISPER_REALTIME_SECRET": f"@{signing}"}
    first, second = (start_server(**settings).wait_until_ready() for _ in range(2))
    for made_by, other in ((first, second), (second, first)):
        with websocket(other.port, secret_of(made_by)) as socket:
            assert "session.created" in str(socket.recv(PATIENCE_SECONDS))
    with pytest.raises(InvalidStatus) as refused:
        websocket(first.port, secret_of(keyed))
    assert refused.value.response.status_code == 401
    assert SIGNING not in first.log


@pytest.mark.parametrize(
    "headers", [{"api-key": KEY}, {"Authorization": f"Bearer {ADMIN_KEY}"}], ids=["Azure", "admin"]
)
def test_other_ways_to_send_a_key(keyed: GunicornServer, headers: dict[str, str]) -> None:
    with websocket(keyed.port, **headers) as socket:
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))


def test_a_client_secret_opens_nothing_else(keyed: GunicornServer) -> None:
    headers = {"Authorization": f"Bearer {secret_of(keyed)}"}
    url = f"{keyed.url}/v1/realtime/client_secrets"
    for answer in (
        requests.get(f"{keyed.url}/v1/models", headers=headers, timeout=PATIENCE_SECONDS),
        requests.post(url, json={}, headers=headers, timeout=PATIENCE_SECONDS),
    ):
        assert answer.status_code == 401


@pytest.mark.parametrize("origin", [PAGE, "{own}"])
def test_pages_that_may_connect(keyed: GunicornServer, origin: str) -> None:
    own = f"http://127.0.0.1:{keyed.port}"
    with websocket(keyed.port, KEY, origin.format(own=own)) as socket:
        assert "session.created" in str(socket.recv(PATIENCE_SECONDS))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:x"])
def test_other_pages_may_not(keyed: GunicornServer, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websocket(keyed.port, KEY, origin)
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "headers", [{}, {**UPGRADE, "Sec-WebSocket-Key": "short"}, {**UPGRADE, "Sec-WebSocket-Key": "x" * 8000}]
)
def test_what_is_no_handshake(keyed: GunicornServer, headers: dict[str, str]) -> None:
    url = f"{keyed.url}/v1/realtime"
    answer = requests.get(
        url, headers={**headers, "Authorization": f"Bearer {KEY}"}, timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 426
    assert "WebSocket" in answer.json()["error"]["message"]


def test_no_key_is_in_the_log(keyed: GunicornServer) -> None:
    secret = secret_of(keyed)
    for key in (KEY, secret):
        with websocket(keyed.port, key) as socket:
            socket.recv(PATIENCE_SECONDS)
    keyed.wait_for_log("realtime session closed")
    assert KEY not in keyed.log
    assert secret not in keyed.log
    assert secret[3:40] not in keyed.log
