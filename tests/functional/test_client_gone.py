"""A client that leaves gets no more work done: streamed or not, directly or behind nginx."""

import os
import time
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.nginx_proxy import Nginx
from tests.functional.raw_requests import connected, upload
from tests.functional.recordings import DATA, convert

MINUTES = 20
SLOW = {"language": "en", "temperature": "1", "best_of": "8"}
"""One pass over every window, with eight rows in the batch."""


@pytest.fixture(scope="module")
def lasting(server: GunicornServer, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """A recording, and the seconds that a worker computes for one of its minutes."""
    folder = tmp_path_factory.mktemp("lasting")
    loop = f"aloop=loop={MINUTES - 1}:size=2e9"
    recording = convert(DATA / "minute.flac", folder / "minutes.flac", "-af", loop).read_bytes()
    before = cpu_seconds(server)
    assert server.transcribe(DATA / "minute.flac", **SLOW).status_code == 200
    return recording, cpu_seconds(server) - before


def cpu_seconds(server: GunicornServer) -> float:
    """What the worker has computed since it was started."""
    [worker] = server.workers
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for_work(server: GunicornServer, seconds: float) -> None:
    """Wait until the worker has computed so much more."""
    goal, deadline = cpu_seconds(server) + seconds, time.monotonic() + PATIENCE_SECONDS
    while cpu_seconds(server) < goal:
        assert time.monotonic() < deadline, "the worker does not work"
        time.sleep(0.05)


def settled_cpu_seconds(server: GunicornServer) -> float:
    """What it has computed, once it computes nothing any more."""
    last, deadline = -1.0, time.monotonic() + PATIENCE_SECONDS
    while (now := cpu_seconds(server)) - last > 0.05:
        assert time.monotonic() < deadline, "the worker never comes to rest"
        last = now
        time.sleep(1)
    return now


def test_nothing_is_streamed(server: GunicornServer, lasting: tuple[bytes, float]) -> None:
    leave(server, server.port, lasting, stream="false", seed="1")


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("stream", ["true", "false"])
def test_nginx_passes_it_on(
    server: GunicornServer, lasting: tuple[bytes, float], tmp_path: Path, stream: str
) -> None:
    with Nginx(tmp_path, f"127.0.0.1:{server.port}") as nginx:
        leave(server, nginx.port, lasting, stream=stream, seed="2")


def leave(server: GunicornServer, port: int, lasting: tuple[bytes, float], **fields: str) -> None:
    """Counted in the worker's own seconds, so however busy the machine is: less than half a minute's worth.

    That is one window of the forty that there are.
    """
    recording, minute_seconds = lasting
    with connected(port) as client:
        client.sendall(upload(recording, **SLOW, **fields))
        wait_for_work(server, minute_seconds / 2)
    left = cpu_seconds(server)
    assert settled_cpu_seconds(server) - left < minute_seconds / 2
