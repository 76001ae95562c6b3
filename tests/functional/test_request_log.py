"""One line for each request in the log of a real server, and nothing of what was said."""

import json
import re
import socket
from base64 import b64encode
from collections.abc import Iterator

import pytest
import requests

from tests.functional.checked_clients import requests_session
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT

URL, CHATS = "/v1/audio/transcriptions", "/v1/chat/completions"
NUMBERS = ("audio_seconds", "queue_ms", "decode_ms", "model_ms", "total_ms", "windows", "fallbacks")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def told(server: GunicornServer, request_id: str) -> dict[str, str]:
    """The fields of a request's line, which comes just after its answer."""
    server.wait_for_log(f"request_id={request_id} ")
    [line] = [line for line in server.log.splitlines() if f"request_id={request_id} " in line]
    assert re.match(r"\[[^]]+\] \[\d+\] \[INFO\] answered request_id=", line)
    return dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line))


def post(
    session: requests.Session, server: GunicornServer, request_id: str, **fields: str
) -> requests.Response:
    with (DATA / "three_utterances.wav").open("rb") as file:
        return session.post(
            server.url + URL,
            headers={"X-Request-ID": request_id},
            data={"model": "whisper-1", **fields},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )


@pytest.mark.parametrize("stream", ["false", "true"])
def test_a_transcription(session: requests.Session, server: GunicornServer, stream: str) -> None:
    answer = post(session, server, f"log-stream-{stream}", stream=stream)
    assert answer.status_code == 200
    line = told(server, f"log-stream-{stream}")
    assert (line["who"], line["method"], line["path"]) == ("127.0.0.1", "POST", URL)
    assert (line["status"], line["model"], line["windows"]) == ("200", "whisper-1", "1")
    assert float(line["audio_seconds"]) == pytest.approx(5.2, abs=0.1)
    assert int(line["model_ms"]) > 0
    assert int(line["decode_ms"]) > 0
    assert int(line["total_ms"]) >= int(line["model_ms"])
    assert set(NUMBERS) < set(line)
    text = answer.json()["text"] if stream == "false" else answer.text.rpartition('"text":"')[2][:20]
    assert text
    assert text not in server.log


def test_a_chat(session: requests.Session, server: GunicornServer) -> None:
    audio = {"data": b64encode(FLAGSHIP.read_bytes()).decode(), "format": "wav"}
    content = [{"type": "text", "text": "wording of mine"}, {"type": "input_audio", "input_audio": audio}]
    answer = session.post(
        server.url + CHATS,
        headers={"X-Request-ID": "log-chat"},
        json={"model": "gpt-audio", "messages": [{"role": "user", "content": content}]},
        timeout=PATIENCE_SECONDS,
    )
    assert answer.json()["choices"][0]["message"]["content"] == FLAGSHIP_TEXT
    line = told(server, "log-chat")
    assert (line["status"], line["model"], line["windows"]) == ("200", "gpt-audio", "1")
    assert float(line["audio_seconds"]) == pytest.approx(2.76, abs=0.1)
    for words in (FLAGSHIP_TEXT, "wording of mine", audio["data"][:100]):
        assert words not in server.log


def test_refusals(session: requests.Session, server: GunicornServer) -> None:
    assert post(session, server, "log-none", model="gpt-4 status=200").status_code == 404
    line = told(server, "log-none")
    assert (line["status"], line["audio_seconds"], line["model_ms"]) == ("404", "0.0", "0")
    assert line["model"] == '"gpt-4 status=200"'
    assert post(session, server, "log-bad", language="klingon").status_code == 400
    assert told(server, "log-bad")["status"] == "400"


def test_a_line_cant_be_forged(server: GunicornServer) -> None:
    """Gunicorn refuses line feeds in headers, but not in what a path stands for."""
    forged = "[2026-01-01 00:00:00 +0000] [1] [INFO] forged"
    request = (
        f"GET /x%0A{forged.replace(' ', '%20')}%1B HTTP/1.1\r\nHost: x\r\nX-Request-ID: log-forged\r\n"
        f'User-Agent: a\tb "c\r\nConnection: close\r\n\r\n'
    )
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(request.encode())
        assert client.recv(20).startswith(b"HTTP/1.1 404")
        while client.recv(4096):
            pass
    assert told(server, "log-forged")["status"] == "404"
    assert not [line for line in server.log.splitlines() if line.startswith(forged)]
    assert json.dumps(f"/x\n{forged}\x1b") in server.log
    assert json.dumps('a\tb "c') in server.log
