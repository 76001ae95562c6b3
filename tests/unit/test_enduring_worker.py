"""What Gunicorn's thread worker does without room, and what it says to what is no HTTP."""

import errno
import os
import socket
from collections.abc import Callable
from http.client import HTTPResponse
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from app.enduring_worker import EnduringThreadWorker, closing_when_told
from gunicorn import util
from gunicorn.http.wsgi import Response
from gunicorn.workers.gthread import ThreadWorker

from app import enduring_worker
from tests.openai_spec import read_as


def bare_worker() -> Any:
    worker = EnduringThreadWorker.__new__(EnduringThreadWorker)
    worker.log = Mock()
    return worker


def failing_accept(number: int) -> Callable[..., None]:
    def accept(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return accept


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_connection_without_room_is_left_waiting(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(ThreadWorker, "accept", failing_accept(number))
    slept: list[float] = []
    monkeypatch.setattr(enduring_worker.time, "sleep", slept.append)
    worker = bare_worker()
    worker.accept(SimpleNamespace())
    assert len(worker.log.warning.mock_calls) == 1
    assert slept == [enduring_worker.PAUSE_SECONDS]


def test_a_port_that_is_broken_still_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThreadWorker, "accept", failing_accept(errno.EBADF))
    with pytest.raises(OSError, match="Bad file descriptor"):
        bare_worker().accept(SimpleNamespace())


def test_what_is_no_http_is_answered_in_openais_way() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, HTTPResponse(theirs) as answer:
        util.write_error(ours, 400, "Bad Request", "Invalid Method 'é'")
        answer.begin()
        error = read_as("error", answer.read())["error"]
    assert (answer.status, answer.reason, answer.will_close) == (400, "Bad Request", True)
    assert answer.headers["x-request-id"].startswith("req_")
    assert error["message"] == "Invalid Method 'é'"
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("headers", "closed"), [([("Connection", "close")], True), ([("X", "close")], False)]
)
def test_the_application_can_close_a_connection(headers: list[tuple[str, str]], closed: bool) -> None:
    response = Response(SimpleNamespace(should_close=lambda: False, method="GET", version=(1, 1)), None, None)

    def app(environ: dict[str, object], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "0"), *headers])
        return []

    assert closing_when_told(app, {}, response.start_response) == []
    assert response.should_close() is closed
    assert response.status == "200 OK"
