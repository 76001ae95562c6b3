"""Requests that can't be answered, over real connections: status, OpenAI's body and headers."""

import re
import socket
from http.client import HTTPResponse
from typing import Any

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP
from tests.openai_spec import check_response, read_as

PATH = "/v1/audio/transcriptions"
MODEL = {"model": "whisper-1"}
AUDIO = {"file": ("a.wav", FLAGSHIP.read_bytes())}
MEBIBYTE = 1024 * 1024
FORM_TYPE = "multipart/form-data; boundary=b"


def error_of(answer: requests.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["openai-processing-ms"].isdecimal()
    assert answer.headers["openai-version"] == "2020-10-01"
    check_response(answer)
    error = answer.json()["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return error


def send(server: GunicornServer, method: str, path: str = PATH, **request: Any) -> requests.Response:
    headers = {"Connection": "close", **request.pop("headers", {})}
    return requests.request(method, server.url + path, headers=headers, timeout=PATIENCE_SECONDS, **request)


@pytest.mark.parametrize("path", ["/v1/audio", "/v1/audio/transcription", "/v1/realtime/sessions"])
def test_unknown_url(server: GunicornServer, path: str) -> None:
    answer = send(server, "POST", path, data=MODEL, files=AUDIO, allow_redirects=False)
    assert answer.status_code == 404
    assert error_of(answer)["message"] == f"Invalid URL (POST {path})"


def test_nearly_right_url(server: GunicornServer) -> None:
    answer = send(server, "POST", "/v1audio/transcriptions", data=MODEL, files=AUDIO, allow_redirects=False)
    assert answer.status_code == 404
    error = error_of(answer)
    assert error["code"] == "unknown_url"
    assert f"Did you mean {PATH}?" in error["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_wrong_method(server: GunicornServer, method: str) -> None:
    answer = send(server, method)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    error = error_of(answer)
    assert error["code"] == "method_not_supported"
    assert f"Not allowed to {method} on {PATH}" in error["message"]


@pytest.mark.parametrize(
    ("request_parts", "param", "message"),
    [
        ({"files": AUDIO}, None, "you must provide a model parameter"),
        ({"files": {**AUDIO, "model": (None, "")}}, None, "you must provide a model parameter"),
        ({"files": {"model": (None, "whisper-1")}}, "file", "file"),
        ({"files": {"model": (None, "whisper-1"), "file": (None, "a.wav")}}, "file", "Expected UploadFile"),
        ({"json": MODEL}, "input_audio", "Missing required parameter: 'input_audio'"),
        ({"data": MODEL}, None, "Could not parse multipart form"),
        ({}, None, "Could not parse multipart form"),
        ({"data": b"x" * 99, "headers": {"Content-Type": "multipart/form-data"}}, None, "boundary"),
        ({"data": b"--a\r\n\r\n\r\n--a--\r\n", "headers": {"Content-Type": FORM_TYPE}}, None, "boundary"),
        ({"data": b"", "headers": {"Content-Type": FORM_TYPE}}, None, "boundary"),
    ],
    ids=[
        "no model",
        "empty model",
        "no file",
        "file as text",
        "json",
        "urlencoded",
        "no body",
        "no boundary",
        "wrong boundary",
        "empty body",
    ],
)
def test_bad_form(
    server: GunicornServer, request_parts: dict[str, Any], param: str | None, message: str
) -> None:
    answer = send(server, "POST", **request_parts)
    assert answer.status_code == 400
    error = error_of(answer)
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert message in error["message"]


@pytest.mark.parametrize(
    "fields",
    [[(f"field{number}", "x") for number in range(1_001)], [("prompt", "x" * (16 * MEBIBYTE + 1))]],
    ids=["parts", "field"],
)
def test_form_with_too_much_in_it(server: GunicornServer, fields: list[tuple[str, str]]) -> None:
    answer = send(server, "POST", files=[(name, (None, value)) for name, value in fields])
    assert answer.status_code == 413
    error = error_of(answer)
    assert (error["type"], error["param"]) == ("server_error", None)
    assert error["message"] == (
        f"The form has a field of more than {16 * MEBIBYTE} bytes or more than 1000 parts."
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_body_that_is_cut_off(server: GunicornServer, chunked: bool) -> None:
    whole = requests.Request("POST", server.url + PATH, data=MODEL, files=AUDIO).prepare()
    half = whole.body[: len(whole.body) // 2]
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(whole.body)}"
    lines = (f"POST {PATH} HTTP/1.1", "Host: here", length, f"Content-Type: {whole.headers['Content-Type']}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(head.encode() + (b"%x\r\n" % len(whole.body) if chunked else b"") + half)
        client.shutdown(socket.SHUT_WR)
        status, body = received(client)
    assert status == 400
    assert "cut off" in body["error"]["message"]
    assert server.get("/ready").status_code == 200


def received(client: socket.socket) -> tuple[int, dict[str, Any]]:
    with HTTPResponse(client) as response:
        response.begin()
        return response.status, read_as("error", response.read())


def test_malformed_request_id_is_replaced(server: GunicornServer) -> None:
    answer = send(server, "POST", headers={"X-Request-ID": "two words"})
    assert error_of(answer)["type"] == "invalid_request_error"
    kept = send(server, "POST", headers={"X-Request-ID": "a.b-c_1"})
    assert kept.headers["x-request-id"] == "a.b-c_1"
