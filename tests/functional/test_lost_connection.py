"""Clients that lose their connection while they wait, and send the same recording again."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA

MINUTE = (DATA / "minute.flac").read_bytes()
FORM = {
    "model": "whisper-1",
    "response_format": "verbose_json",
    "timestamp_granularities[]": ["segment", "word"],
    "beam_size": "8",
}
"""Three windows, each of which is decoded, scored and aligned."""


def post(server: GunicornServer, timeout: float = PATIENCE_SECONDS) -> requests.Response:
    url = f"{server.url}/v1/audio/transcriptions"
    return requests.post(url, data=FORM, files={"file": MINUTE}, timeout=timeout)


@pytest.fixture(scope="module")
def undisturbed(server: GunicornServer) -> requests.Response:
    answer = post(server)
    assert answer.status_code == 200
    assert len({segment["seek"] for segment in answer.json()["segments"]}) == 3
    return answer


def leave_midway(server: GunicornServer, undisturbed: requests.Response) -> None:
    """Close the connection while there is no answer yet."""
    seconds = undisturbed.elapsed.total_seconds() / 2
    while True:
        try:
            post(server, timeout=seconds)
        except requests.ReadTimeout:
            return
        seconds /= 2


@pytest.mark.parametrize("pause_seconds", [0.0, 0.6], ids=["at once", "when the server has seen it"])
def test_the_second_try_is_answered_as_if_there_had_been_no_first(
    server: GunicornServer, undisturbed: requests.Response, pause_seconds: float
) -> None:
    leave_midway(server, undisturbed)
    time.sleep(pause_seconds)
    answer = post(server)
    assert answer.status_code == 200
    assert answer.content == undisturbed.content


def test_who_sends_the_same_at_the_same_time_gets_the_same(
    server: GunicornServer, undisturbed: requests.Response
) -> None:
    with ThreadPoolExecutor(3) as clients:
        staying = [clients.submit(post, server) for _ in range(2)]
        leave_midway(server, undisturbed)
        assert [answer.result().content for answer in staying] == [undisturbed.content] * 2
