"""The server opens no connection while it serves: every try would be refused and written down."""

import select
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer, environment
from tests.functional.recordings import DATA, EXPECTED, FLAGSHIP, FLAGSHIP_TEXT

ARMED = Path(__file__).parent / "no_connections"


@pytest.fixture
def bait() -> Iterator[socket.socket]:
    """Listens on loopback; also code that Python does not see into would be noticed here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def address_of(bait: socket.socket) -> str:
    return f"http://127.0.0.1:{bait.getsockname()[1]}/speech.mp3"


def guarded(log: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(ARMED), "CONNECTIONS_LOG": str(log)}


def chat(server: GunicornServer, part: dict[str, Any]) -> requests.Response:
    body = {"model": "gpt-4o-audio-preview", "messages": [{"role": "user", "content": [part]}]}
    return requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=PATIENCE_SECONDS)


def test_the_server_opens_no_connection(
    start_server: StartServer, tmp_path: Path, bait: socket.socket
) -> None:
    log = tmp_path / "connections.log"
    server = start_server(**guarded(log)).wait_until_ready()
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert "transcript.text.done" in server.transcribe(FLAGSHIP, stream="true").text
    with (DATA / "german.wav").open("rb") as file:
        answer = requests.post(
            f"{server.url}/v1/audio/translations",
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=PATIENCE_SECONDS,
        )
    assert answer.json()["text"] == EXPECTED["german.wav"]["translation"]
    data = b64encode(FLAGSHIP.read_bytes()).decode()
    spoken = chat(server, {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    assert spoken.json()["choices"][0]["message"]["content"] == FLAGSHIP_TEXT
    assert "whisper-1" in server.get("/v1/models").text
    refuses_to_fetch(server, address_of(bait), tmp_path)
    pids = {int(line.removeprefix("armed ")) for line in log.read_text().splitlines()}
    assert server.pid in pids
    assert select.select([bait], [], [], 0)[0] == []


def refuses_to_fetch(server: GunicornServer, address: str, folder: Path) -> None:
    """Neither a link in a chat nor a playlist that names one is followed."""
    linked = chat(server, {"type": "image_url", "image_url": {"url": address}})
    assert linked.status_code == 400
    assert linked.json()["error"]["param"] == "messages[0].content[0].image_url"
    playlist = folder / "speech.mp3"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{address}\n#EXT-X-ENDLIST\n")
    assert server.transcribe(playlist).status_code == 400


def test_the_guard_sees_and_refuses_connections(tmp_path: Path, bait: socket.socket) -> None:
    log = tmp_path / "connections.log"
    program = f"import urllib.request; urllib.request.urlopen({address_of(bait)!r}, timeout=9)"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(**guarded(log), NO_PROXY="*"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "while serving" in ended.stderr
    assert log.read_text().splitlines()[1].startswith(("socket.getaddrinfo ", "socket.connect "))
    assert select.select([bait], [], [], 0)[0] == []
