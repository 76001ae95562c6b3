"""The HTTP side: flask, werkzeug and jsonschema live here and nowhere else."""

from typing import cast

from flask import Flask, current_app

from app.runtime import Runtime


def register(app: Flask) -> None:
    """Put every URL, error handler and header on the application."""
    from app.api import access, audio, bodies, error_body, health  # noqa: PLC0415, they ask for current_runtime

    app.url_map.merge_slashes = False  # a redirect would lose a streamed body
    access.register(app)
    bodies.register(app)
    error_body.register(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(audio.blueprint, url_prefix="/v1/audio")


def current_runtime() -> Runtime:
    """The one door to what lives in this worker process."""
    return cast(Runtime, current_app.extensions["runtime"])
