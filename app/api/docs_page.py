"""GET /docs, the documentation of the API for people to read and try, and GET /openapi.json, for programs."""

import json
from pathlib import Path
from typing import cast

from flask import Blueprint, Flask, Response, current_app, redirect
from werkzeug.exceptions import NotFound
from werkzeug.utils import cached_property

from app.api.application import incoming
from app.api.openapi import document
from app.api.static_files import StaticFile, StaticFolder

blueprint = Blueprint("docs_page", __name__)

_FOLDER = Path(__file__).parents[1] / "web" / "docs"
_PAGE = "index.html"


def register(app: Flask) -> None:
    """Serve the documentation, unless WHISPER_WEB is 0."""
    if app.config["WEB"]:
        app.extensions["documentation"] = Documentation(keys_required=bool(app.config["API_KEYS"]))
        app.register_blueprint(blueprint)


class Documentation:
    """The files of the page, and the document that it shows, which is made at the first request for it."""

    def __init__(self, *, keys_required: bool) -> None:
        self._keys_required = keys_required
        self.files = StaticFolder(_FOLDER)

    @cached_property
    def document(self) -> StaticFile:
        """openapi.json."""
        text = json.dumps(document(keys_required=self._keys_required), ensure_ascii=False)
        return StaticFile(text.encode(), "application/json")


@blueprint.get("/openapi.json")
def openapi_document() -> Response:
    """The description of the API, in OpenAPI 3.1."""
    return _documentation().document.response()


@blueprint.get("/docs")
def docs_page() -> Response:
    """The viewer. Its addresses are relative to `/docs`: with a slash behind it they would lead nowhere."""
    if incoming().sent_path.endswith("/"):
        return cast(Response, redirect("../docs", 308))
    return _file(_PAGE)


@blueprint.get("/docs/<name>")
def docs_file(name: str) -> Response:
    """A file of the viewer."""
    return _file(name)


def _documentation() -> Documentation:
    return cast(Documentation, current_app.extensions["documentation"])


def _file(name: str) -> Response:
    file = _documentation().files.get(name)
    if file is None:
        raise NotFound
    return file.response()
