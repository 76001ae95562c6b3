"""The `realtime` blueprint: /v1/realtime."""

from flask import Blueprint, Flask

from app.api.realtime.client_secrets import create_client_secret
from app.api.realtime.connect import connect
from app.api.worker_sessions import SECRETS, SESSIONS
from app.realtime.client_secrets import ClientSecrets
from app.realtime.sessions import Limits, Sessions

blueprint = Blueprint("realtime", __name__)
blueprint.get("", websocket=True)(connect)  # werkzeug looks for another rule when a handshake asks
blueprint.get("")(connect)
blueprint.post("/client_secrets")(create_client_secret)


def register(app: Flask) -> None:
    """Add the blueprint, and what its requests share."""
    settings = app.extensions["runtime"].settings
    limits = Limits(
        settings.realtime_sessions,
        settings.realtime_sessions_per_key,
        settings.realtime_sending,
        settings.realtime_idle_seconds,
        settings.realtime_session_seconds,
    )
    app.extensions[SESSIONS] = Sessions(limits)
    app.extensions[SECRETS] = ClientSecrets.of(settings.realtime_secret)
    app.register_blueprint(blueprint, url_prefix="/v1/realtime")
