"""Headers and URLs made to forge the log, to get leave from CORS, or to grow labels and descriptors."""

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.process_state import ProcessState, at_rest
from tests.functional.raw_requests import connected

KEY = "sk-test-0123456789abcdef"
ORIGIN = "https://intranet.example.com"
TRANSCRIPTIONS = "/v1/audio/transcriptions"

THREADS = 64
"""Gunicorn starts them as it needs them, and keeps them."""

FORGED = "[2026-01-01 00:00:00 +0000] [1] [INFO] answered request_id=req_forged"
FORGED_JSON = '{"level": "info", "message": "answered", "request_id": "req_forged"}'
IN_URL = [
    "%0A",
    "%0D",
    "%0D%0A",
    "%0a%0a",
    "%E2%80%A8",
    "%E2%80%A9",
    "%C2%85",
    "%0B",
    "%0C",
    "%1B[2K",
    "%00",
    "%08",
]
IN_HEADER = ["\t", "\x85", "\u2028", '"', "\\n", "\\r\\n", "', ", '"}', "\xa0"]
IN_HEADER_REFUSED = ["\n", "\r", "\x00", "\x1b[2K"]
"""What Gunicorn takes no header with."""

ORIGINS = [
    "https://intranet.example.com.evil.example",
    "https://evil-intranet.example.com",
    "https://evil.intranet.example.com",
    "https://intranetXexample.com",
    "https://intranet.example.com:8443",
    "http://intranet.example.com",
    "HTTPS://INTRANET.EXAMPLE.COM",
    "https://intranet.example.com/",
    "https://user@intranet.example.com",
    f"{ORIGIN}, https://evil.example",
    f"https://evil.example {ORIGIN}",
    "null",
    "*",
]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("hostile") / "server.log"
    environ = {"WHISPER_API_KEYS": KEY, "WHISPER_CORS_ORIGINS": ORIGIN, "WHISPER_LOG_FORMAT": "json"}
    with GunicornServer(log, **environ) as running:
        running.wait_for_log("Serving ")
        yield running


@pytest.fixture(params=["plain", "json"])
def either(request: pytest.FixtureRequest) -> GunicornServer:
    """A server with each format of the log."""
    return request.getfixturevalue({"plain": "server", "json": "locked"}[request.param])


def send(server: GunicornServer, path: str, header: str) -> bytes:
    """The start of the answer to a request with any path and any `User-Agent`."""
    lines = [f"GET {path} HTTP/1.1", "Host: here", "Connection: close", f"User-Agent: {header}"]
    with connected(server.port) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        return b"".join(iter(lambda: client.recv(4096), b""))[:12]


def written_since(server: GunicornServer, before: int, path: str) -> list[str]:
    """The lines since, once there is one with this path: a line comes just after its answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while path not in server.log[before:]:
        assert time.monotonic() < deadline, server.log[before:]
        time.sleep(0.02)
    return server.log[before:].split("\n")


def assert_nothing_is_forged(server: GunicornServer, before: int, path: str) -> None:
    """One line, with no more fields than any other's, and nothing in it that a terminal would obey."""
    lines = [line for line in written_since(server, before, path) if path in line]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert not [line for line in server.log.splitlines() if line.startswith((FORGED, FORGED_JSON))]
    [request_id] = re.findall(r'request_id(?:=|": ")(\w+)', lines[0])[:1]
    assert re.fullmatch("req_[0-9a-f]{32}", request_id)


@pytest.mark.parametrize("trick", IN_URL)
def test_a_url_forges_no_line(either: GunicornServer, trick: str) -> None:
    before, path = len(either.log), f"/u{IN_URL.index(trick)}-{time.monotonic_ns()}"
    forged = (FORGED + FORGED_JSON).replace(" ", "%20")
    assert send(either, f"{path}{trick}{forged}", "a") in (b"HTTP/1.1 404", b"HTTP/1.1 401")
    assert_nothing_is_forged(either, before, path)


