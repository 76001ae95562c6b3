"""Node's fetch and http: a refused upload must be seen as its status, never as a broken connection."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import conforming

SCRIPT = Path(__file__).with_name("node_clients.mjs")
MEGABYTE = 1024 * 1024
TURNS = 6


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("node") / "server.log"
    with GunicornServer(log, WHISPER_MAX_UPLOAD_MB="16") as running:
        yield running.wait_until_ready()


def upload(server: GunicornServer, way: str, size: int, turns: int = 1, path: str = "") -> list[Any]:
    url = server.url + (path or "/v1/audio/transcriptions")
    command = ["node", SCRIPT, way, url, FLAGSHIP, str(size), str(turns)]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=PATIENCE_SECONDS)
    answers = json.loads(finished.stdout)
    for status, body in answers:
        conforming("error" if status >= 400 else "transcription_json", body)
    return answers


@pytest.mark.parametrize("way", ["buffer", "stream"])
@pytest.mark.parametrize("size", [0, 2 * MEGABYTE])
def test_upload(server: GunicornServer, way: str, size: int) -> None:
    [[status, body]] = upload(server, way, size)
    assert (status, body["text"]) == (200, FLAGSHIP_TEXT)


@pytest.mark.parametrize("way", ["buffer", "stream"])
def test_too_large_an_upload(small_server: GunicornServer, way: str) -> None:
    answers = upload(small_server, way, 26 * MEGABYTE, TURNS)
    assert [status for status, _ in answers] == [413] * TURNS
    assert all("Maximum content size limit" in body["error"]["message"] for _, body in answers)


@pytest.mark.parametrize("way", ["buffer", "stream"])
def test_large_upload_to_a_wrong_url(server: GunicornServer, way: str) -> None:
    answers = upload(server, way, 26 * MEGABYTE, TURNS, path="/v1/audio/transcription")
    assert [status for status, _ in answers] == [404] * TURNS
