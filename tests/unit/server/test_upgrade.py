"""Answers with status 101, and all others."""

import json
import socket
from collections.abc import Callable, Iterable
from http.client import HTTPResponse
from typing import Any

import pytest

from app.api.realtime.connect import UPGRADED
from app.errors import ServerBusy
from app.realtime.connection import Stream as ConnectionStream
from app.realtime.sessions import AdmittedSession
from app.server.upgrade import Upgraded, hand_over_upgraded, start_session
from tests.unit.realtime.test_connection import Stream


class Admitted(AdmittedSession):
    """Notes what becomes of it; `refuses`: it can't start."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.abandoned = False
        self.refuses = refuses
        self.early: bytes | None = None

    def abandon(self) -> None:
        self.abandoned = True

    def serve(self, stream: ConnectionStream, early: bytes) -> None:
        if self.refuses:
            raise ServerBusy("No room.")
        self.early = early


class Body(list[bytes]):
    """An answer that notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Application:
    """Answers with a status, and a session if there is one."""

    def __init__(self, status: str, session: Admitted | None = None) -> None:
        self.status, self.session, self.body = status, session, Body([b"body"])

    def __call__(self, environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
        if self.session:
            environ[UPGRADED] = self.session
        start_response(self.status, [("X", "y")])
        return self.body


def called(application: Application) -> tuple[Iterable[bytes], list[Any]]:
    started: list[Any] = []
    return hand_over_upgraded(application, {}, lambda *given: started.append(given)), started


def test_a_session_takes_the_connection() -> None:
    session = Admitted()
    application = Application("101 SWITCHING PROTOCOLS", session)
    with pytest.raises(Upgraded) as upgraded:
        called(application)
    assert upgraded.value.session is session
    assert application.body.closed
    assert not session.abandoned


def test_other_answers_are_passed_on() -> None:
    application = Application("200 OK")
    assert called(application) == (application.body, [("200 OK", [("X", "y")])])


def test_a_session_that_is_refused_after_all_gives_its_place_back() -> None:
    session = Admitted()
    application = Application("500 INTERNAL SERVER ERROR", session)
    assert called(application)[1]
    assert session.abandoned


def test_a_session_has_the_connection_once_it_has_started() -> None:
    session, (ours, theirs) = Admitted(), socket.socketpair()
    with Stream(fileno=ours.detach()) as stream, theirs:
        assert start_session(session, stream, b"early")
    assert session.early == b"early"


def test_a_session_that_cannot_start_leaves_the_connection_with_an_answer() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with Stream(fileno=ours.detach()) as stream:
            assert not start_session(Admitted(refuses=True), stream, b"")
        answer = HTTPResponse(theirs)
        answer.begin()
        error = json.loads(answer.read())["error"]
    assert (answer.status, error["type"], error["message"]) == (503, "server_error", "No room.")


def test_a_client_that_has_gone_is_not_answered() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with Stream(fileno=ours.detach()) as stream:
        assert not start_session(Admitted(refuses=True), stream, b"")
