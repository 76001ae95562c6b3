"""What `/health` takes while every permit is held, every place to read is taken, and more come.

A real Gunicorn with the demo model on loopback. Long recordings take all permits, 32 uploads stop in
the middle, then requests for health and for work are sent in turn, for so many rounds or so many
seconds. Prints a table in Markdown; ends with 1 if any error had not OpenAI's body.
"""

import argparse
import json
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from select import select
from statistics import quantiles
from time import monotonic, perf_counter
from urllib.parse import urlsplit

import requests

from app.admission import ADMITTED, READING
from benchmarks import recordings
from benchmarks.gunicorn_process import serving

LONG_SECONDS = 600
GOAL_SECONDS = 0.1
_PATH = "/v1/audio/transcriptions"
_SLOW = {"model": "whisper-1", "language": "en", "temperature": "1", "best_of": "8"}
_SOCKET_SECONDS = 60.0


@dataclass
class Seen:
    """Seconds of each request for health, and how often a kind of request had a status."""

    health_seconds: list[float] = field(default_factory=list)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    """Errors whose body is not OpenAI's."""

    def note(self, kind: str, status: int, body: bytes) -> None:
        """Count an answer."""
        self.statuses[kind, status] += 1
        if status >= 400 and not is_openai_error(body):
            self.strange.append(f"{kind} {status}: {body[:200]!r}")

    def percentile(self, percent: int) -> float:
        """Seconds that so many of a hundred requests for health took at most."""
        return quantiles(self.health_seconds, n=100, method="inclusive")[percent - 1]


def is_openai_error(body: bytes) -> bool:
    """Whether this is OpenAI's error object with its four keys."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(error, dict) and error.keys() == {"message", "type", "param", "code"}


def table(idle: Seen, full: Seen) -> str:
    """Markdown: the two servers' health, then every kind of answer of the full one."""
    lines = ["| /health | requests | p50 | p99 | |", "| --- | --- | --- | --- | --- |"]
    for name, seen in (("idle", idle), ("full", full)):
        p50, p99 = (seen.percentile(percent) for percent in (50, 99))
        verdict = "kept" if p99 <= GOAL_SECONDS else "broken"
        requested = len(seen.health_seconds)
        goal = f"p99 within {GOAL_SECONDS * 1000:.0f} ms: {verdict}"
        lines.append(f"| {name} | {requested} | {p50 * 1000:.1f} ms | {p99 * 1000:.1f} ms | {goal} |")
    lines += ["", "| request, server full | status | times |", "| --- | --- | --- |"]
    lines += [f"| {kind} | {status} | {times} |" for (kind, status), times in sorted(full.statuses.items())]
    lines += ["", f"Errors without OpenAI's body: {len(idle.strange) + len(full.strange)}."]
    return "\n".join(lines)


class Load:
    """Clients of one server. What they are answered is noted in `seen`."""

    def __init__(self, url: str, seen: Seen, clients: ExitStack) -> None:
        self.seen = seen
        self._url = url
        self._clients = clients
        audio = recordings.encode(recordings.speech(LONG_SECONDS), "mp3")
        self._upload = _as_bytes(requests.Request("POST", url + _PATH, data=_SLOW, files={"file": audio}))

    def take_permits(self) -> None:
        """Send long recordings until one is refused because all permits are held."""
        working: list[socket.socket] = []
        for _ in range(2 * ADMITTED):
            working.append(self._send(self._upload))
            if self._refused("long recording", working, 0.2 if len(working) > ADMITTED else 0.0):
                return
        raise RuntimeError("the server never said that it is full")

    def stall_uploads(self) -> None:
        """Open uploads that stop in the middle until one is refused because so many are read."""
        half = self._upload[: len(self._upload) // 2]
        stalled: list[socket.socket] = []
        for _ in range(2 * READING):
            stalled.append(self._send(half))
            if self._refused("stalled upload", stalled, 0.2 if len(stalled) > READING else 0.0):
                return
        raise RuntimeError("the server reads more uploads than it may")

    def ask_health(self) -> None:
        """One request on a connection of its own, with its time."""
        began = perf_counter()
        answer = requests.get(f"{self._url}/health", headers={"Connection": "close"}, timeout=_SOCKET_SECONDS)
        self.seen.health_seconds.append(perf_counter() - began)
        self.seen.note("health", answer.status_code, answer.content)

    def ask_for_work(self) -> None:
        """One more upload, which finds no room."""
        with self._send(self._upload) as client:
            self._note("one more upload", client)

    def _send(self, sent: bytes) -> socket.socket:
        where = urlsplit(self._url)
        client = socket.create_connection((where.hostname, where.port), timeout=_SOCKET_SECONDS)
        self._clients.enter_context(client)
        client.sendall(sent)
        return client

    def _refused(self, kind: str, sockets: list[socket.socket], wait_seconds: float) -> bool:
        """Whether any was answered, which is noted: nobody is so soon but who is refused."""
        answered = select(sockets, [], [], wait_seconds)[0]
        for client in answered:
            self._note(kind, client)
            sockets.remove(client)
        return bool(answered)

    def _note(self, kind: str, client: socket.socket) -> None:
        response = HTTPResponse(client)
        response.begin()
        self.seen.note(kind, response.status, response.read())


def _as_bytes(request: requests.Request) -> bytes:
    prepared = request.prepare()
    assert isinstance(prepared.body, bytes)
    headers = [f"{name}: {value}" for name, value in {"Host": "here", **prepared.headers}.items()]
    return "\r\n".join([f"POST {_PATH} HTTP/1.1", *headers, "", ""]).encode() + prepared.body


def run(rounds: int, seconds: float) -> Iterator[Seen]:
    """What the server answers while it is idle, then while it is full."""
    settings = {"WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
    settings["WHISPER_RETRY_GRACE_SECONDS"] = (
        "0"  # the long recordings are one, and none may spare another its work
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clients:
        url = clients.enter_context(serving("wsgi:app", Path(folder) / "server.log", **settings)).url
        load = Load(url, Seen(), clients)
        for _ in range(rounds):
            load.ask_health()
        yield load.seen
        load.seen = Seen()
        load.take_permits()
        load.stall_uploads()
        give_up = monotonic() + seconds
        for _ in range(rounds):
            load.ask_health()
            load.ask_for_work()
            if monotonic() > give_up:
                break
        yield load.seen


def main(arguments: list[str] | None = None) -> None:
    """Load a server, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests for health, idle and full (200)")
    parser.add_argument("--seconds", type=float, default=40, help="longest time with a full server (40)")
    options = parser.parse_args(arguments)
    idle, full = run(options.rounds, options.seconds)
    print(table(idle, full))
    print("\n".join(full.strange), file=sys.stderr)
    if idle.strange or full.strange:
        sys.exit(1)


if __name__ == "__main__":
    main()
