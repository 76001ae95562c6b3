"""Workers that are killed one after the other: each is replaced, and nothing of them is left behind."""

import os
import re
import signal
from pathlib import Path

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP_TEXT
from tests.functional.test_faults import ask, wait_until
from tests.processes import children, is_running, open_files, status

SPARE_KB = 30_000
"""How much the master may grow: nothing that adds up."""


def counts_of(worker: int) -> Path:
    """The folder in which the workers share their counts."""
    [folder] = set(
        re.findall(r"(/\S*/whisper-metrics-\w+)/counter_\d+\.db", Path(f"/proc/{worker}/maps").read_text())
    )
    return Path(folder)


def resident_kb(pid: int) -> int:
    [found] = re.findall(r"VmRSS:\s+(\d+)", status(pid))
    return int(found)


def kill_one(server: GunicornServer) -> None:
    """The worker, whose decoders end with it; then wait for the next one and ask it something."""
    [worker], ready = server.workers, server.log.count("Serving ")
    decoders = children(worker)
    assert decoders
    os.kill(worker, signal.SIGKILL)
    server.wait_for_log("Serving ", ready + 1)
    assert ask(server) == FLAGSHIP_TEXT
    wait_until(lambda: not any(map(is_running, decoders)), "its decoders have ended")
    assert worker not in server.workers
    assert len(server.workers) == 1


def workers_are_killed(server: GunicornServer, times: int) -> None:
    assert ask(server) == FLAGSHIP_TEXT
    kill_one(server)
    folder, opened, memory = counts_of(server.workers[0]), open_files(server.pid), resident_kb(server.pid)
    files = {file.name for file in folder.iterdir()}
    for _ in range(times - 1):
        kill_one(server)
    assert len(open_files(server.pid)) == len(opened)
    assert resident_kb(server.pid) < memory + SPARE_KB
    assert counts_of(server.workers[0]) == folder
    assert {file.name for file in folder.iterdir()} == files
    assert server.stop() == 0
    assert not folder.exists()


@pytest.mark.slow
def test_two_workers_are_killed(start_server: StartServer) -> None:
    workers_are_killed(start_server().wait_until_ready(), 2)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_fifty_workers_are_killed(start_server: StartServer) -> None:
    workers_are_killed(start_server().wait_until_ready(), 50)
