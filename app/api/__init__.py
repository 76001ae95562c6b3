"""The HTTP side: flask, werkzeug and jsonschema live here and nowhere else."""

from typing import cast

from flask import Flask, current_app

from app.runtime import Runtime


def register(app: Flask) -> None:
    """Put every URL, error handler and header on the application."""
    from app.api import (  # noqa: PLC0415, they ask for current_runtime
        access,
        accounting,
        asr_webservice,
        audio,
        bodies,
        chat,
        cors,
        docs_page,
        error_body,
        health,
        large_json,
        limits,
        metrics,
        models,
        ps,
        realtime,
        responses,
        web,
        whisper_cpp,
    )

    app.url_map.merge_slashes = False  # a redirect would lose a streamed body
    accounting.register(app)
    access.register(app)
    cors.register(app)
    bodies.register(app)
    large_json.register(app)
    error_body.register(app)
    app.register_blueprint(health.blueprint)
    app.register_blueprint(limits.blueprint)
    app.register_blueprint(metrics.blueprint)
    app.register_blueprint(models.blueprint, url_prefix="/v1/models")
    app.register_blueprint(ps.blueprint, url_prefix="/api/ps")
    app.register_blueprint(audio.blueprint, url_prefix="/v1/audio")
    app.register_blueprint(chat.blueprint, url_prefix="/v1/chat")
    app.register_blueprint(responses.blueprint, url_prefix="/v1/responses")
    app.register_blueprint(whisper_cpp.blueprint)
    app.register_blueprint(asr_webservice.blueprint)
    realtime.register(app)
    docs_page.register(app)
    web.register(app)


def current_runtime() -> Runtime:
    """The one door to what lives in this worker process."""
    return cast(Runtime, current_app.extensions["runtime"])
