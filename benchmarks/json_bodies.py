"""What large JSON bodies cost: the worst `/health` while they are read and parsed, and the worker's memory.

A real Gunicorn with the demo model on loopback, a fresh one for each kind of body. So many bodies of
that kind are sent at the same time to `/v1/audio/transcriptions`, and `/health` is asked in turn until
all are answered. Prints a table in Markdown.
"""

import argparse
import re
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from os import urandom
from pathlib import Path
from time import perf_counter

import requests

from benchmarks.gunicorn_process import Server, serving

MEGABYTE = 1024 * 1024
MAX_HEALTH_SECONDS = 1.0
MAX_GROWN_MB = 700.0
_PATH = "/v1/audio/transcriptions"
_WAIT_SECONDS = 300.0


def nested(piece: bytes, size: int) -> bytes:
    """A body of `size` bytes, nearly all of it an array of one short thing."""
    return b'{"model": "whisper-1", "x": [%b0]}' % (piece * (size // len(piece)))


def distinct_keys(size: int) -> bytes:
    """An object whose keys are all different, so that none is kept once for all."""
    pairs = (b'"%07d":0' % number for number in count())
    return b'{"model": "whisper-1", "x": {%b}}' % b",".join(next(pairs) for _ in range(size // 12))


def recording(size: int, prompt: str = "") -> bytes:
    """What clients send: base64, though of nothing that could be heard."""
    data = b64encode(urandom(size // 4 * 3))
    fields = b'{"model": "whisper-1", "prompt": "%b", "input_audio": {"data": "%b"}}'
    return fields % (prompt.encode(), data)


BODIES: dict[str, Callable[[int], bytes]] = {
    "recording": recording,
    "recording and emoji": lambda size: recording(size, "\N{GRINNING FACE}"),
    "emoji within": lambda size: b'{"model": "%b%b"}' % (b"x" * size, "\N{GRINNING FACE}".encode()),
    "escaped emoji within": lambda size: b'{"model": "%b%b"}' % (b"x" * size, rb"\ud83d\ude00"),
    "[]": lambda size: nested(b"[],", size),
    "{}": lambda size: nested(b"{},", size),
    "distinct keys": distinct_keys,
}
"""Kind -> makes a body of about so many bytes."""


@dataclass(frozen=True)
class Cost:
    """`grown_mb`: how far the worker's highest memory lies above that of the idle worker."""

    status: int
    requests: int
    worst_health_seconds: float
    grown_mb: float


def table(costs: dict[str, Cost], at_once: int, size: int) -> str:
    """Markdown."""
    lines = [
        f"{at_once} bodies of {size / 1e6:.0f} MB at once:",
        "",
        "| body | status | requests for /health | worst /health | worker's memory |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, cost in costs.items():
        health = f"{cost.worst_health_seconds * 1000:.0f} ms"
        times = cost.grown_mb * MEGABYTE / (at_once * size)
        memory = f"+{cost.grown_mb:.0f} MB, {times:.1f} times what was sent"
        lines.append(f"| {kind} | {cost.status} | {cost.requests} | {health} | {memory} |")
    return "\n".join(lines)


def kept(cost: Cost) -> bool:
    """Whether a cost is within what is promised for four bodies of 41 MB."""
    return cost.worst_health_seconds <= MAX_HEALTH_SECONDS and cost.grown_mb <= MAX_GROWN_MB


def run(kinds: list[str], at_once: int, size: int) -> Iterator[tuple[str, Cost]]:
    """The cost of each kind."""
    for kind in kinds:
        body = BODIES[kind](size)
        with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
            settings = {"WHISPER_MODEL": "demo", "WHISPER_DEVICES": "cpu", "WHISPER_THREADS": "1"}
            server = running.enter_context(serving("wsgi:app", Path(folder) / "server.log", **settings))
            yield kind, _cost(server, body, at_once)


def _cost(server: Server, body: bytes, at_once: int) -> Cost:
    _post(server, recording(1000))
    idle = _high_water_mb(server)
    with ThreadPoolExecutor(at_once) as clients:
        sent = [clients.submit(_post, server, body) for _ in range(at_once)]
        seconds = list(_health(server, sent))
    statuses = {answer.result() for answer in sent}
    return Cost(max(statuses), len(seconds), max(seconds), _high_water_mb(server) - idle)


def _post(server: Server, body: bytes) -> int:
    headers = {"Content-Type": "application/json", "Connection": "close"}
    return requests.post(server.url + _PATH, body, headers=headers, timeout=_WAIT_SECONDS).status_code


def _health(server: Server, until: "list[Future[int]]") -> Iterator[float]:
    """Seconds of one request after the other, until all these are answered."""
    while True:
        began = perf_counter()
        requests.get(f"{server.url}/health", headers={"Connection": "close"}, timeout=_WAIT_SECONDS)
        yield perf_counter() - began
        if all(answer.done() for answer in until):
            return


def _high_water_mb(server: Server) -> float:
    [worker] = server.workers()
    status = Path(f"/proc/{worker}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def main(arguments: list[str] | None = None) -> None:
    """Send bodies, and print the table. `arguments` are the command line's if not given."""
    parser = argparse.ArgumentParser(prog="json_bodies", description=__doc__)
    parser.add_argument("--kinds", nargs="+", choices=BODIES, default=list(BODIES), help="which bodies (all)")
    parser.add_argument("--at-once", type=int, default=4, help="bodies at the same time (4)")
    parser.add_argument("--megabytes", type=float, default=41, help="millions of bytes of each body (41)")
    options = parser.parse_args(arguments)
    size = int(options.megabytes * 1e6)
    costs = dict(run(options.kinds, options.at_once, size))
    print(table(costs, options.at_once, size))
    if broken := [kind for kind, cost in costs.items() if not kept(cost)]:
        raise SystemExit(f"over 1 s for /health or 700 MB: {', '.join(broken)}")


if __name__ == "__main__":
    main()