@pytest.mark.parametrize("trick", IN_HEADER)
def test_a_header_forges_no_line(either: GunicornServer, trick: str) -> None:
    before, path = len(either.log), f"/h{IN_HEADER.index(trick)}-{time.monotonic_ns()}"
    assert send(either, path, f"a{trick}{FORGED}{FORGED_JSON}") in (b"HTTP/1.1 404", b"HTTP/1.1 401")
    assert_nothing_is_forged(either, before, path)


@pytest.mark.parametrize("trick", IN_HEADER_REFUSED)
def test_a_header_with_line_feeds_is_refused(either: GunicornServer, trick: str) -> None:
    before = len(either.log)
    assert send(either, "/x", f"a{trick}{FORGED}") == b"HTTP/1.1 400"
    assert not [line for line in either.log[before:].splitlines() if line.startswith(FORGED)]
    assert "\x1b" not in either.log[before:]


@pytest.mark.parametrize("origin", ORIGINS)
def test_no_leave_for_an_origin_that_only_looks_alike(locked: GunicornServer, origin: str) -> None:
    headers = {"Origin": origin, "Authorization": f"Bearer {KEY}", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET"):
        url = f"{locked.url}/v1/models"
        answer = requests.request(method, url, headers=headers, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_the_origin_itself_gets_leave(locked: GunicornServer) -> None:
    headers = {"Origin": ORIGIN, "Authorization": f"Bearer {KEY}"}
    answer = requests.get(f"{locked.url}/v1/models", headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def series(server: GunicornServer) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Every name with its labels."""
    headers = {"Authorization": f"Bearer {KEY}", "Connection": "close"}
    answer = requests.get(f"{server.url}/metrics", headers=headers, timeout=PATIENCE_SECONDS)
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, tuple(sample.labels.items())) for family in families for sample in family.samples}


def ask_oddly(session: requests.Session, server: GunicornServer, number: int) -> int:
    """Each time another URL, method, model name, request id, key or user agent."""
    odd = f"odd-{number}"
    headers = {"X-Request-ID": odd, "User-Agent": odd, "Authorization": f"Bearer {KEY}"}
    ways = [
        ("GET", f"/{odd}", {}),
        (f"ODD{number}", "/v1/models", {}),
        ("GET", f"/v1/models/{odd}", {}),
        ("POST", TRANSCRIPTIONS, {"data": {"model": odd}, "files": {"file": b"x"}}),
        ("GET", f"/v1/models?{odd}", {}),
        ("POST", "/v1/chat/completions", {"json": {"model": odd, odd: odd}}),
        ("GET", "/v1/models", {"headers": headers | {"Authorization": f"Bearer {odd}"}}),
        ("HEAD", f"/v1/{odd}/health", {}),
    ]
    method, path, parts = ways[number % len(ways)]
    url = server.url + path
    return session.request(method, url, timeout=PATIENCE_SECONDS, **{"headers": headers, **parts}).status_code


def odd_requests_leave_nothing_behind(locked: GunicornServer, requests_in_all: int) -> None:
    with ExitStack() as held:
        session = held.enter_context(requests.Session())
        first = {ask_oddly(session, locked, number) for number in range(8)}
        assert first <= {200, 400, 401, 404, 405}
        series(locked)  # so that this question is counted too
        known = series(locked)
        before = ProcessState.of(locked.pid)
        for number in range(8, requests_in_all):
            assert ask_oddly(session, locked, number) in first
    assert series(locked) == known
    assert "odd" not in str(known)
    after = at_rest(locked.pid, before.descriptors, PATIENCE_SECONDS)
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads + THREADS
    assert after.temporary_files == before.temporary_files


def test_hundreds_of_odd_requests_leave_nothing_behind(locked: GunicornServer) -> None:
    odd_requests_leave_nothing_behind(locked, 400)


@pytest.mark.long
def test_thousands_of_odd_requests_leave_nothing_behind(locked: GunicornServer) -> None:
    odd_requests_leave_nothing_behind(locked, 2_000)
