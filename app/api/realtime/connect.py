"""GET /v1/realtime: a WebSocket for one session."""

from urllib.parse import urlsplit

from flask import Response, current_app, g, request

from app.api import current_runtime
from app.api.access import caller_or_address, request_key
from app.api.realtime.services import worker_services
from app.api.worker_sessions import client_secrets, worker_sessions
from app.errors import OriginRefused
from app.realtime.client_secrets import PREFIX
from app.realtime.configuration import LIVE_MODELS, Configuration
from app.realtime.handshake import accept
from app.realtime.sessions import Opening

UPGRADED = "app.upgraded"
"""Where the WSGI environment has the AdmittedSession that a connection becomes."""

_INTENT = "transcription"
_MOST_CHARACTERS = 200
_PORTS = {"http": 80, "https": 443}


def connect() -> Response:
    """Open a session: the worker hands the connection over to it once this has returned."""
    _check_origin()
    protocol = accept(request.headers, {"x-request-id": g.request_id})
    services = worker_services()
    configuration, has_type = Configuration(_model()), request.args.get("intent") == _INTENT
    if request_key().startswith(PREFIX):
        session = client_secrets().read(request_key()).session
        configuration, has_type = configuration.updated(session, services.parse), True
    opening = Opening(
        protocol,
        services.services(),
        configuration,
        for_transcription=has_type,
        caller=caller_or_address(),
    )
    request.environ[UPGRADED] = worker_sessions().admit(opening)
    return Response(status=101)


def _check_origin() -> None:
    """Raise OriginRefused for other web pages: browsers let any page open WebSockets to any server."""
    origin = request.origin
    allowed: tuple[str, ...] = current_app.config["CORS_ORIGINS"]
    if origin and not (_is_own(origin) or origin in allowed or "*" in allowed):
        raise OriginRefused(
            f"The origin {origin[:_MOST_CHARACTERS]!r} may not open realtime sessions here. Whoever runs "
            "this server can add it to WHISPER_CORS_ORIGINS."
        )


def _is_own(origin: str) -> bool:
    """Whether it is a page of this server, whose name is the one that the client asked for."""
    page = urlsplit(origin)
    default = _PORTS.get(page.scheme)
    own = urlsplit(f"//{request.headers.get('Host', '')}")
    try:
        return default is not None and (page.hostname, page.port or default) == (
            own.hostname,
            own.port or default,
        )
    except ValueError:  # a port that is no number
        return False


def _model() -> str:
    """The model of a session that names none. Clients send one in the URL because other servers want it."""
    model = request.args.get("model", "")
    known = model in LIVE_MODELS or current_runtime().catalogue.accepts(model)
    return model if known else Configuration.model
