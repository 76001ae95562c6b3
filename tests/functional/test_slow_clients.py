"""Clients that send or take next to nothing, more of them than there are threads, keep nobody waiting.

PROMPT_SECONDS is hundreds of times what an answer takes: before there was a limit for such clients, it
took a minute, or never came.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from select import select

import pytest
import requests
from openai import OpenAI

from app.admission import READING, THREADS, WRITING
from app.server.worker import HEAD_SECONDS
from tests.functional.certificates import make_certificate
from tests.functional.conftest import StartServer
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.nginx_proxy import Nginx
from tests.functional.raw_requests import PATH, connected, greedy, refusal, upload
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.functional.slow_connections import is_open, sent_within, slow_connections

pytestmark = pytest.mark.slow

KEY = "key-of-the-tests"
PROMPT_SECONDS = 30.0
ASKED = 10
RENEWED_SECONDS = 0.1
LARGEST = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n"
"""More than a megabyte, for which no key is needed."""
PORT_LIMIT = 256
"""Connections of a worker."""

KEYED = {"Authorization": f"Bearer {KEY}"}
REQUEST_LINE = f"POST {PATH} HTTP/1.1\r\nHost: here\r\n".encode()
LONG = b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
CHUNK = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{"
NO_SUCH_URL = b"POST /nope HTTP/1.1\r\nHost: here\r\n" + LONG
NO_SUCH_METHOD = b"POST /health HTTP/1.1\r\nHost: here\r\n" + LONG
KEY_LINE = f"Authorization: Bearer {KEY}\r\n".encode()
WITH_KEY = REQUEST_LINE + KEY_LINE
TOO_LONG = WITH_KEY + b"Content-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("keyed") / "server.log"
    with GunicornServer(log, WHISPER_API_KEYS=KEY) as running:
        yield running.wait_until_ready()


def serves(url: str) -> None:
    """Probes, models and an upload with a key get their answers, each on a new connection."""
    headers = {"Connection": "close", **KEYED}
    for path in ("/health", "/ready", "/v1/models"):
        assert requests.get(url + path, headers=headers, timeout=PROMPT_SECONDS).status_code == 200
    with (
        FLAGSHIP.open("rb") as file,
        OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0, timeout=60) as client,
    ):
        assert client.audio.transcriptions.create(model="whisper-1", file=file).text == FLAGSHIP_TEXT


def answers_health_while_they_stay(url: str, slow: list[socket.socket], *, all_stay: bool) -> None:
    """`/health` is answered while those who were there when it was asked still are, so it waited for none
    of them to reach a limit: time after time, in which those that are closed have come again. On a machine
    that is too busy for that it is asked anew.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    in_time = 0
    while in_time < ASKED:
        there = [client for client in slow if is_open(client)]
        answer = requests.get(f"{url}/health", headers={"Connection": "close"}, timeout=PROMPT_SECONDS)
        assert answer.status_code == 200
        still_there = [client for client in there if is_open(client)]
        good = there and len(still_there) >= (len(there) if all_stay else 1)
        in_time = in_time + 1 if good else 0
        assert time.monotonic() < deadline
        time.sleep(RENEWED_SECONDS)


SLOW = {
    "one unknown URL": (1, NO_SUCH_URL),
    "unknown URLs": (100, NO_SUCH_URL),
    "unknown methods": (100, NO_SUCH_METHOD),
    "no key": (100, REQUEST_LINE + LONG),
    "too long": (100, TOO_LONG),
    "half a request line": (100, REQUEST_LINE[:9]),
    "headers without end": (100, REQUEST_LINE + b"X-A: "),
    "64 heads": (64, REQUEST_LINE),
    "64 bodies with a key": (64, WITH_KEY + LONG),
    "bodies with a key": (100, WITH_KEY + LONG),
    "chunks with a key": (100, WITH_KEY + CHUNK),
    "more than the port takes": (300, REQUEST_LINE),
    "silent": (300, b""),
}


@pytest.mark.parametrize(("count", "begin"), SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("drip", [b"", b"x"], ids=["stop", "drip"])
def test_slow_clients_keep_nobody_out(keyed: GunicornServer, count: int, begin: bytes, drip: bytes) -> None:
    """Those that are closed come again, but for bodies with a key: a new one has its slot for a second, in
    which an upload gets a 503. Only heads stay until their time is up.
    """
    heads = b"\r\n\r\n" not in begin and count < PORT_LIMIT
    renewed = begin not in (WITH_KEY + LONG, WITH_KEY + CHUNK)
    pause = RENEWED_SECONDS if heads else 1.0
    with slow_connections(keyed.port, count, begin, drip, pause, renewed=renewed) as slow:
        time.sleep(1)
        answers_health_while_they_stay(keyed.url, slow, all_stay=heads)
        serves(keyed.url)
    assert "Traceback" not in keyed.log


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("begin", [NO_SUCH_URL, WITH_KEY + LONG, REQUEST_LINE], ids=["url", "body", "head"])
def test_nor_do_they_through_nginx(
    keyed: GunicornServer, tmp_path_factory: pytest.TempPathFactory, begin: bytes
) -> None:
    with (
        Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{keyed.port}") as nginx,
        slow_connections(nginx.port, 100, begin, b"x"),
    ):
        time.sleep(1)
        serves(nginx.url)


def test_a_late_head_is_a_408_and_a_silent_client_is_sent_nothing(keyed: GunicornServer) -> None:
    with connected(keyed.port) as late, connected(keyed.port) as silent:
        late.sendall(REQUEST_LINE)
        answer, error = refusal(late)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert "head" in str(error["message"])
        assert silent.recv(1) == b""


def test_a_head_in_pieces_is_served(keyed: GunicornServer) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    with connected(keyed.port) as client:
        for at in range(len(request)):
            client.sendall(request[at : at + 1])
            time.sleep(HEAD_SECONDS / len(request) / 10)
        assert sent_within(client, PROMPT_SECONDS).startswith(b"HTTP/1.1 200 ")


def test_two_requests_at_once_and_half_of_a_third(keyed: GunicornServer) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
    with connected(keyed.port) as client:
        client.sendall(2 * request + request[:20])
        answers = sent_within(client, HEAD_SECONDS * 3)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.count(b"HTTP/1.1 408") == 1


def test_a_head_of_more_than_64_kib_is_a_431(keyed: GunicornServer) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 8_000) for number in range(9))
    with connected(keyed.port) as client:
        client.sendall(REQUEST_LINE + headers)
        answer, error = refusal(client)
    assert answer.status == 431
    assert "65536" in str(error["message"])


