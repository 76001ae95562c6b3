"""Permits to work, held by chats whose upstream never answers: who gets how many, and what needs none."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from app.admission import ADMITTED, FAIR_SHARE
from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import FLAGSHIP, FLAGSHIP_TEXT
from tests.upstream_server import UpstreamServer, completion, upstream_server

CHAT = {"model": "any", "messages": [{"role": "user", "content": "ping"}]}
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
    url = f"{server.url}/v1/chat/completions"
    return requests.post(url, json=CHAT, headers=bearer(key), timeout=PATIENCE_SECONDS)


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
        body = {"model": "tts-1", "voice": "alloy", "input": "Speaking takes none of them."}
        spoken = requests.post(
            f"{shared.url}/v1/audio/speech", json=body, headers=bearer(ONE), timeout=PATIENCE_SECONDS
        )
        assert spoken.status_code == 200


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
