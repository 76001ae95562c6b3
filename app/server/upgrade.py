"""Answers with status 101: the connection is no longer Gunicorn's."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from app.api.error_body import whole_answer
from app.api.realtime.connect import UPGRADED
from app.errors import ServerBusy
from app.realtime.connection import Stream
from app.realtime.sessions import AdmittedSession

_SWITCHING = "101 "


class Upgraded(Exception):
    """Ends Gunicorn's handling of a request: `session` takes the connection over."""

    def __init__(self, session: AdmittedSession) -> None:
        super().__init__()
        self.session = session


def hand_over_upgraded(
    app: Callable[..., Iterable[bytes]], environ: dict[str, object], start_response: Callable[..., object]
) -> Iterable[bytes]:
    """Call a WSGI application. Raises Upgraded where it answers 101: that answer is the session's to send."""
    switching = False

    def start(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
        nonlocal switching
        switching = status.startswith(_SWITCHING)
        return None if switching else start_response(status, headers, *rest)

    pieces = app(environ, start)
    session = environ.pop(UPGRADED, None)
    if not isinstance(session, AdmittedSession):
        return pieces
    if not switching:
        session.abandon()
        return pieces
    if hasattr(pieces, "close"):
        pieces.close()
    raise Upgraded(session)


def start_session(session: AdmittedSession, stream: Stream, early: bytes) -> bool:
    """Whether the session has the connection now. If it can't start, the handshake is answered with a 503."""
    try:
        session.serve(stream, early)
    except ServerBusy as busy:
        with suppress(OSError):
            stream.sendall(whole_answer(busy.status, "Service Unavailable", busy.message))
        return False
    return True
