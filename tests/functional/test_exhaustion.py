"""A full disk for temporary files and no file descriptors: refusals while it lasts, and nothing afterwards.

Both are made with a limit on the running worker, which needs no rights; the limit on file sizes ends
in another errno (EFBIG) than a full disk (ENOSPC), and the two are handled alike. Disks that really are
small need a mount namespace.
"""

import json
import os
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.process_state import ProcessState
from tests.functional.realtime_client import websocket
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.openai_spec import check_response
from tests.processes import limited, open_files

SPARE = 4
"""How many file descriptors are left to the worker."""


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    """One that may be brought to its limits."""
    log = tmp_path_factory.mktemp("exhausted") / "server.log"
    with GunicornServer(log, WHISPER_REALTIME_SESSIONS="1") as running:
        yield running.wait_until_ready()


def flagship_of(size: int) -> bytes:
    """The recording, and a RIFF chunk of filling."""
    audio = FLAGSHIP.read_bytes()
    filling = size - len(audio) - 8
    return audio + b"JUNK" + filling.to_bytes(4, "little") + bytes(filling)


def post(session: requests.Session, server: GunicornServer, audio: bytes) -> requests.Response:
    return session.post(
        f"{server.url}/v1/audio/transcriptions",
        data={"model": "whisper-1"},
        files={"file": ("a.wav", audio)},
        hooks={"response": check_response},
        timeout=PATIENCE_SECONDS,
    )


SMALL = FLAGSHIP.read_bytes()
LARGE = flagship_of(2_000_000)
"""Werkzeug keeps uploads of up to 500 KiB in memory, larger ones in a file."""


def test_a_full_disk_for_temporary_files(own_server: GunicornServer) -> None:
    [worker] = own_server.workers
    with requests.Session() as session:
        assert post(session, own_server, LARGE).json()["text"] == FLAGSHIP_TEXT
        before = ProcessState.of(worker)
        with limited(worker, resource.RLIMIT_FSIZE, 1_000_000):
            for _ in range(5):
                refused = post(session, own_server, LARGE)
                assert refused.status_code == 503
                assert "no room for your request (File too large)" in refused.json()["error"]["message"]
                assert 1 <= int(refused.headers["Retry-After"]) <= 120
            assert post(session, own_server, SMALL).json()["text"] == FLAGSHIP_TEXT
        after = ProcessState.of(worker)
        assert post(session, own_server, LARGE).json()["text"] == FLAGSHIP_TEXT
    assert (after.temporary_files, after.descriptors) == (before.temporary_files, before.descriptors)
    assert own_server.log.count("no room, perhaps in") == 5
    assert "Traceback" not in own_server.log


SMALL_DISKS = (
    'mount -t tmpfs -o size=4m small /dev/shm && mount -t tmpfs -o size=4m small "$TMPDIR" && exec "$@"'
)


def with_small_disks() -> list[str]:
    """The command in front of a server. Some machines let only root have it; skipped there, but not in CI."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    allowed = subprocess.run([*unshare, "true"], check=False).returncode == 0
    if not allowed and "CI" not in os.environ:
        pytest.skip("needs a mount namespace")
    return [*unshare, "sh", "-c", SMALL_DISKS, "sh"]


@pytest.mark.slow
@pytest.mark.needs("unshare")
def test_four_megabytes_for_shared_memory_and_temporary_files(tmp_path: Path) -> None:
    """Both folders are other ones to this server alone."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with (
        GunicornServer(tmp_path / "server.log", under=with_small_disks(), TMPDIR=str(temporary)) as server,
        ThreadPoolExecutor(6) as pool,
        requests.Session() as session,
    ):
        server.wait_until_ready()
        [worker] = server.workers
        before = ProcessState.of(worker)
        refused = post(session, server, flagship_of(6_000_000))
        assert refused.status_code == 503
        assert "no room for your request (No space left on device)" in refused.json()["error"]["message"]
        together = list(pool.map(lambda _: post_alone(server, LARGE), range(6)))
        assert {answer.status_code for answer in together} <= {200, 503}
        assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
        assert post(session, server, LARGE).json()["text"] == FLAGSHIP_TEXT
        assert server.get("/metrics").status_code == 200
        assert server.workers == [worker]
        assert ProcessState.of(worker).temporary_files == before.temporary_files
        assert server.stop() == 0
        assert "Traceback" not in server.log


def post_alone(server: GunicornServer, audio: bytes) -> requests.Response:
    with requests.Session() as session:
        return post(session, server, audio)


def connected(server: GunicornServer) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=PATIENCE_SECONDS)


def use_up_descriptors(server: GunicornServer, held: ExitStack) -> None:
    """Connect until the worker says that it has none left, and some times more for those that it frees."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "No room for a new connection" not in server.log:
        held.enter_context(connected(server))
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)
    for _ in range(20):
        held.enter_context(connected(server))


def test_no_file_descriptors(own_server: GunicornServer) -> None:
    [worker] = own_server.workers
    with ExitStack() as held:
        session = held.enter_context(requests.Session())
        assert post(session, own_server, SMALL).json()["text"] == FLAGSHIP_TEXT
        with limited(worker, resource.RLIMIT_NOFILE, max(open_files(worker)) + 1 + SPARE):
            use_up_descriptors(own_server, held)
            known = post(session, own_server, SMALL)
            refused = post(session, own_server, LARGE)
    assert known.status_code in (200, 503)
    assert refused.status_code == 503
    assert "Too many open files" in refused.json()["error"]["message"]
    assert own_server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
    assert own_server.workers == [worker]


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_realtime_session_without_a_file_descriptor(own_server: GunicornServer) -> None:
    """One session may be open here, so a place that isn't given back would be missed."""
    [worker] = own_server.workers
    with closing(HTTPConnection(own_server.host, own_server.port, PATIENCE_SECONDS)) as connection:
        connection.request("GET", "/health")
        assert connection.getresponse().read(), "the worker has accepted the connection"
        with limited(worker, resource.RLIMIT_NOFILE, first_free_descriptor(worker)):
            connection.request("GET", "/v1/realtime?intent=transcription", headers=HANDSHAKE)
            refused = connection.getresponse()
            error = json.loads(refused.read())["error"]
    assert (refused.status, error["type"]) == (503, "server_error")
    assert "no room for a realtime session" in error["message"]
    with websocket(own_server.port) as session:
        assert "session.created" in str(session.recv(PATIENCE_SECONDS))
    assert own_server.workers == [worker]


def first_free_descriptor(pid: int) -> int:
    """A process whose limit this is can open nothing more."""
    taken = open_files(pid)
    return next(number for number in count() if number not in taken)
