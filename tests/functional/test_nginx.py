"""deploy/nginx.conf in front of real servers, and what nginx says when it has to answer itself."""

import os
import re
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from app.settings import Settings
from tests.functional.checked_clients import openai_client, requests_session
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer, free_port
from tests.functional.nginx_proxy import Nginx
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.test_limits import flagship_of
from tests.openai_spec import read_as
from tests.upstream_server import UpstreamServer, upstream_server

pytestmark = pytest.mark.needs("nginx")

FILE_LIMIT = Settings().max_upload_bytes
BODY_LIMIT = Settings().max_body_bytes
PING = {"model": "gpt-audio", "messages": [{"role": "user", "content": "ping"}]}
BUSY = {"error": {"message": "The queue is full.", "type": "server_error", "param": None, "code": None}}

StartNginx = Callable[..., Nginx]


@pytest.fixture(scope="module")
def nginx(server: GunicornServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{server.port}") as running:
        yield running


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    with ExitStack() as running:
        yield lambda *upstreams, **changes: running.enter_context(Nginx(tmp_path, *upstreams, **changes))


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


@pytest.fixture
def busy() -> Iterator[UpstreamServer]:
    with upstream_server() as stand_in:
        stand_in.answers(BUSY, 503, **{"Retry-After": "7"})
        yield stand_in


def transcribe(
    session: requests.Session, nginx: Nginx, audio: bytes, *, chunked: bool = False, **fields: str
) -> requests.Response:
    form = {"model": "whisper-1", **fields}
    url = f"{nginx.url}/v1/audio/transcriptions"
    request = requests.Request("POST", url, data=form, files={"file": ("a.wav", audio)}).prepare()
    headers = {"Content-Type": request.headers["Content-Type"]}
    body = iter([request.body]) if chunked else request.body
    return session.post(url, data=body, headers=headers, stream=True, timeout=PATIENCE_SECONDS)


def ping(session: requests.Session, nginx: Nginx, **headers: str) -> requests.Response:
    url = f"{nginx.url}/v1/chat/completions"
    return session.post(url, json=PING, headers=headers, timeout=PATIENCE_SECONDS)


def error_of(answer: requests.Response, status: int) -> dict[str, Any]:
    """The error, in the body and with the headers that the server's own errors have."""
    assert answer.status_code == status
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["Content-Type"] == "application/json"
    return read_as("error", answer.content)["error"]


def upstreams_of(log: list[str]) -> list[str]:
    """Who was asked, for each request; two with a comma between where the first failed."""
    return [re.findall(r"upstream=(.*) upstream_status", line)[0] for line in log]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_of_exactly_the_limit(session: requests.Session, nginx: Nginx, chunked: bool) -> None:
    assert FILE_LIMIT == 100 * 1024 * 1024
    answer = transcribe(session, nginx, flagship_of(FILE_LIMIT), chunked=chunked)
    assert answer.json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize(("chunked", "sent"), [(False, f"{BODY_LIMIT + 300}"), (True, "more")])
def test_a_body_over_the_limit(session: requests.Session, nginx: Nginx, chunked: bool, sent: str) -> None:
    body = bytes(BODY_LIMIT + 300)
    url = f"{nginx.url}/v1/audio/transcriptions"
    answer = session.post(url, data=iter([body]) if chunked else body, timeout=PATIENCE_SECONDS)
    error = error_of(answer, 413)
    assert error["message"] == f"Maximum content size limit (101 MiB) exceeded ({sent} bytes sent)"
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, None)


def test_the_sdk_sees_why(nginx: Nginx) -> None:
    with (
        openai_client(nginx.url) as client,
        pytest.raises(openai.APIStatusError, match="Maximum content size limit") as caught,
    ):
        client.audio.transcriptions.create(model="whisper-1", file=bytes(BODY_LIMIT))
    assert caught.value.status_code == 413
    assert caught.value.request_id


def test_a_stream_of_the_server(session: requests.Session, nginx: Nginx, server: GunicornServer) -> None:
    answer = transcribe(session, nginx, FLAGSHIP.read_bytes(), stream="true")
    *_, done = [frame for frame in answer.iter_lines(delimiter=b"\n\n") if frame.startswith(b"data:")]
    assert FLAGSHIP_TEXT.encode() in done
    assert server.transcribe(FLAGSHIP, stream="true").headers["X-Accel-Buffering"] == "no"


