"""Transcriptions asked for in JSON: what they take, what they cost, where they end."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.test_limits import flagship_of
from tests.functional.test_memory import high_water_mb

MEGABYTE = 1024 * 1024
EMOJI = "\N{GRINNING FACE}"
ESCAPED_EMOJI = rb"\ud83d\ude00"


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def body_of(audio: bytes, **fields: Any) -> bytes:
    spoken = {"data": b64encode(audio).decode(), "format": "wav"}
    return json.dumps({"model": "whisper-1", "input_audio": spoken, **fields}).encode()


def post(session: requests.Session, server: GunicornServer, body: bytes) -> requests.Response:
    return session.post(
        f"{server.url}/v1/audio/transcriptions",
        data=body,
        headers={"Content-Type": "application/json", "Connection": "close"},
        timeout=PATIENCE_SECONDS,
    )


def test_fields_in_their_json_types(session: requests.Session, server: GunicornServer) -> None:
    fields = {
        "language": "en",
        "prompt": "A \ud800 proverb.",
        "temperature": 0,
        "response_format": "verbose_json",
        "timestamp_granularities": ["word"],
        "chunking_strategy": {"type": "server_vad", "silence_duration_ms": 300},
        "stream": None,
    }
    answer = post(session, server, body_of(FLAGSHIP.read_bytes(), **fields)).json()
    assert (answer["text"], answer["language"]) == (FLAGSHIP_TEXT, "english")
    assert [word["word"] for word in answer["words"]] == FLAGSHIP_TEXT.removesuffix(".").split()


def test_logprobs(session: requests.Session, server: GunicornServer) -> None:
    fields = {"model": "gpt-transcribe", "include": ["logprobs"], "languages": ["de", "en"]}
    answer = post(session, server, body_of(FLAGSHIP.read_bytes(), **fields)).json()
    assert answer["languages"] == [{"code": "en"}]
    spelled = bytes(byte for token in answer["logprobs"] for byte in token["bytes"]).decode()
    assert spelled.strip() == answer["text"] == FLAGSHIP_TEXT
    assert all(token["logprob"] <= 0 for token in answer["logprobs"])


@pytest.mark.slow
def test_a_large_body_costs_a_few_times_its_size(
    session: requests.Session, start_server: StartServer
) -> None:
    """More with an emoji beside the recording, as each character of the body has four bytes then."""
    server = start_server().wait_until_ready()
    assert post(session, server, body_of(FLAGSHIP.read_bytes())).json()["text"] == FLAGSHIP_TEXT
    idle = high_water_mb(server)
    audio = flagship_of(22 * MEGABYTE)
    escaped = body_of(audio, prompt=EMOJI)
    assert ESCAPED_EMOJI in escaped
    beside = escaped.replace(ESCAPED_EMOJI, EMOJI.encode())
    for large, times in ((body_of(audio), 4), (escaped, 4), (beside, 6)):
        assert post(session, server, large).json()["text"] == FLAGSHIP_TEXT
        assert high_water_mb(server) - idle < times * len(large) / MEGABYTE


@pytest.mark.parametrize(
    "values",
    [
        "[" + "[]," * 13_000_000,
        "[" + "{}," * 13_000_000,
        "{" + ",".join(f'"{number:08}":0' for number in range(3_000_000)),
        '["\N{GRINNING FACE}",' + "[]," * 13_000_000,
    ],
    ids=["[]", "{}", "distinct keys", "emoji"],
)
def test_what_has_too_many_parts_is_not_parsed(
    session: requests.Session, server: GunicornServer, values: str
) -> None:
    """It is not even JSON, since its end is missing, but nobody has come so far."""
    answer = post(session, server, f'{{"model": "whisper-1", "x": {values}'.encode())
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == (
        "Could not parse the JSON body of your request: it has more than 100000 brackets, braces, colons "
        "and commas outside of strings, which is the maximum."
    )
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, None)


def test_its_limit(session: requests.Session, start_server: StartServer) -> None:
    server = start_server(WHISPER_MAX_JSON_MB="1").wait_until_ready()
    answer = post(session, server, body_of(flagship_of(MEGABYTE)))
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["message"].startswith(f"Maximum content size limit ({MEGABYTE}) exceeded (")
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)
    assert post(session, server, body_of(FLAGSHIP.read_bytes())).json()["text"] == FLAGSHIP_TEXT
