"""Each limit has an error of its own that names it and what was sent."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert_to_pipe
from tests.openai_spec import check_response

MEGABYTE = 1024 * 1024
FILE_LIMIT = 12 * MEGABYTE
BODY_LIMIT = FILE_LIMIT + MEGABYTE
MODEL = {"model": "whisper-1"}


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("limits") / "server.log"
    limits = {"WHISPER_MAX_UPLOAD_MB": "12", "WHISPER_MAX_AUDIO_SECONDS": "4"}
    with GunicornServer(log, **limits) as running:
        yield running.wait_until_ready()


def flagship_of(size: int) -> bytes:
    """The recording and a RIFF chunk of filling, which decoders pass over."""
    audio = FLAGSHIP.read_bytes()
    filling = size - len(audio) - 8
    return audio + b"JUNK" + filling.to_bytes(4, "little") + bytes(filling)


def post(server: GunicornServer, audio: bytes, *, chunked: bool = False) -> requests.Response:
    url = f"{server.url}/v1/audio/transcriptions"
    prepared = requests.Request("POST", url, data=MODEL, files={"file": ("a.wav", audio)}).prepare()
    headers = {"Content-Type": prepared.headers["Content-Type"], "Connection": "close"}
    body = iter([prepared.body]) if chunked else prepared.body
    return requests.post(url, data=body, headers=headers, timeout=PATIENCE_SECONDS)


def error_of(answer: requests.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["x-request-id"].startswith("req_")
    check_response(answer)
    return answer.json()["error"]


@pytest.mark.parametrize("chunked", [False, True])
def test_file_of_exactly_the_limit(small_server: GunicornServer, chunked: bool) -> None:
    answer = post(small_server, flagship_of(FILE_LIMIT), chunked=chunked)
    assert answer.json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("chunked", [False, True])
def test_file_of_one_byte_more(small_server: GunicornServer, chunked: bool) -> None:
    error = error_of(post(small_server, flagship_of(FILE_LIMIT + 1), chunked=chunked), 413)
    excess = f"({FILE_LIMIT}) exceeded ({FILE_LIMIT + 1} bytes read)"
    assert error["message"] == f"Maximum content size limit {excess}"
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [BODY_LIMIT, 2 * FILE_LIMIT, 8 * FILE_LIMIT])
def test_body_over_the_limit(small_server: GunicornServer, chunked: bool, size: int) -> None:
    error = error_of(post(small_server, bytes(size), chunked=chunked), 413)
    assert error["message"].startswith(f"Maximum content size limit ({BODY_LIMIT}) exceeded (")
    assert error["type"] == "server_error"


def test_sdk_sees_the_status_of_an_oversized_upload(small_server: GunicornServer) -> None:
    with (
        OpenAI(api_key="dummy", base_url=f"{small_server.url}/v1", max_retries=0) as client,
        pytest.raises(openai.APIStatusError, match="Maximum content size limit") as caught,
    ):
        client.audio.transcriptions.create(model="whisper-1", file=bytes(2 * FILE_LIMIT))
    assert caught.value.status_code == 413


def test_declared_length_over_the_limit(small_server: GunicornServer) -> None:
    error = error_of(post(small_server, (DATA / "three_utterances.wav").read_bytes()), 400)
    assert "5.2 seconds is longer than 4 seconds" in error["message"]
    assert "WHISPER_MAX_AUDIO_SECONDS" in error["message"]
    assert (error["param"], error["code"]) == ("file", "invalid_value")


def test_undeclared_length_over_the_limit(small_server: GunicornServer) -> None:
    live = convert_to_pipe(DATA / "minute.flac", "-c:a", "libopus", "-f", "webm", "-live", "1")
    error = error_of(post(small_server, live), 400)
    assert "longer than 4 seconds" in error["message"]


def test_field_larger_than_any_field_may_be(small_server: GunicornServer) -> None:
    fields = {**MODEL, "prompt": "x" * 40_000}
    url = f"{small_server.url}/v1/audio/transcriptions"
    headers = {"Connection": "close"}
    files = {"file": FLAGSHIP.read_bytes()}
    answer = requests.post(url, data=fields, files=files, headers=headers, timeout=PATIENCE_SECONDS)
    error = error_of(answer, 400)
    assert (error["param"], error["code"]) == ("prompt", "string_above_max_length")
