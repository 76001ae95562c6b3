"""CORS: allows web pages and Electron apps of WHISPER_CORS_ORIGINS to call and to read the answers.

Not Flask-CORS: it takes an origin with brackets (`http://[::1]:3000`) for a regular expression, which other
origins match, and omits `Vary` where caches need it.
"""

from flask import Flask, Response, current_app, request
from werkzeug.datastructures import HeaderSet

_METHODS = ("GET", "POST")
_READABLE = (
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
    "x-model-notice",
    "x-should-retry",
    "Retry-After",
)
_PREFLIGHT_SECONDS = 7200
"""How long a browser may cache the answer: Chrome's upper limit."""


def register(app: Flask) -> None:
    """If there are origins, answer preflights and add the headers to all answers, errors and streams too."""
    if app.config["CORS_ORIGINS"]:
        app.before_request(_answer_preflight)
        app.after_request(_admit_origin)


def _allowed() -> bool:
    origins: tuple[str, ...] = current_app.config["CORS_ORIGINS"]
    return bool(request.origin) and ("*" in origins or request.origin in origins)


def _answer_preflight() -> Response | None:
    is_preflight = request.method == "OPTIONS" and request.access_control_request_method
    if not is_preflight or not _allowed():
        return None
    response = Response(status=204)
    response.headers.remove("Content-Type")
    response.access_control_allow_methods = HeaderSet(_METHODS)
    if headers := request.access_control_request_headers:
        # SDKs send a dozen x-stainless-* headers, and `*` would not cover Authorization.
        response.access_control_allow_headers = headers
    response.access_control_max_age = _PREFLIGHT_SECONDS
    return response


def _admit_origin(response: Response) -> Response:
    response.vary.add("Origin")
    if _allowed():
        response.access_control_allow_origin = request.origin
        response.access_control_expose_headers = HeaderSet(_READABLE)
    return response
