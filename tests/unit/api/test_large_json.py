"""What a JSON body costs before it is refused, and how many large ones are parsed at a time."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.admission import TransferSlot
from app.api import large_json
from app.api.large_json import AT_A_TIME, LARGE_BYTES, PollingSemaphore
from app.errors import ClientGone, ServerBusy
from tests.unit.scripted import ScriptedRuntime, error_of

URL = "/v1/audio/transcriptions"
JSON = "application/json"
PATIENCE_SECONDS = 60
EMOJI = "\N{GRINNING FACE}"
LARGE = b'{"model": "whisper-1", "prompt": "%b%b"}' % (EMOJI.encode(), b"x" * LARGE_BYTES)
ASCII = LARGE.replace(EMOJI.encode(), b"")
ESCAPED = LARGE.replace(EMOJI.encode(), rb"\ud83d\ude00")
TOO_COMPLEX = (
    "Could not parse the JSON body of your request: it has more than 100000 brackets, braces, colons and "
    "commas outside of strings, which is the maximum."
)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The length of every body that is parsed."""
    lengths: list[int] = []
    parse = large_json.parse

    def watched(body: bytearray) -> Any:
        lengths.append(len(body))
        return parse(body)

    monkeypatch.setattr(large_json, "parse", watched)
    return lengths


@pytest.mark.parametrize(
    "values",
    [
        "[" + "[]," * 60_000 + "0]",
        "[" + "{}," * 60_000 + "0]",
        "{" + ",".join(f'"{number}":0' for number in range(60_000)) + "}",
        f'["{EMOJI}",' + "[]," * 60_000 + "0]",
    ],
    ids=["[]", "{}", "distinct keys", "emoji"],
)
def test_what_has_too_many_parts_is_not_parsed(client: FlaskClient, parsed: list[int], values: str) -> None:
    response = client.post(URL, data=f'{{"model": "whisper-1", "x": {values}}}', content_type=JSON)
    assert response.status_code == 400
    error = error_of(response)
    assert (error["message"], error["param"], error["code"]) == (TOO_COMPLEX, None, None)
    assert parsed == []


def test_a_large_body_in_which_there_is_little(client: FlaskClient, parsed: list[int]) -> None:
    response = client.post(URL, data=LARGE, content_type=JSON)
    assert error_of(response)["code"] == "string_above_max_length"
    assert parsed == [len(LARGE)]


@contextmanager
def all_taken(turns: PollingSemaphore, count: int = AT_A_TIME) -> Iterator[None]:
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(turns.held(lambda: False))
        yield


@contextmanager
def waiting(
    app: Flask, runtime: ScriptedRuntime, body: bytes, turns: str, taken: int
) -> Iterator["Future[TestResponse]"]:
    """A large request that waits, because so many others are parsed."""
    read, slots, waits = runtime.admission.read, count(1), Event()

    @contextmanager
    def noticed(*, gives_way: bool = True) -> Iterator[TransferSlot]:
        with read(gives_way=gives_way) as slot:
            if next(slots) == 2:  # the first is for reading the body
                waits.set()
            yield slot

    runtime.admission.read = noticed  # type: ignore[method-assign]
    with ThreadPoolExecutor(1) as threads:
        with all_taken(app.extensions[turns], taken):
            answer = threads.submit(app.test_client().post, URL, data=body, content_type=JSON)
            assert waits.wait(PATIENCE_SECONDS)
            yield answer
        answer.result(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "held_up",
    [
        (ASCII, "json_parsers", AT_A_TIME),
        (LARGE, "json_parsers", AT_A_TIME),
        (LARGE, "wide_json_parsers", 1),
        (ESCAPED, "wide_json_parsers", 1),
    ],
    ids=[
        "a third one",
        "a third one with an emoji",
        "a second one with an emoji",
        "a second one with an escaped emoji",
    ],
)
def test_a_large_body_waits_and_counts_as_being_read(
    app: Flask, runtime: ScriptedRuntime, parsed: list[int], held_up: tuple[bytes, str, int]
) -> None:
    body, turns, taken = held_up
    with waiting(app, runtime, body, turns, taken) as answer:
        assert (parsed, runtime.bodies_read, answer.done()) == ([], 1, False)
        client = app.test_client()
        assert client.get("/health").status_code == 200
        small = client.post(URL, data=b"{}", content_type=JSON)
        assert small.status_code == 400  # by the schema: it was parsed at once
        assert (parsed, answer.done()) == ([2], False)
    assert parsed == [2, len(body)]
    assert runtime.bodies_read == 0


def test_a_second_large_body_does_not_wait(app: Flask, client: FlaskClient, parsed: list[int]) -> None:
    with all_taken(app.extensions["json_parsers"], 1), all_taken(app.extensions["wide_json_parsers"], 1):
        assert client.post(URL, data=ASCII, content_type=JSON).status_code == 400
    assert parsed == [len(ASCII)]


def test_no_place_to_wait_in(app: Flask, client: FlaskClient, runtime: ScriptedRuntime) -> None:
    read = runtime.admission.read

    def once() -> Any:
        runtime.admission.read = full  # type: ignore[method-assign]
        return read()

    def full(**_: bool) -> Any:
        raise ServerBusy("Full.")

    runtime.admission.read = once  # type: ignore[method-assign]
    assert client.post(URL, data=LARGE, content_type=JSON).status_code == 503


def test_a_client_that_leaves_waits_no_longer() -> None:
    turns = PollingSemaphore(AT_A_TIME)
    with all_taken(turns), pytest.raises(ClientGone), turns.held(lambda: True):
        pass
    with all_taken(turns):
        pass


def test_the_wait_has_an_end() -> None:
    turns = PollingSemaphore(AT_A_TIME, longest_wait_seconds=0)
    with (
        all_taken(turns),
        pytest.raises(ServerBusy, match="other large requests"),
        turns.held(lambda: False),
    ):
        pass


def test_a_turn_comes_back_from_what_fails() -> None:
    turns = PollingSemaphore(AT_A_TIME)
    for _ in range(AT_A_TIME + 1):
        with pytest.raises(ZeroDivisionError), turns.held(lambda: False):
            _ = 1 / 0
