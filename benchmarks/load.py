"""What `/health` takes while every permit is held, every place to read is taken, and more come.

A real Gunicorn with the demo model on loopback. Long recordings take all permits, 32 uploads stop in
the middle, then requests for health and for work are sent in turn: until some of every recording was
transcribed, and for so many rounds or seconds after that. Prints a table in Markdown; ends with 1 if
any error had not OpenAI's body.
"""

import argparse
import json
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path
from select import select
from statistics import quantiles
from time import monotonic, perf_counter, sleep
from urllib.parse import urlsplit

import requests

from app.admission import ADMITTED, READING
from benchmarks import recordings
from benchmarks.gunicorn_process import serving

LONG_SECONDS = 600
GOAL_SECONDS = 0.1
MAX_ROUNDS = 10_000
_PATH = "/v1/audio/transcriptions"
_SLOW = {"model": "whisper-1", "language": "en", "temperature": "1", "stream": "true"}
_WAIT_SECONDS = 60.0


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


def table(phases: Mapping[str, Seen]) -> str:
    """Markdown: each phase's health, then every kind of answer."""
    lines = ["| server | requests for /health | p50 | p99 | |", "| --- | --- | --- | --- | --- |"]
    for name, seen in phases.items():
        p50, p99 = (seen.percentile(percent) for percent in (50, 99))
        verdict = "kept" if p99 <= GOAL_SECONDS else "broken"
        requested = len(seen.health_seconds)
        goal = f"p99 within {GOAL_SECONDS * 1000:.0f} ms: {verdict}"
        lines.append(f"| {name} | {requested} | {p50 * 1000:.1f} ms | {p99 * 1000:.1f} ms | {goal} |")
    lines += ["", "| server | request | status | times |", "| --- | --- | --- | --- |"]
    for name, seen in phases.items():
        lines += [
            f"| {name} | {kind} | {status} | {times} |"
            for (kind, status), times in sorted(seen.statuses.items())
        ]
    lines += ["", f"Errors without OpenAI's body: {sum(len(seen.strange) for seen in phases.values())}."]
    return "\n".join(lines)


class Load:
    """Clients of one server. What they are answered is noted in `seen`."""

    def __init__(self, url: str, clients: ExitStack) -> None:
        self.seen = Seen()
        self._url = url
        self._clients = clients
        self._working: list[socket.socket] = []
        audio = recordings.encode(recordings.speech(LONG_SECONDS), "mp3")
        self._upload = _as_bytes(requests.Request("POST", url + _PATH, data=_SLOW, files={"file": audio}))

    def take_permits(self) -> None:
        """Send long recordings until one is refused because all permits are held."""
        self._working = self._until_one_is_refused("long recording", self._upload, ADMITTED)

    def stall_uploads(self) -> None:
        """Open uploads that stop in the middle until one is refused because so many are read."""
        self._until_one_is_refused("stalled upload", self._upload[: len(self._upload) // 2], READING)

    @property
    def all_heard(self) -> bool:
        """Whether every long recording has been read and some of it transcribed."""
        return all(b"data: {" in _peek(client) for client in self._working)

    @property
    def any_done(self) -> bool:
        """Whether a long recording is not long enough."""
        return any(b"transcript.text.done" in _peek(client) for client in self._working)

    def ask(self) -> None:
        """One request for health, with its time, and one more upload, which finds no room."""
        began = perf_counter()
        answer = requests.get(f"{self._url}/health", headers={"Connection": "close"}, timeout=_WAIT_SECONDS)
        self.seen.health_seconds.append(perf_counter() - began)
        self.seen.note("health", answer.status_code, answer.content)
        if self._working:
            with self._sent(self._upload) as client:
                self._note("one more upload", client)

    def _sent(self, request: bytes) -> socket.socket:
        where = urlsplit(self._url)
        client = socket.create_connection((where.hostname, where.port), timeout=_WAIT_SECONDS)
        self._clients.enter_context(client)
        client.sendall(request)
        return client

    def _until_one_is_refused(self, kind: str, request: bytes, room: int) -> list[socket.socket]:
        """Who was not, and that should be as many as there is room for."""
        clients: list[socket.socket] = []
        while len(clients) < 2 * room:
            clients.append(self._sent(request))
            give_up = monotonic() + (_WAIT_SECONDS if len(clients) > room else 0)
            while True:
                for client in clients:
                    if _peek(client).startswith(b"HTTP/1.1 503"):
                        self._note(kind, client)
                        clients.remove(client)
                        return clients
                if monotonic() > give_up:
                    break
                sleep(0.05)
        raise RuntimeError(f"no {kind} was refused")

    def _note(self, kind: str, client: socket.socket) -> None:
        response = HTTPResponse(client)
        response.begin()
        self.seen.note(kind, response.status, response.read())


def _peek(client: socket.socket) -> bytes:
    """What has come and was not read yet, at most 64 KiB."""
    if not select([client], [], [], 0)[0]:
        return b""
    return client.recv(65_536, socket.MSG_PEEK)


def _as_bytes(request: requests.Request) -> bytes:
    prepared = request.prepare()
    assert isinstance(prepared.body, bytes)
    headers = [f"{name}: {value}" for name, value in {"Host": "here", **prepared.headers}.items()]
    return "\r\n".join([f"POST {_PATH} HTTP/1.1", *headers, "", ""]).encode() + prepared.body


def run(rounds: int, seconds: float) -> Iterator[tuple[str, Seen]]:
    """What the server answers while it is idle, until all recordings were heard, and after that."""
    settings = {"WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
    # All long recordings are the same one, and none may spare another its work.
    settings["WHISPER_RETRY_GRACE_SECONDS"] = "0"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as clients:
        url = clients.enter_context(serving("wsgi:app", Path(folder) / "server.log", **settings)).url
        load = Load(url, clients)
        yield "idle", _asked(load, rounds, seconds, lambda: False)
        load.take_permits()
        load.stall_uploads()
        yield "full, until all were heard", _asked(load, MAX_ROUNDS, seconds, lambda: load.all_heard)
        yield "full", _asked(load, rounds, seconds, lambda: False)
        if load.any_done:
            raise RuntimeError("a long recording was over too early")


def _asked(load: Load, rounds: int, seconds: float, enough: Callable[[], bool]) -> Seen:
    """What was seen since the last call, after so many rounds or seconds more, or when it is enough."""
    give_up = monotonic() + seconds
    for _ in range(rounds):
        load.ask()
        if monotonic() > give_up or (enough() and len(load.seen.health_seconds) > 1):
            break
    seen, load.seen = load.seen, Seen()
    return seen


def main(arguments: list[str] | None = None) -> None:
    """Load a server, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="requests for health in each phase (200)")
    parser.add_argument("--seconds", type=float, default=40, help="longest time of each phase (40)")
    options = parser.parse_args(arguments)
    phases = dict(run(options.rounds, options.seconds))
    print(table(phases))
    if strange := [answer for seen in phases.values() for answer in seen.strange]:
        sys.exit("\n".join(strange))


if __name__ == "__main__":
    main()
