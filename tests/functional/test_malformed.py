"""Ten thousand requests that no client should send: nothing breaks, nothing hangs, nothing leaks."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.malformed import Malformer
from tests.functional.process_state import ProcessState, at_rest
from tests.functional.raw_client import RawClient
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT

SEED = 2026
IN_CI = 1_500
ALL = 10_000
CLIENTS = 8
NOT_IMPLEMENTED = 501
"""What HTTP wants as the answer to an unknown Transfer-Encoding; no other failure is the server's."""

Outcomes = Counter[tuple[str, int | None]]


def send(server: GunicornServer, numbers: range, make: Malformer) -> Outcomes:
    """Send requests from several clients at once; how many of each kind ended in which status."""
    shares = [numbers[client::CLIENTS] for client in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(partial(_send_share, server, make=make), shares), Outcomes())


def _send_share(server: GunicornServer, numbers: range, make: Malformer) -> Outcomes:
    outcomes = Outcomes()
    with closing(RawClient(server.host, server.port)) as client:
        for number in numbers:
            request = make(number)
            status = client.status(request.data, ends=request.ends)
            assert status is not None or request.ends, f"no answer to {request}"
            assert status is None or status < 500 or status == NOT_IMPLEMENTED, f"{status} for {request}"
            outcomes[request.kind, status] += 1
    return outcomes


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "count", [pytest.param(IN_CI, id="a sample"), pytest.param(ALL, id="all", marks=pytest.mark.long)]
)
def test_malformed_requests_neither_break_nor_bloat_the_server(
    start_server: StartServer, tmp_path: Path, count: int
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    server = start_server(TMPDIR=str(temporary)).wait_until_ready()
    [worker] = server.workers
    before = ProcessState.of(worker)
    make = Malformer(SEED)
    outcomes = send(server, range(IN_CI // 2), make)
    warm = at_rest(worker, before.descriptors, PATIENCE_SECONDS)
    named = set(temporary.iterdir())
    outcomes += send(server, range(IN_CI // 2, count), make)
    after = at_rest(worker, before.descriptors, PATIENCE_SECONDS)
    assert outcomes.total() == count
    assert {status for _, status in outcomes} >= {None, 200, 400, 404, 405, 413, 414, 417, 431}
    assert server.workers == [worker]
    assert "Traceback" not in server.log
    assert after.descriptors <= before.descriptors
    assert after.temporary_files <= before.temporary_files
    assert set(temporary.iterdir()) <= named
    assert after.threads <= before.threads + 2 * CLIENTS  # Gunicorn keeps those that it needed at once
    assert after.resident_mb < warm.resident_mb + 64
    assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
