"""GET /: the page for people, and its files below /web/. None of them if WHISPER_WEB is 0."""

from functools import cache
from pathlib import Path
from secrets import token_urlsafe

from flask import Blueprint, Flask, Response
from werkzeug.exceptions import NotFound

from app.api.static_files import SECURITY_HEADERS, StaticFolder

_FOLDER = Path(__file__).parents[1] / "web"
_NONCE_BYTES = 18

blueprint = Blueprint("web", __name__)


def register(app: Flask) -> None:
    """Serve the page, unless it is switched off."""
    if app.config["WEB"]:
        app.register_blueprint(blueprint)


@blueprint.get("/")
def page() -> Response:
    """The page. All its URLs are relative, so that it works behind any prefix.

    It is new for every visitor: wavesurfer.js makes a style element, which the policy allows by a nonce.
    """
    nonce = token_urlsafe(_NONCE_BYTES)
    response = Response(_html().replace("{nonce}", nonce), content_type="text/html; charset=utf-8")
    response.headers.update(SECURITY_HEADERS)
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    response.headers["Content-Security-Policy"] = f"{policy}; style-src 'self' 'nonce-{nonce}'"
    response.cache_control.no_cache = True
    return response


@blueprint.get("/web/<name>")
@blueprint.get("/web/<any(vendor, strings):folder>/<name>")
def page_file(name: str, folder: str = "") -> Response:
    """A file of the page."""
    file = _files(folder).get(name)
    if not file:
        raise NotFound
    return file.response()


@cache
def _html() -> str:
    return (_FOLDER / "index.html").read_text(encoding="utf-8")


@cache
def _files(folder: str) -> StaticFolder:
    return StaticFolder(_FOLDER / folder)
