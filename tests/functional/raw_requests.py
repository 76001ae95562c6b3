"""Requests as bytes, for clients that break off, fall silent or don't hang up."""

import socket
from http.client import HTTPResponse
from pathlib import Path

import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS
from tests.openai_spec import read_as

PATH = "/v1/audio/transcriptions"


def upload(recording: bytes | Path, path: str = PATH, **fields: str) -> bytes:
    """A whole POST of a recording, head and body."""
    audio = recording.read_bytes() if isinstance(recording, Path) else recording
    form = {"model": "whisper-1", **fields}
    request = requests.Request("POST", f"http://here{path}", data=form, files={"file": audio}).prepare()
    assert isinstance(request.body, bytes)
    headers = [f"{name}: {value}" for name, value in {"Host": "here", **request.headers}.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *headers, "", ""]).encode() + request.body


def connected(port: int) -> socket.socket:
    """A connection to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def greedy(port: int) -> socket.socket:
    """A client in whose receive buffer next to nothing fits."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE_SECONDS)
    client.connect(("127.0.0.1", port))
    return client


def refusal(client: socket.socket) -> tuple[HTTPResponse, dict[str, str | None]]:
    """The answer on a connection, and the error in its body, which must be OpenAI's."""
    response = HTTPResponse(client)
    response.begin()
    error: dict[str, str | None] = read_as("error", response.read())["error"]
    return response, error
