"""API keys and CORS, as clients meet them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests
from jsonschema import Draft202012Validator
from openai import AzureOpenAI, OpenAI

from tests.functional.gunicorn_server import PATIENCE_SECONDS, ROOT, GunicornServer, environment
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT

NODE_SCRIPT = Path(__file__).with_name("node_clients.mjs")
KEY, OTHER_KEY = "sk-test-0123456789abcdef", "c2Vjb25k=="
WRONG_KEY = "sk-wrong-0123456789abcdWXYZ"
OBSIDIAN = "app://obsidian.md"
PATH = "/v1/audio/transcriptions"
TURNS = 6


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A server with two keys from a file, which Obsidian may call."""
    folder = tmp_path_factory.mktemp("access")
    keys = folder / "keys.txt"
    keys.write_text(f"# ours\n{KEY}\n\n{OTHER_KEY}\n")
    environ = {"WHISPER_API_KEYS": f"@{keys}", "WHISPER_CORS_ORIGINS": OBSIDIAN}
    with GunicornServer(folder / "server.log", **environ) as running:
        yield running.wait_until_ready()
        assert not [key for key in (KEY, OTHER_KEY, WRONG_KEY) if key in running.log]


def sdk(server: GunicornServer, key: str) -> OpenAI:
    return OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0, timeout=PATIENCE_SECONDS)


def transcribed_by(client: OpenAI) -> str:
    with client:
        return client.audio.transcriptions.create(model="whisper-1", file=FLAGSHIP).text


def request(server: GunicornServer, method: str, path: str, **parts: Any) -> requests.Response:
    headers = {"Connection": "close", **parts.pop("headers", {})}
    return requests.request(method, server.url + path, headers=headers, timeout=PATIENCE_SECONDS, **parts)


def error_of(answer: requests.Response) -> dict[str, Any]:
    schema = json.loads((DATA / "openai_spec" / "error.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(answer.json())
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-request-id"].startswith("req_")
    return answer.json()["error"]


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_the_sdk_with_a_key(locked: GunicornServer, key: str) -> None:
    assert transcribed_by(sdk(locked, key)) == FLAGSHIP_TEXT


def test_the_sdk_with_a_wrong_key(locked: GunicornServer) -> None:
    with pytest.raises(openai.AuthenticationError) as refused:
        transcribed_by(sdk(locked, WRONG_KEY))
    error = refused.value
    assert (error.code, error.param, error.type) == ("invalid_api_key", None, "invalid_request_error")
    assert "Incorrect API key provided: sk-...WXYZ." in error.message
    assert WRONG_KEY not in error.message
    assert error.request_id.startswith("req_")


def test_the_azure_header(locked: GunicornServer) -> None:
    options = {"api_version": "2024-10-21", "base_url": f"{locked.url}/v1", "timeout": PATIENCE_SECONDS}
    with AzureOpenAI(api_key=KEY, max_retries=0, **options) as client:
        assert client.models.retrieve("whisper-1").id == "whisper-1"
    wrong = AzureOpenAI(api_key=WRONG_KEY, max_retries=0, **options)
    with wrong, pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        wrong.models.retrieve("whisper-1")


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        (f"Authorization: Bearer {KEY}", 200, None),
        (f"api-key: {OTHER_KEY}", 200, None),
        (f"Authorization: Bearer {WRONG_KEY}", 401, "invalid_api_key"),
        ("Accept: */*", 401, None),
    ],
)
def test_curl(locked: GunicornServer, header: str, status: int, code: str | None) -> None:
    form = ("-F", "model=whisper-1", "-F", f"file=@{FLAGSHIP}", "-H", header)
    command = ["curl", "-sS", locked.url + PATH, *form, "-w", "\n%{http_code}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    body, _, answered = done.stdout.rpartition("\n")
    assert int(answered) == status
    assert json.loads(body).get("error", {}).get("code") == code


@pytest.mark.parametrize("way", ["buffer", "stream"])
def test_node_sees_the_401_of_a_large_upload(locked: GunicornServer, way: str) -> None:
    command = ["node", NODE_SCRIPT, way, locked.url + PATH, FLAGSHIP, str(26 * 1024 * 1024), str(TURNS)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=PATIENCE_SECONDS)
    answers = json.loads(done.stdout)
    assert [status for status, _ in answers] == [401] * TURNS
    assert all("You didn't provide an API key" in body["error"]["message"] for _, body in answers)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/models"), ("POST", PATH), ("PUT", PATH), ("GET", "/v1/none"), ("GET", "//v1/models")],
)
def test_nothing_is_said_without_a_key(locked: GunicornServer, method: str, path: str) -> None:
    answer = request(locked, method, path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    error = error_of(answer)
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_probes_need_no_key(locked: GunicornServer, path: str) -> None:
    assert locked.get(path).status_code == 200


def test_a_server_without_keys_ignores_the_header(server: GunicornServer) -> None:
    assert request(server, "GET", "/v1/models", headers={"Authorization": "Bearer x"}).status_code == 200


def test_a_bad_key_file_stops_the_start(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    environ = environment(WHISPER_API_KEYS=f"@{tmp_path}/none")
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode != 0
    assert f"Error: WHISPER_API_KEYS is '@{tmp_path}/none', and that file can't be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_obsidian_transcribes(locked: GunicornServer) -> None:
    """The preflight that a browser sends first, without a key, and the upload that it announces."""
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = request(locked, "OPTIONS", PATH, headers={"Origin": OBSIDIAN, **asked})
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == OBSIDIAN
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    headers = {"Origin": OBSIDIAN, "Authorization": f"Bearer {KEY}"}
    with FLAGSHIP.open("rb") as file:
        form = {"data": {"model": "whisper-1"}, "files": {"file": ("a.webm", file)}}
        answer = request(locked, "POST", PATH, headers=headers, **form)
    assert answer.json()["text"] == FLAGSHIP_TEXT
    assert answer.headers["Access-Control-Allow-Origin"] == OBSIDIAN
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers["Vary"]


def test_a_page_can_read_why_it_was_refused(locked: GunicornServer) -> None:
    answer = request(locked, "POST", PATH, headers={"Origin": OBSIDIAN})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == OBSIDIAN


def test_other_pages_get_no_leave(locked: GunicornServer) -> None:
    headers = {"Origin": "https://evil.example", "Authorization": f"Bearer {KEY}"}
    for method in ("OPTIONS", "GET"):
        answer = request(locked, method, "/v1/models", headers=headers)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
