"""A worker with too little memory for one more model: a refusal that says so, and nothing else changes."""

import re
import resource
from collections.abc import Iterator

import pytest

from benchmarks.random_weights import TINY, TINY_TURBO, write
from tests.functional.gunicorn_server import GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.processes import limited, status

ROOM_BYTES = 64 * 1024**2
"""Enough to go on, and less than half of what `large` takes."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    folder = tmp_path_factory.mktemp("memory")
    write(folder / "large.pt", TINY, tokens=5)
    write(folder / "little.pt", TINY_TURBO, tokens=5)
    listed = f"large={folder / 'large.pt'},little={folder / 'little.pt'}"
    with GunicornServer(folder / "server.log", WHISPER_MODELS=listed) as running:
        yield running.wait_until_ready()


def data_bytes(pid: int) -> int:
    """What RLIMIT_DATA limits: a process's private, writable memory."""
    [kib] = re.findall(r"VmData:\s+(\d+) kB", status(pid))
    return int(kib) * 1024


def test_without_memory_for_a_model_the_others_go_on(three: GunicornServer) -> None:
    [worker] = three.workers
    assert three.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    with limited(worker, resource.RLIMIT_DATA, data_bytes(worker) + ROOM_BYTES):
        for _ in range(2):
            refused = three.transcribe(FLAGSHIP, model="large")
            assert refused.status_code == 503
            assert 1 <= int(refused.headers["Retry-After"]) <= 120
            message = refused.json()["error"]["message"]
            assert "there is not enough memory for it. Loaded: demo." in message
            assert three.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert three.log.count("The model large can't be loaded") == 1
    assert three.transcribe(FLAGSHIP, model="little").status_code == 200
    assert three.get("/api/ps").json()["models"] == ["demo", "little"]
    assert three.workers == [worker]
    assert three.get("/ready").status_code == 200
