from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openai.types.realtime import ClientSecretCreateResponse

from app.realtime.client_secrets import ClientSecrets

URL = "/v1/realtime/client_secrets"
TOLD = {"model": "whisper-1", "language": "de"}
SESSION = {"type": "transcription", "audio": {"input": {"transcription": TOLD}}}


def test_a_secret_has_its_session(client: FlaskClient, app: Flask) -> None:
    expires_after = {"anchor": "created_at", "seconds": 20}
    answer = client.post(URL, json={"session": SESSION, "expires_after": expires_after})
    secret = ClientSecretCreateResponse.model_validate_json(answer.data, strict=True)
    assert answer.json["session"]["audio"]["input"]["transcription"] == TOLD
    secrets: ClientSecrets = app.extensions["client_secrets"]
    assert secrets.read(secret.value).session == SESSION
    assert secrets.read(secret.value).expires_at == secret.expires_at
    assert secrets.now() < secret.expires_at <= secrets.now() + 20


def test_nothing_need_be_sent(client: FlaskClient) -> None:
    body = client.post(URL, json={}).json
    assert body["value"].startswith("ek_")
    assert body["session"]["type"] == "transcription"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"session": {"type": "realtime"}}, "session"),
        ({"session": {}}, "session"),
        ({"expires_after": {"seconds": 9}}, "expires_after"),
        ({"expires_after": {"seconds": 7201}}, "expires_after"),
        ({"expires_after": {"anchor": "now"}}, "expires_after"),
        (
            {"session": {"type": "transcription", "audio": {"input": {"transcription": {"model": "none"}}}}},
            "session.audio.input.transcription.model",
        ),
        (
            {"session": {"type": "transcription", "audio": {"input": {"transcription": {"language": "xx"}}}}},
            "session.audio.input.transcription.language",
        ),
    ],
)
def test_what_is_wrong_is_named(client: FlaskClient, body: dict[str, Any], param: str) -> None:
    answer = client.post(URL, json=body)
    assert answer.status_code in (400, 404)
    assert answer.json["error"]["param"] == param


def test_a_session_that_no_header_holds(client: FlaskClient) -> None:
    keywords = [f"{number**31:x}" for number in range(250)]
    session = {"type": "transcription", "audio": {"input": {"transcription": {"keywords": keywords}}}}
    answer = client.post(URL, json={"session": session})
    assert answer.status_code == 400
    assert answer.json["error"]["param"] == "session"
    assert "session.update" in answer.json["error"]["message"]
