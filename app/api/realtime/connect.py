"""GET /v1/realtime: a WebSocket for one session."""

from typing import cast

from flask import Response, current_app, g, request

from app.api import current_runtime
from app.api.access import caller, caller_or_address
from app.api.accounting import who
from app.api.application import incoming
from app.api.realtime.services import WorkerServices
from app.realtime.configuration import Configuration
from app.realtime.handshake import accept
from app.realtime.sessions import Opening, Sessions

UPGRADED = "app.upgraded"
"""Where the WSGI environment has the AdmittedSession that a connection becomes."""

_INTENT = "transcription"
_MOST_CHARACTERS = 200


def connect() -> Response:
    """Open a session: the worker hands the connection over to it once this has returned."""
    protocol = accept(request.headers, {"x-request-id": g.request_id})
    opening = Opening(
        protocol,
        WorkerServices(current_runtime(), caller(), caller_or_address()).services(),
        _configuration(),
        for_transcription=request.args.get("intent") == _INTENT,
        caller=caller_or_address(),
        log_fields=_log_fields(),
    )
    request.environ[UPGRADED] = worker_sessions().admit(opening)
    return Response(status=101)


def worker_sessions() -> Sessions:
    """The open sessions of this worker."""
    return cast(Sessions, current_app.extensions["realtime"])


def _configuration() -> Configuration:
    """A new session's. Clients name a model in the URL because other servers want it: it is the default."""
    model = request.args.get("model", "")
    known = current_runtime().catalogue.accepts(model)
    return Configuration(model) if known else Configuration()


def _log_fields() -> dict[str, object]:
    sent = incoming()
    return {
        "request_id": g.request_id,
        "who": who(sent),
        "path": sent.sent_path[:_MOST_CHARACTERS],
        "agent": sent.user_agent.string[:_MOST_CHARACTERS],
    }
