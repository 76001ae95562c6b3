"""The sound that a worker holds is bounded over all requests, in seconds and whatever the files weigh."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.raw_requests import connected, refusal, upload
from tests.functional.recordings import DATA, FLAGSHIP, FLAGSHIP_TEXT, convert
from tests.functional.small_app import SECONDS

pytestmark = pytest.mark.slow

MINUTES = 20
"""More than there is room for, so allowed to who is alone."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornServer]:
    log = tmp_path_factory.mktemp("small") / "server.log"
    with GunicornServer(log, app="tests.functional.small_app:app") as server:
        yield server.wait_until_ready()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("long") / "long.flac"
    return convert(DATA / "minute.flac", target, "-af", f"aloop=loop={MINUTES - 1}:size=2e9")


def test_a_recording_without_room_is_sent_away_until_the_others_are_done(
    small: GunicornServer, long: Path
) -> None:
    with connected(small.port) as alone:
        alone.sendall(upload(long, language="en", stream="true", temperature="1", best_of="8"))
        received = b""
        while b"data: {" not in received:
            received += alone.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200 ")
        for stream in ("true", "false"):
            with connected(small.port) as other:
                other.sendall(upload(FLAGSHIP, stream=stream))
                response, error = refusal(other)
            assert response.status == 503
            assert response.headers["Retry-After"] == "30"
            assert f"it holds {SECONDS} seconds at a time" in error["message"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := small.transcribe(FLAGSHIP)).status_code == 503:  # the one who left is still leaving
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.json()["text"] == FLAGSHIP_TEXT


@pytest.mark.parametrize("stream", ["true", "false"])
def test_what_was_held_is_free_again_after_an_answer(small: GunicornServer, stream: str) -> None:
    """Two minutes, one after the other, of which there is room for one."""
    for _ in range(2):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while small.transcribe(DATA / "minute.flac", stream=stream).status_code == 503:
            assert time.monotonic() < deadline  # the last byte comes a moment before all is given back
            time.sleep(0.1)