def test_a_stream_with_that_header_is_not_held_back(
    session: requests.Session, start_nginx: StartNginx, busy: UpstreamServer
) -> None:
    busy.status, busy.hang_after_body = 200, True
    busy.headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    busy.body = [b"data: first\n\n"]
    url = f"{start_nginx(f'127.0.0.1:{busy.server_port}').url}/v1/chat/completions"
    with session.post(url, json=PING, stream=True, timeout=20) as answer:
        assert next(answer.iter_lines()) == b"data: first"
        assert not busy.closing.is_set()


@pytest.mark.parametrize("path", ["/v1/models", "/nginx-error"], ids=["of the server", "of nginx"])
@pytest.mark.parametrize("sent", ["mine-1", "no good", "x" * 129, "é", ""])
def test_request_id(session: requests.Session, nginx: Nginx, path: str, sent: str) -> None:
    headers = {"X-Request-ID": sent.encode()}
    got = session.get(nginx.url + path, headers=headers, timeout=PATIENCE_SECONDS).headers["x-request-id"]
    assert got == sent if sent == "mine-1" else re.fullmatch(r"req_[0-9a-f]{32}", got)


@pytest.mark.parametrize(
    ("head", "status", "kind", "code"),
    [
        ("NONSENSE", 400, "invalid_request_error", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b", 400, "invalid_request_error", None),
        (f"GET / HTTP/1.1\r\nHost: a\r\nX: {'x' * 40_000}", 400, "invalid_request_error", None),
        (f"GET /{'x' * 40_000} HTTP/1.1\r\nHost: a", 414, "invalid_request_error", None),
        ("TRACE / HTTP/1.1\r\nHost: a", 405, "invalid_request_error", "method_not_supported"),
        ("GET /nginx-error HTTP/1.1\r\nHost: a", 404, "invalid_request_error", "unknown_url"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip", 501, "invalid_request_error", None),
        ("GET / HTTP/2.0\r\nHost: a", 505, "invalid_request_error", None),
    ],
    ids=["no request", "two hosts", "long header", "long URL", "TRACE", "internal URL", "gzip", "HTTP/2.0"],
)
def test_what_never_reaches_the_server(nginx: Nginx, head: str, status: int, kind: str, code: str) -> None:
    with socket.create_connection(("127.0.0.1", nginx.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: client.recv(10_000), b""))
    got, _, body = answer.partition(b"\r\n\r\n")
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nContent-Type: application/json\r\n" in got
    assert re.search(rb"\r\nx-request-id: req_\w{32}(\r\n|$)", got)
    error = read_as("error", body)["error"]
    assert (error["type"], error["code"]) == (kind, code)


def test_an_operators_own_limits(
    session: requests.Session, start_nginx: StartNginx, server: GunicornServer
) -> None:
    """nginx 1.22 gives 429 and 417 only where its settings say so."""
    limit = "limit_req zone=few; limit_req_status 429;"
    changes = {
        "upstream whisper {": "limit_req_zone $server_port zone=few:64k rate=1r/m; upstream whisper {",
        "location / {": f"location = /417 {{ return 417; }} location / {{ {limit}",
    }
    nginx = start_nginx(f"127.0.0.1:{server.port}", **changes)
    assert ping(session, nginx).status_code == 200
    answer = ping(session, nginx)
    error = error_of(answer, 429)
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    error = error_of(session.get(f"{nginx.url}/417", timeout=PATIENCE_SECONDS), 417)
    assert (error["type"], error["code"]) == ("invalid_request_error", None)


def test_errors_of_the_server_pass_as_they_are(session: requests.Session, nginx: Nginx) -> None:
    answer = transcribe(session, nginx, b"no audio")
    assert error_of(answer, 400)["param"] == "file"
    assert answer.headers["openai-version"]
    answer = session.get(f"{nginx.url}/v1/none", timeout=PATIENCE_SECONDS)
    assert error_of(answer, 404)["message"] == "Invalid URL (GET /v1/none)"


@pytest.mark.slow
def test_an_nginx_elsewhere_tells_who_asks_if_it_is_trusted(
    start_server: StartServer, start_nginx: StartNginx
) -> None:
    """In a container of its own, it has another address than this machine's."""
    server = start_server(WHISPER_TRUSTED_PROXIES="127.0.0.2/32").wait_until_ready()
    pass_on = {"proxy_pass http://whisper;": "proxy_bind 127.0.0.2; proxy_pass http://whisper;"}
    nginx = start_nginx(f"127.0.0.1:{server.port}", **pass_on)
    for port, source in ((nginx.port, "127.0.0.5"), (server.port, "127.0.0.6")):
        request = b"GET /v1/nowhere HTTP/1.0\r\nX-Forwarded-For: 127.0.0.7\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS, (source, 0)) as client:
            client.sendall(request)
            assert b" 404 " in client.recv(1_000)
        server.wait_for_log(f" who={source} ")
    assert "127.0.0.7" not in server.log
    assert "who=127.0.0.2 " not in server.log


def test_a_dead_server(session: requests.Session, start_nginx: StartNginx) -> None:
    answer = ping(session, start_nginx(f"127.0.0.1:{free_port()}"))
    error = error_of(answer, 502)
    assert (error["type"], error["code"]) == ("server_error", None)
    assert 1 <= int(answer.headers["Retry-After"]) <= 120


def test_a_server_that_never_answers(
    session: requests.Session, start_nginx: StartNginx, busy: UpstreamServer
) -> None:
    busy.hang_before_head = True
    silent = start_nginx(
        f"127.0.0.1:{busy.server_port}", **{"proxy_read_timeout 3700s": "proxy_read_timeout 1s"}
    )
    answer = ping(session, silent)
    assert error_of(answer, 504)["code"] == "request_timeout"
    assert answer.headers["x-should-retry"] == "false"
    assert len(busy.received) == 1


def test_no_room_for_an_upload(
    session: requests.Session, start_nginx: StartNginx, server: GunicornServer, tmp_path: Path
) -> None:
    nginx = start_nginx(f"127.0.0.1:{server.port}")
    shutil.rmtree(tmp_path / "body")
    error = error_of(transcribe(session, nginx, FLAGSHIP.read_bytes()), 500)
    assert error["type"] == "server_error"
    assert ping(session, nginx).status_code == 200


def test_busy_is_passed_on_with_its_retry_after(
    session: requests.Session, start_nginx: StartNginx, busy: UpstreamServer
) -> None:
    """Time and again: a busy instance counts as alive."""
    with upstream_server() as other:
        other.answers(BUSY, 503, **{"Retry-After": "7"})
        nginx = start_nginx(f"127.0.0.1:{busy.server_port}", f"127.0.0.1:{other.server_port}")
        for asked in (1, 2, 3):
            answer = ping(session, nginx)
            assert (answer.status_code, answer.json()) == (503, BUSY)
            assert answer.headers["Retry-After"] == "7"
            assert len(busy.received) == len(other.received) == asked


def test_what_one_is_too_busy_for_another_does(
    session: requests.Session, start_nginx: StartNginx, busy: UpstreamServer, server: GunicornServer
) -> None:
    nginx = start_nginx(f"127.0.0.1:{busy.server_port}", f"127.0.0.1:{server.port}")
    answers = [ping(session, nginx) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert busy.received
    assert all(body == PING for body in busy.received)


def kill(server: GunicornServer) -> None:
    """All of an instance at once, the master first so that nothing is replaced."""
    workers = server.workers
    for pid in (server.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    server.wait()


def terminate(server: GunicornServer) -> None:
    server.send(signal.SIGTERM)
    assert server.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", [terminate, kill])
def test_two_instances_of_which_one_ends_under_load(
    end: Callable[[GunicornServer], None],
    server: GunicornServer,
    start_server: StartServer,
    start_nginx: StartNginx,
    tmp_path: Path,
) -> None:
    unix = f"unix:{tmp_path}/whisper.sock"
    second = start_server(HOST=unix)
    second.wait_for_log("Serving ")
    tcp = f"127.0.0.1:{server.port}"
    nginx = start_nginx(tcp, unix)

    def text(_: int) -> str:
        with requests.Session() as session:
            return transcribe(session, nginx, FLAGSHIP.read_bytes()).json()["text"]

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(text, range(8))) == {FLAGSHIP_TEXT}
        assert set(upstreams_of(nginx.wait_for_log(8))) == {tcp, unix}
        under_load = clients.map(text, range(10))
        nginx.wait_for_log(10)
        end(second)
        after = clients.map(text, range(2))
        assert {*under_load, *after} == {FLAGSHIP_TEXT}
    log = nginx.wait_for_log(20)
    assert f"{unix}, {tcp}" in upstreams_of(log)
    assert all(" 200 in=" in line for line in log)
