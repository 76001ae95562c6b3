"""Frames, pings, late errors, and what is given back when the answer ends, however it ends."""

import gc
import json
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask, Response

from app.api import event_stream as module
from app.api.event_stream import event_stream
from app.errors import ClientGone, EngineFailure, ServerBusy, UndecodableAudio
from tests.openai_spec import read_as

PATIENCE_SECONDS = 30

Events = Iterator[dict[str, Any]]


class Closings:
    """Counts how often it was called, and whether the events had ended by then."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def closings() -> Closings:
    return Closings()


@pytest.fixture(autouse=True)
def request_context(app: Flask) -> Iterator[None]:
    with app.test_request_context("/v1/audio/transcriptions", method="POST"):
        app.preprocess_request()
        yield


def numbered(count: int, error: Exception | None = None) -> Events:
    for number in range(count):
        yield {"n": number}
    if error:
        raise error


def body_of(response: Response) -> str:
    text = b"".join(response.iter_encoded()).decode()
    response.close()
    return text


def test_frames_and_headers(closings: Closings) -> None:
    response = event_stream(numbered(2), on_close=closings)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert closings.count == 0
    assert body_of(response) == 'data: {"n":0}\n\ndata: {"n":1}\n\n'
    assert closings.count == 1


@pytest.mark.parametrize("count", [0, 1, 3])
def test_closing_line(closings: Closings, count: int) -> None:
    text = body_of(event_stream(numbered(count), closing="[DONE]", on_close=closings))
    assert text.count("data: {") == count
    assert text.endswith("data: [DONE]\n\n")


def test_no_event_at_all(closings: Closings) -> None:
    assert body_of(event_stream(numbered(0), on_close=closings)) == ""
    assert closings.count == 1


@pytest.mark.parametrize("error", [UndecodableAudio("bad"), ServerBusy("stopping"), RuntimeError("bug")])
def test_a_failure_before_the_first_event_is_raised(closings: Closings, error: Exception) -> None:
    with pytest.raises(type(error)):
        event_stream(numbered(0, error), on_close=closings)
    assert closings.count == 1


def test_a_late_failure_is_an_event(closings: Closings) -> None:
    error = UndecodableAudio("torn", param="file")
    text = body_of(event_stream(numbered(1, error), closing="[DONE]", on_close=closings))
    first, late, rest = text.split("\n\n")
    assert (first, rest) == ('data: {"n":0}', "")
    assert read_as("error", late.removeprefix("data: "))["error"] == {
        "message": "torn",
        "type": "invalid_request_error",
        "param": "file",
        "code": "invalid_value",
    }
    assert closings.count == 1


@pytest.mark.parametrize("error", [RuntimeError("/secret/path"), ValueError("secret")])
def test_an_unforeseen_late_failure_tells_the_log_alone(
    closings: Closings, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    text = body_of(event_stream(numbered(1, error), on_close=closings))
    assert "secret" not in text
    told = json.loads(text.split("\n\n")[1].removeprefix("data: "))["error"]
    request_id = re.search(r"req_[0-9a-f]{32}", told["message"])[0]
    [record] = caplog.records
    assert record.fields == {"request_id": request_id}
    assert record.exc_info[1] is error


def test_the_servers_own_late_failures_are_logged(
    closings: Closings, caplog: pytest.LogCaptureFixture
) -> None:
    assert "model broke" in body_of(
        event_stream(numbered(1, EngineFailure("model broke")), on_close=closings)
    )
    assert len(caplog.records) == 1


def test_a_number_json_does_not_know_is_a_late_failure(closings: Closings) -> None:
    events = iter([{"n": 1}, {"n": float("nan")}])
    text = body_of(event_stream((event for event in events), on_close=closings))
    assert '"error"' in text.split("\n\n")[1]


def test_nobody_is_told_that_they_left(closings: Closings, caplog: pytest.LogCaptureFixture) -> None:
    text = body_of(event_stream(numbered(1, ClientGone("gone")), closing="[DONE]", on_close=closings))
    assert text == 'data: {"n":0}\n\n'
    assert caplog.records == []


@pytest.mark.parametrize("before", [0, 1], ids=["before the first event", "between events"])
def test_pings_while_nothing_happens(
    closings: Closings, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(module, "PING_SECONDS", 0.02)
    go_on = threading.Event()

    def events() -> Events:
        yield from numbered(before)
        assert go_on.wait(PATIENCE_SECONDS)
        yield {"n": "late"}

    frames = iter(event_stream(events(), on_close=closings).response)
    assert [next(frames) for _ in range(before)] == ['data: {"n":0}\n\n'] * before
    assert next(frames) == ": ping\n\n"
    assert next(frames) == ": ping\n\n"
    go_on.set()
    assert 'data: {"n":"late"}\n\n' in list(frames)


def endless(seen: list[str], unwanted: Callable[[], bool]) -> Events:
    """Events without end, made until nobody wants them: as RequestContext does at each window."""
    try:
        yield {"n": 0}
        while not unwanted():
            threading.Event().wait(0.01)
        raise ClientGone("gone")
    finally:
        seen.append("ended")


@pytest.mark.parametrize("read", [0, 1], ids=["never read", "read in part"])
def test_a_given_up_answer_stops_its_events_and_gives_back(closings: Closings, read: int) -> None:
    from app.api.application import incoming

    seen: list[str] = []

    def on_close() -> None:
        seen.append("closed")

    response = event_stream(endless(seen, incoming().client_gone), on_close=on_close)
    body = response.iter_encoded()
    assert [next(body) for _ in range(read)] == [b'data: {"n":0}\n\n'] * read
    assert seen == []
    response.close()
    assert seen == ["ended", "closed"]
    response.close()
    assert seen == ["ended", "closed"]


class Sound:
    """What a request has large."""


@pytest.mark.parametrize("ending", ["read", "given up", "failed at once", "failed late", "left"])
def test_nothing_is_held_when_a_stream_has_ended(closings: Closings, ending: str) -> None:
    """Not even until the next full collection, which may be hours away."""
    from app.api.application import incoming

    def events(sound: Sound) -> Events:
        if ending != "failed at once":
            yield {"n": 0}
        if ending.startswith("failed"):
            raise UndecodableAudio("torn")
        if ending in ("given up", "left"):
            while not incoming_request.client_gone():
                threading.Event().wait(0.01)
            raise ClientGone("gone")

    def answer() -> weakref.ref[Sound]:
        sound = Sound()
        with suppress(UndecodableAudio):
            response = event_stream(events(sound), on_close=closings)
            body = response.iter_encoded()
            next(body)
            if ending == "left":
                incoming_request.abandon()
            if ending != "given up":
                list(body)
            response.close()
        return weakref.ref(sound)

    incoming_request = incoming()
    gc.disable()
    try:
        assert answer()() is None
    finally:
        gc.enable()
    assert closings.count == 1


def test_events_that_never_ask_stop_at_the_next_one(closings: Closings) -> None:
    made = []

    def events() -> Events:
        for number in range(10**9):
            made.append(number)
            yield {"n": number}
            threading.Event().wait(0.001)

    response = event_stream(events(), on_close=closings)
    response.close()
    count = len(made)
    assert closings.count == 1
    assert threading.Event().wait(0.05) is False
    assert len(made) == count
