"""Answers with status 101, and all others."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from app.api.realtime.connect import UPGRADED
from app.realtime.sessions import AdmittedSession
from app.server.upgrade import Upgraded, hand_over_upgraded


class Admitted(AdmittedSession):
    """Notes that it was abandoned."""

    def __init__(self) -> None:
        self.abandoned = False

    def abandon(self) -> None:
        self.abandoned = True


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
