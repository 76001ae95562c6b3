"""SIGHUP under load, and what a killed server leaves behind."""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.processes import open_files

pytestmark = pytest.mark.slow


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stopped_newcomer(server: GunicornServer, old: list[int]) -> int:
    """A worker that has just been started, held before it can load its model."""
    wait_until(lambda: len(server.workers) > len(old))
    [new] = set(server.workers) - set(old)
    os.kill(new, signal.SIGSTOP)
    return new


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One for all of these tests: each leaves it with one worker, the last one kills it."""
    with GunicornServer(tmp_path_factory.mktemp("reload") / "server.log") as running:
        yield running.wait_until_ready()


def test_old_workers_serve_until_the_new_ones_do(reloaded: GunicornServer) -> None:
    server, old = reloaded, reloaded.workers
    server.send(signal.SIGHUP)
    new = stopped_newcomer(server, old)
    for _ in range(9):
        server.send(signal.SIGHUP)
        time.sleep(0.1)
    assert server.workers == [*old, new]
    assert server.get("/health").status_code == 200
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    os.kill(new, signal.SIGCONT)
    server.wait_for_log("Serving ", 3)  # all the others have become one
    wait_until(lambda: len(server.workers) == 1)
    assert not {*old, new} & set(server.workers)
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert server.log.count("Booting worker") == 3


def test_a_new_worker_that_dies_is_tried_again_while_the_old_one_serves(reloaded: GunicornServer) -> None:
    server, old, ready = reloaded, reloaded.workers, reloaded.log.count("Serving ")
    server.send(signal.SIGHUP)
    os.kill(stopped_newcomer(server, old), signal.SIGKILL)
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    server.wait_for_log("Serving ", ready + 1)
    wait_until(lambda: len(server.workers) == 1)
    assert server.workers != old


def counts_of(server: GunicornServer) -> Path:
    """Where the server's workers keep their counts."""
    [lock] = [file for file in open_files(server.pid).values() if "/whisper-metrics-" in file]
    return Path(lock).parent


@pytest.fixture(scope="module")
def next_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """A second one; the last test stops it."""
    with GunicornServer(tmp_path_factory.mktemp("next") / "server.log") as running:
        yield running.wait_until_ready()


def test_a_killed_servers_counts_go_with_the_next_start(
    reloaded: GunicornServer, server: GunicornServer, request: pytest.FixtureRequest
) -> None:
    killed, left = reloaded, counts_of(reloaded)
    with (left / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # so that no other server that starts meanwhile tidies up
        for pid in (killed.pid, *killed.workers):
            os.kill(pid, signal.SIGKILL)
        killed.wait()
        wait_until(lambda: not killed.listens())
        assert left.is_dir()
    request.getfixturevalue("next_one")
    assert not left.exists()
    assert counts_of(server).is_dir()
    assert server.get("/metrics").status_code == 200


def test_a_stop_during_a_reload_is_a_stop(next_one: GunicornServer) -> None:
    server, old = next_one, next_one.workers
    server.send(signal.SIGHUP)
    new = stopped_newcomer(server, old)
    server.send(signal.SIGTERM)
    os.kill(new, signal.SIGCONT)
    assert server.wait() == 0
