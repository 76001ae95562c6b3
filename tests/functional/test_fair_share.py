"""Permits to work, held by chats whose upstream never answers: who gets how many, and what needs none."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from socket import MSG_WAITALL, socket

import pytest
import requests

from app.admission import ADMITTED, FAIR_SHARE, SPEAKING
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.raw_requests import greedy
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.upstream_server import UpstreamServer, chunk, completion, upstream_server

CHAT = {"model": "any", "messages": [{"role": "user", "content": "ping"}]}
CHATS = "/v1/chat/completions"
PCM = {"voice": "alloy", "format": "pcm16"}
OK = b"HTTP/1.1 200"
ONE, OTHER = "key-of-one", "key-of-another"


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamServer]:
    with upstream_server() as running:
        yield running


@pytest.fixture(scope="module")
def shared(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("shared") / "server.log"
    settings = {"CHAT_UPSTREAM_URL": upstream.url, "WHISPER_API_KEYS": f"{ONE},{OTHER}"}
    with GunicornServer(log, **settings) as running:
        yield running.wait_until_ready()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Connection": "close"}


def chat(server: GunicornServer, key: str) -> requests.Response:
    url = server.url + CHATS
    return requests.post(url, json=CHAT, headers=bearer(key), timeout=PATIENCE_SECONDS)


def speak(server: GunicornServer, key: str) -> requests.Response:
    body = {"model": "tts-1", "voice": "alloy", "input": "Speaking takes none of them."}
    url = f"{server.url}/v1/audio/speech"
    return requests.post(url, json=body, headers=bearer(key), timeout=PATIENCE_SECONDS)


@contextmanager
def unanswered(upstream: UpstreamServer, server: GunicornServer, key: str, count: int) -> Iterator[None]:
    """So many chats of a key hold their permits."""
    upstream.hang_before_head, asked = True, len(upstream.received)
    with ThreadPoolExecutor(count) as clients:
        chats: list[Future[requests.Response]] = [clients.submit(chat, server, key) for _ in range(count)]
        wait_until(lambda: len(upstream.received) == asked + count)
        try:
            yield
        finally:
            upstream.hang_before_head = False
            upstream.closing.set()
            assert [answer.result().status_code for answer in chats] == [502] * count
            upstream.closing.clear()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_caller_has_all_permits_while_nobody_else_asks(
    shared: GunicornServer, upstream: UpstreamServer
) -> None:
    with unanswered(upstream, shared, ONE, ADMITTED):
        refused = chat(shared, ONE)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert speak(shared, ONE).status_code == 200


def test_and_half_of_them_while_others_ask(shared: GunicornServer, upstream: UpstreamServer) -> None:
    upstream.answers(completion("pong"))
    assert chat(shared, OTHER).status_code == 200
    with unanswered(upstream, shared, ONE, FAIR_SHARE):
        assert chat(shared, ONE).status_code == 503
        with FLAGSHIP.open("rb") as file:
            heard = requests.post(
                f"{shared.url}/v1/audio/transcriptions",
                data={"model": "whisper-1"},
                files={"file": file},
                headers=bearer(OTHER),
                timeout=PATIENCE_SECONDS,
            )
        assert heard.json()["text"] == FLAGSHIP_TEXT


def test_spoken_chats_that_nobody_takes_leave_half_of_the_speech_to_others(
    shared: GunicornServer, upstream: UpstreamServer
) -> None:
    """Each would hold one of espeak-ng's places for as long as its client doesn't read."""
    upstream.streams(chunk({"content": "word " * 800}), chunk({"content": ". "}), "[DONE]")
    assert speak(shared, OTHER).status_code == 200
    with ExitStack() as held:
        chats = [held.enter_context(spoken_chat(shared, ONE)) for _ in range(SPEAKING)]
        statuses = [client.recv(len(OK), MSG_WAITALL) for client in chats]
        assert statuses.count(OK) == SPEAKING // 2
        assert statuses.count(b"HTTP/1.1 503") == SPEAKING // 2
        assert speak(shared, OTHER).status_code == 200


def spoken_chat(server: GunicornServer, key: str) -> socket:
    """A client that has asked for a spoken stream, and in whose receive buffer next to nothing fits."""
    body = {**CHAT, "stream": True, "modalities": ["text", "audio"], "audio": PCM}
    url = f"http://here{CHATS}"
    request = requests.Request("POST", url, json=body, headers=bearer(key)).prepare()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    client = greedy(server.port)
    client.sendall(f"POST {CHATS} HTTP/1.1\r\nHost: here\r\n{head}\r\n".encode() + request.body)
    return client
