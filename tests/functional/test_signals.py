"""Workers that are stopped (SIGSTOP); more workers, fewer, and a second master (TTIN, TTOU, USR2)."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP_TEXT
from tests.functional.test_faults import ask, begun_with_requests, wait_until
from tests.functional.traffic import Traffic
from tests.processes import is_running, status

HEARTBEAT_SECONDS = 10
"""In place of 120: a worker that gives no sign of life for so long is replaced."""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that gets no time meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: "\nState:\tT" in status(pid), "it has stopped")
        yield
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGCONT)


def a_worker_is_stopped(server: GunicornServer, seconds: float) -> None:
    """Who is being answered and who comes meanwhile waits, and nobody is refused."""
    [worker] = server.workers
    with ExitStack() as held, ThreadPoolExecutor(3) as clients:
        rest = held.enter_context(begun_with_requests(server))
        with stopped(worker):
            meanwhile = [clients.submit(ask, server) for _ in range(3)]
            time.sleep(seconds)
            assert not any(request.done() for request in meanwhile)
        assert [request.result(PATIENCE_SECONDS) for request in meanwhile] == [FLAGSHIP_TEXT] * 3
        assert "See you tomorrow." in rest()
    assert server.workers == [worker]


def a_hanging_worker_is_replaced(server: GunicornServer, seconds: float) -> None:
    """The master ends it after its `timeout`; whoever comes then is answered by the next one."""
    [worker], ready = server.workers, server.log.count("Serving ")
    with stopped(worker):
        wait_until(
            lambda: not is_running(worker), "the master has ended the worker", seconds + PATIENCE_SECONDS
        )
    server.wait_for_log("Serving ", ready + 1)
    assert "WORKER TIMEOUT" in server.log
    assert worker not in server.workers
    assert ask(server) == FLAGSHIP_TEXT


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One for all of these tests: each leaves it with one worker, the last with another master."""
    log = tmp_path_factory.mktemp("signals") / "server.log"
    with GunicornServer(log, GUNICORN_CMD_ARGS=f"--timeout {HEARTBEAT_SECONDS}") as running:
        yield running.wait_until_ready()


@pytest.mark.slow
def test_a_worker_is_stopped_for_seconds(impatient: GunicornServer) -> None:
    a_worker_is_stopped(impatient, 2)


@pytest.mark.long
def test_a_worker_is_stopped_for_twenty_seconds(server: GunicornServer) -> None:
    a_worker_is_stopped(server, 20)


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(impatient: GunicornServer) -> None:
    a_hanging_worker_is_replaced(impatient, HEARTBEAT_SECONDS)


@pytest.mark.long
def test_a_worker_that_hangs_for_minutes_is_replaced(start_server: StartServer) -> None:
    """Gunicorn's `timeout` is 120 s in the settings."""
    a_hanging_worker_is_replaced(start_server().wait_until_ready(), 120)


@pytest.mark.slow
def test_one_worker_more_and_one_less(impatient: GunicornServer) -> None:
    [first], ready = impatient.workers, impatient.log.count("Serving ")
    with Traffic(partial(ask, impatient), 1) as traffic:
        impatient.send(signal.SIGTTIN)
        impatient.wait_for_log("Serving ", ready + 1)
        traffic.wait_for(2)
        impatient.send(signal.SIGTTOU)
        wait_until(lambda: first not in impatient.workers, "the older worker has left")
        traffic.wait_for(2)
    assert traffic.failures == []
    assert traffic.texts == {FLAGSHIP_TEXT}
    assert len(impatient.workers) == 1
    assert "Traceback" not in impatient.log


@pytest.mark.slow
def test_a_second_master_takes_over(impatient: GunicornServer) -> None:
    """SIGUSR2, then SIGTERM for the first one: the port is never closed, and no request is lost."""
    [old], ready = impatient.workers, impatient.log.count("Serving ")
    with Traffic(partial(ask, impatient), 1) as traffic:
        impatient.send(signal.SIGUSR2)
        wait_until(lambda: len(impatient.workers) == 2, "the second master is there")
        [second] = set(impatient.workers) - {old}
        try:
            impatient.wait_for_log("Serving ", ready + 1)
            traffic.wait_for(2)
            assert impatient.stop() == 0
            traffic.wait_for(2)
            assert traffic.failures == []
        finally:
            os.kill(second, signal.SIGTERM)
        wait_until(lambda: not impatient.listens(), "the port is closed")
    wait_until(lambda: not is_running(second), "the second master has ended")
    assert traffic.texts == {FLAGSHIP_TEXT}
    assert "Traceback" not in impatient.log
