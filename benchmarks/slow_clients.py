"""What `/health` takes while clients that send or take next to nothing hold as many connections as they can.

The demo model behind a real Gunicorn, or what listens on a port of this machine already, such as nginx in
front of a server that was started with WHISPER_API_KEYS=key-of-the-benchmark. Each kind of client stays for
some seconds; `/health` is asked all the time, each time on a new connection. An upload with a key must be
admitted meanwhile. Prints a table in Markdown.
"""

import argparse
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event, Thread
from time import monotonic, perf_counter, sleep
from typing import NamedTuple

import requests

from benchmarks.gunicorn_process import ROOT, serving

KEY = "key-of-the-benchmark"
URL = "/v1/audio/transcriptions"
SAMPLE = ROOT / "tests" / "data" / "flagship.wav"

_UPLOAD_SECONDS = 60.0
_POST = b"POST %s HTTP/1.1\r\nHost: here\r\n"
_LONG = b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
_BEARER = f"Authorization: Bearer {KEY}\r\n".encode()
_WITH_KEY = _POST % URL.encode() + _BEARER
_SPEECH = b'{"model":"tts-1","voice":"alloy","response_format":"wav","input":"%s"}' % (b"word " * 800)


class Kind(NamedTuple):
    """So many clients, each of which sends something at once and something every second."""

    count: int
    begin: bytes
    drip: bytes


KINDS = {
    "nobody": Kind(0, b"", b""),
    "one unknown URL, a byte a second": Kind(1, _POST % b"/nope" + _LONG, b"x"),
    "100 unknown URLs": Kind(100, _POST % b"/nope" + _LONG, b"x"),
    "100 without a key": Kind(100, _POST % URL.encode() + _LONG, b"x"),
    "100 bodies with a key": Kind(100, _WITH_KEY + _LONG, b"x"),
    "33 bodies that stop": Kind(33, _WITH_KEY + _LONG, b""),
    "64 half heads": Kind(64, _POST % b"/nope", b""),
    "300 half heads": Kind(300, _POST % b"/nope", b""),
    "66 heads, a byte a second": Kind(66, _POST % b"/nope" + b"X-A: ", b"x"),
    "300 silent": Kind(300, b"", b""),
    "100 that take no answer": Kind(
        100,
        _POST % b"/v1/audio/speech"
        + _BEARER
        + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_SPEECH)
        + _SPEECH,
        b"",
    ),
    "150 that take no file, without a key": Kind(
        150, b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n", b""
    ),
}


def main(arguments: list[str]) -> None:
    """Measure all kinds for `--seconds` each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks slow_clients", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each kind stays")
    parser.add_argument("--port", type=int, default=0, help="of what runs already")
    chosen = parser.parse_args(arguments)
    if chosen.port:
        measure_all(chosen.port, chosen.seconds)
        return
    settings = {"WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_API_KEYS": KEY}
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("wsgi:app", Path(folder, "log"), **settings) as server,
    ):
        measure_all(int(server.url.rpartition(":")[2]), chosen.seconds)


def measure_all(port: int, seconds: float) -> None:
    """Print the table."""
    print("| clients | `/health`, median ms | worst ms | asked | an upload with a key |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, kind in KINDS.items():
        measure(name, kind, port, seconds)


def measure(name: str, kind: Kind, port: int, seconds: float) -> None:
    """Print the row of one kind."""
    url = f"http://127.0.0.1:{port}"
    left = Event()
    with ExitStack() as held:
        clients = [held.enter_context(_client(port)) for _ in range(kind.count)]
        for client in clients:
            _send(client, kind.begin)
        dripping = Thread(target=_drip, args=(clients, kind.drip, left))
        dripping.start()
        try:
            sleep(2)  # bodies that are younger than a second give way to nobody
            waits, end = [], monotonic() + seconds
            upload_seconds = _upload(url)
            while monotonic() < end:
                waits.append(_health(url))
                sleep(0.05)
        finally:
            left.set()
            dripping.join()
    waits.sort()
    middle, worst = waits[len(waits) // 2], waits[-1]
    row = (name, f"{middle * 1000:.0f}", f"{worst * 1000:.0f}", len(waits), f"{upload_seconds:.1f} s")
    print("|", " | ".join(map(str, row)), "|", flush=True)


def _client(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    return client


def _drip(clients: list[socket.socket], drip: bytes, left: Event) -> None:
    while drip and not left.wait(1.0):
        for client in clients:
            _send(client, drip)


def _send(client: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the server has hung up
        client.sendall(data)


def _health(url: str) -> float:
    began = perf_counter()
    requests.get(f"{url}/health", headers={"Connection": "close"}, timeout=120).raise_for_status()
    return perf_counter() - began


def _upload(url: str) -> float:
    began = perf_counter()
    with SAMPLE.open("rb") as file:
        answer = requests.post(
            url + URL,
            headers={"Authorization": f"Bearer {KEY}", "Connection": "close"},
            data={"model": "whisper-1"},
            files={"file": file},
            timeout=_UPLOAD_SECONDS,
        )
    answer.raise_for_status()
    return perf_counter() - began
