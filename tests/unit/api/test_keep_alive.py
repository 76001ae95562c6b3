"""The field `keep_alive` of all requests that a model answers, and who may send how little."""

import base64
from io import BytesIO
from math import inf

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.settings import Settings
from tests.unit.scripted import ScriptedRuntime, error_of

KEYS = {"api_keys": ("sk-user",), "admin_keys": ("sk-admin",)}


def client_of(runtime: ScriptedRuntime, **settings: object) -> FlaskClient:
    runtime.settings = Settings(**settings)
    return create_app(runtime.settings, runtime).test_client()


def transcribe(
    client: FlaskClient, keep_alive: object, key: str = "", path: str = "transcriptions"
) -> TestResponse:
    form = {"file": (BytesIO(b"audio"), "a.wav"), "model": "whisper-1", "keep_alive": keep_alive}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.post(f"/v1/audio/{path}", data=form, headers=headers)


class Counting(ScriptedRuntime):
    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def runtime() -> ScriptedRuntime:
    return Counting()


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
def test_a_form(runtime: ScriptedRuntime, path: str) -> None:
    assert transcribe(client_of(runtime), "10m", path=path).status_code == 200
    assert transcribe(client_of(runtime), "", path=path).status_code == 200
    assert runtime.kept == [600, None]


def test_json(runtime: ScriptedRuntime) -> None:
    audio = {"data": base64.b64encode(b"audio").decode(), "format": "wav"}
    body = {"model": "whisper-1", "input_audio": audio, "keep_alive": -1}
    assert client_of(runtime).post("/v1/audio/transcriptions", json=body).status_code == 200
    chat = {"model": "gpt-audio", "messages": [{"role": "user", "content": "ping"}], "keep_alive": 0}
    assert client_of(runtime).post("/v1/chat/completions", json=chat).status_code == 200
    assert runtime.kept == [inf, 0]


def test_other_servers_urls(runtime: ScriptedRuntime) -> None:
    client = client_of(runtime)

    def infer(keep_alive: str) -> TestResponse:
        return client.post(
            "/inference", data={"file": (BytesIO(b"audio"), "a.wav"), "keep_alive": keep_alive}
        )

    def asr(path: str, keep_alive: str) -> TestResponse:
        form = {"audio_file": (BytesIO(b"audio"), "a.wav")}
        return client.post(path, data=form, query_string={"keep_alive": keep_alive})

    assert [infer("10m").status_code, asr("/asr", "-1").status_code] == [200, 200]
    assert asr("/detect-language", "60").status_code == 200
    assert runtime.kept == [600, inf, 60]
    assert (infer("soon").status_code, asr("/asr", "soon").status_code) == (400, 422)


@pytest.mark.parametrize("value", ["soon", "x" * 33])
def test_wrong_values(runtime: ScriptedRuntime, value: str) -> None:
    response = transcribe(client_of(runtime), value)
    assert response.status_code == 400
    assert error_of(response)["param"] == "keep_alive"
    assert runtime.kept == []


def test_less_than_the_servers_value_takes_an_admin_key(runtime: ScriptedRuntime) -> None:
    client = client_of(runtime, **KEYS, model_idle_seconds=300)
    refused = transcribe(client, "299", "sk-user")
    assert refused.status_code == 403
    assert "WHISPER_ADMIN_KEYS" in str(error_of(refused)["message"])
    assert runtime.kept == []
    assert transcribe(client, "300", "sk-user").status_code == 200
    assert transcribe(client, "-1", "sk-user").status_code == 200
    assert transcribe(client, "0", "sk-admin").status_code == 200
    assert runtime.kept == [300, inf, 0]


def test_with_admin_keys_alone_others_need_none(runtime: ScriptedRuntime) -> None:
    client = client_of(runtime, admin_keys=("sk-admin",))
    assert transcribe(client, "-1").status_code == 200
    assert transcribe(client, "0").status_code == 401
    assert transcribe(client, "0", "sk-other").status_code == 403
    assert transcribe(client, "0", "sk-admin").status_code == 200


def test_with_api_keys_alone_nobody_may(runtime: ScriptedRuntime) -> None:
    assert transcribe(client_of(runtime, api_keys=("sk-user",)), "0", "sk-user").status_code == 403
