"""Clients that lose their connection while they wait, and send the same recording again."""

import json
import re
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
import requests

from tests.functional.gunicorn_server import PATIENCE_SECONDS, GunicornServer
from tests.functional.recordings import DATA, FLAGSHIP

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


def audio_part(file: bytes) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": b64encode(file).decode(), "format": "wav"}}


PARTS = [audio_part(FLAGSHIP.read_bytes()), audio_part(MINUTE)]
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/audio/transcriptions": {
        "data": {"model": "whisper-1", "stream": "true", "beam_size": "8"},
        "files": {"file": MINUTE},
    },
    "/v1/chat/completions": {
        "json": {"model": "gpt-audio", "stream": True, "messages": [{"role": "user", "content": PARTS}]}
    },
}
"""Three windows in the first; four, of two recordings, in the second."""
_numbers = count()


def begin(server: GunicornServer, path: str) -> requests.Response:
    """An answer of which nothing but the head is read."""
    url, headers = server.url + path, {"X-Request-ID": f"lost-{next(_numbers)}"}
    return requests.post(url, headers=headers, stream=True, timeout=PATIENCE_SECONDS, **STREAMS[path])


def text_of(answer: requests.Response) -> str:
    """The rest of a stream: the text of its pieces."""
    data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    pieces = []
    for event in map(json.loads, data):
        assert "error" not in event
        choices = event.get("choices") or [{"delta": {"content": event.get("delta")}}]
        pieces += [choice["delta"].get("content") or "" for choice in choices]
    return "".join(pieces)


def logged(server: GunicornServer, answer: requests.Response) -> tuple[int, int]:
    """The status of a request, and how many windows the model decoded for it alone."""
    mark = f"request_id={answer.headers['x-request-id']} "
    server.wait_for_log(mark)
    [line] = [line for line in server.log.splitlines() if mark in line]
    status, windows = (re.search(rf" {name}=(\d+)", line) for name in ("status", "windows"))
    assert status and windows
    return int(status[1]), int(windows[1])


def leave_after_the_first_event(server: GunicornServer, path: str) -> int:
    """How many windows it took; a stream that is over before the server sees it leave is none."""
    while True:
        with begin(server, path) as answer:
            assert next(answer.iter_lines()).startswith(b"data: ")
        status, windows = logged(server, answer)
        if status == 499:
            return windows
        assert status == 200


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_goes_on_where_it_was(server: GunicornServer, path: str) -> None:
    undisturbed = begin(server, path)
    text = text_of(undisturbed)
    assert "See you tomorrow." in text
    _, all_windows = logged(server, undisturbed)
    assert leave_after_the_first_event(server, path) >= 1
    again = begin(server, path)
    assert text_of(again) == text
    status, windows = logged(server, again)
    assert status == 200
    assert windows < all_windows
