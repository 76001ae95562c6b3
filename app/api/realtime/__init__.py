"""The `realtime` blueprint: /v1/realtime."""

from flask import Blueprint, Flask

from app.api.realtime.connect import connect
from app.realtime.sessions import Limits, Sessions

blueprint = Blueprint("realtime", __name__)
blueprint.get("", websocket=True)(connect)  # werkzeug looks for another rule when a handshake asks
blueprint.get("")(connect)


def register(app: Flask) -> None:
    """Add the blueprint, and the sessions of the worker as an extension."""
    settings = app.extensions["runtime"].settings
    limits = Limits(
        settings.realtime_sessions,
        settings.realtime_sessions_per_key,
        settings.realtime_idle_seconds,
        settings.realtime_session_seconds,
    )
    app.extensions["realtime"] = Sessions(limits)
    app.register_blueprint(blueprint, url_prefix="/v1/realtime")
