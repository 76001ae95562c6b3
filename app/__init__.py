"""An OpenAI-compatible speech API over OpenAI's Whisper models."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from app.environment import disable_telemetry

if TYPE_CHECKING:
    from flask import Flask

    from app.runtime import Runtime
    from app.settings import Settings

disable_telemetry()  # here, because this module is imported before every other one of the package

_LARGEST_FIELD_BYTES = 16 * 1024 * 1024
"""Form fields may hold reference recordings of known speakers, as data URLs."""


def create_app(settings: Settings | None = None, runtime: Runtime | None = None) -> Flask:
    """The WSGI application. `settings` default to the environment's, `runtime` to an unstarted one.

    Loads no model and imports no torch: the worker starts the runtime after the fork.
    """
    # Imported here, because a decoder process imports this package too, and must not load Flask.
    from app import api  # noqa: PLC0415
    from app.api.application import Application  # noqa: PLC0415
    from app.runtime import Runtime  # noqa: PLC0415
    from app.settings import Settings  # noqa: PLC0415

    settings = settings or Settings.from_environ()
    app = Application(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.max_body_bytes,
        MAX_UPLOAD_BYTES=settings.max_upload_bytes,
        MAX_JSON_BYTES=settings.max_json_bytes,
        MAX_FORM_MEMORY_SIZE=_LARGEST_FIELD_BYTES,
        API_KEYS=settings.api_keys,
        ADMIN_KEYS=settings.admin_keys,
        CORS_ORIGINS=settings.cors_origins,
        TRUSTED_PROXIES=tuple(map(ip_network, settings.trusted_proxies)),
        WEB=settings.web,
    )
    app.extensions["runtime"] = runtime or Runtime(settings)
    api.register(app)
    return app