def test_nobody_is_cut_for_being_slow_while_places_are_free(server: GunicornServer) -> None:
    whole = upload(FLAGSHIP)
    with connected(server.port) as client:
        for start in range(0, len(whole), len(whole) // 24 + 1):
            client.sendall(whole[start : start + len(whole) // 24 + 1])
            time.sleep(0.5)
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["stop", "drip"])
def test_a_newcomer_gets_the_place_of_a_slow_body(server: GunicornServer, drip: bytes) -> None:
    with slow_connections(server.port, READING, upload(FLAGSHIP)[:2_000], drip) as slow:
        time.sleep(3)
        assert select(slow, [], [], 0)[0] == []
        assert server.transcribe(FLAGSHIP).json()["text"] == FLAGSHIP_TEXT
        [cut] = select(slow, [], [], PROMPT_SECONDS)[0]
        answer, error = refusal(cut)
        assert (answer.status, answer.headers["Connection"]) == (408, "close")
        assert error["code"] == "request_timeout"
        assert "too slowly" in str(error["message"])


def test_clients_that_take_nothing_hold_no_more_threads_than_may_write(server: GunicornServer) -> None:
    body = b'{"model":"tts-1","voice":"alloy","input":"%s","response_format":"wav"}' % (b"word " * 800)
    head = b"POST /v1/audio/speech HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert WRITING < THREADS
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(greedy(server.port)).sendall(request)
        time.sleep(3)
        serves(server.url)


@pytest.mark.parametrize(
    "by_nginx", [False, pytest.param(True, marks=pytest.mark.needs("nginx"))], ids=["bare", "nginx"]
)
def test_answers_that_nobody_takes_keep_nobody_out(
    keyed: GunicornServer, tmp_path_factory: pytest.TempPathFactory, *, by_nginx: bool
) -> None:
    """More of them than there are threads, without a key, and as many again when those are cut."""
    with ExitStack() as held:
        front: GunicornServer | Nginx = keyed
        if by_nginx:
            front = held.enter_context(Nginx(tmp_path_factory.mktemp("nginx"), f"127.0.0.1:{keyed.port}"))
        for _ in range(3):
            unread = [held.enter_context(greedy(front.port)) for _ in range(150)]
            for client in unread:
                client.sendall(LARGEST)
            serves(front.url)
    assert "Traceback" not in keyed.log


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (REQUEST_LINE + b"Content-Length: 5000\r\n", 401),
        (WITH_KEY + b"Content-Type: application/json\r\nContent-Length: 200000000\r\n", 413),
        (b"POST /nope HTTP/1.1\r\nHost: here\r\nContent-Length: 5000\r\n" + KEY_LINE, 404),
    ],
)
def test_a_client_that_waits_for_leave_to_send_is_refused_first(
    keyed: GunicornServer, head: bytes, status: int
) -> None:
    with connected(keyed.port) as client:
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        answer = sent_within(client, PROMPT_SECONDS)
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_a_client_that_waits_for_leave_to_send_gets_it_once(keyed: GunicornServer) -> None:
    head, _, body = upload(FLAGSHIP).partition(b"\r\n\r\n")
    head += b"\r\nExpect: 100-continue\r\n" + KEY_LINE.strip()
    with connected(keyed.port) as client:
        client.sendall(head + b"\r\n\r\n")
        leave = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.recv(len(leave), socket.MSG_WAITALL) == leave
        client.sendall(body)
        answer = client.recv(1_000)
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_the_port_takes_new_clients_when_it_is_full_of_idle_ones(server: GunicornServer) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
    with slow_connections(server.port, PORT_LIMIT + 50, request):
        assert server.get("/health").status_code == 200


@pytest.mark.needs("openssl")
def test_half_a_handshake_keeps_nobody_out(
    start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tls")
    certificate = make_certificate(folder)
    own = start_server(GUNICORN_CMD_ARGS=f"--certfile {certificate} --keyfile {folder / 'key.pem'}")
    own.wait_for_log("Serving ")
    url = f"https://127.0.0.1:{own.port}"
    with slow_connections(own.port, 100, b"\x16\x03\x01\x02\x00", b"\x01"), requests.Session() as session:
        session.trust_env, session.verify = False, str(certificate)
        for _ in range(2):
            assert session.get(f"{url}/health", timeout=PROMPT_SECONDS).status_code == 200
        form = {"model": (None, "whisper-1"), "file": FLAGSHIP.read_bytes() + bytes(2_000_000)}
        answer = session.post(url + PATH, files=form, timeout=PATIENCE_SECONDS)
        assert answer.json()["text"] == FLAGSHIP_TEXT
        sound = {"model": "tts-1", "voice": "alloy", "input": "word " * 800, "response_format": "wav"}
        spoken = session.post(f"{url}/v1/audio/speech", json=sound, timeout=PATIENCE_SECONDS)
        assert len(spoken.content) > 5_000_000
    assert "Traceback" not in own.log
