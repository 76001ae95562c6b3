"""Any failure -> OpenAI's error body. The only place that turns errors into HTTP."""

import errno
import json
import os
import re
import tempfile
from uuid import uuid4

from flask import Flask, Response, current_app, g, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound

from app.api.application import incoming
from app.errors import ServerBusy, SpeechError, Unauthorized
from app.logs import fields

SHORTAGES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""The error numbers of a full disk, a quota, a limit on files or their size, and of too little memory."""

SHORTAGE_SECONDS = 30


def register(app: Flask) -> None:
    """Handlers for SpeechError, for shortages of the machine, and for Flask's errors, among them its 500."""
    app.register_error_handler(SpeechError, _from_speech_error)
    app.register_error_handler(OSError, _from_shortage)
    app.register_error_handler(HTTPException, _from_http_exception)


def error_body(
    message: str, type: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """OpenAI's error object; all four keys are always there."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def describe(error: Exception, request_id: str) -> dict[str, dict[str, str | None]]:
    """OpenAI's error object for any exception. Of an unexpected one only the request id is shown."""
    if isinstance(error, SpeechError):
        return error_body(error.message, error.type, error.param, error.code)
    message = f"The server had an error while processing your request (request id {request_id})."
    return error_body(message, type="server_error")


def whole_answer(status: int, reason: str, message: str) -> bytes:
    """A complete HTTP answer for a request that never reaches Flask. It closes the connection."""
    kind = "server_error" if status >= InternalServerError.code else "invalid_request_error"
    body = json.dumps(error_body(message or reason, kind)).encode()
    lines = (
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"x-request-id: req_{uuid4().hex}",
    )
    return "\r\n".join((*lines, "", "")).encode() + body


def _from_speech_error(error: SpeechError) -> Response:
    if error.status == InternalServerError.code:
        known = fields(request_id=g.request_id)
        current_app.logger.error("%s", error.message, exc_info=error, extra=known)
    response = jsonify(describe(error, g.request_id))
    response.status_code = error.status
    if isinstance(error, Unauthorized):
        response.www_authenticate = WWWAuthenticate("bearer")
    retry = _should_retry(error)
    if retry is not None:
        response.headers["x-should-retry"] = str(retry).lower()
    if error.retry_after_seconds is not None:
        response.retry_after = error.retry_after_seconds
    return response


def _should_retry(error: SpeechError) -> bool | None:
    """The error's own `retry`, or False if the model has worked for the request: a client that retries by
    itself would repeat that work. Not for ServerBusy, since another server may take over.
    """
    if error.retry is None and incoming().cost.totals().windows and not isinstance(error, ServerBusy):
        return False
    return error.retry


def _from_shortage(error: OSError) -> Response:
    """Out of disk, descriptors or memory: a 503, since it may pass and the request is not at fault."""
    if error.errno not in SHORTAGES:
        raise error
    reason = os.strerror(error.errno)
    folder = tempfile.tempdir or "any folder for temporary files"  # gettempdir() itself needs room
    current_app.logger.error("%s: no room, perhaps in %s: %s", g.request_id, folder, reason)
    message = f"The server has no room for your request ({reason}). Please retry later."
    return _from_speech_error(ServerBusy(message, retry_after_seconds=SHORTAGE_SECONDS))


def _from_http_exception(error: HTTPException) -> Response:
    response = jsonify(_body_of(error))
    response.status_code = error.code or InternalServerError.code
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    if isinstance(error, InternalServerError):
        response.headers["x-should-retry"] = "false"  # the same request would fail the same way
    return response


def _body_of(error: HTTPException) -> dict[str, dict[str, str | None]]:
    if isinstance(error, NotFound):
        return _unknown_url()
    if isinstance(error, MethodNotAllowed):
        message = (
            f"Not allowed to {request.method} on {incoming().sent_path}. "
            "(HINT: Perhaps you meant to use a different HTTP method?)"
        )
        return error_body(message, code="method_not_supported")
    if isinstance(error, InternalServerError):
        return describe(error, g.request_id)
    return error_body(error.description or error.name)


def _unknown_url() -> dict[str, dict[str, str | None]]:
    path = incoming().sent_path
    if path.startswith("/v1/"):
        return error_body(f"Invalid URL ({request.method} {path})")
    meant = _similar_url(path)
    hint = f" Did you mean {meant}?" if meant else ""
    message = f"Unknown request URL: {request.method} {path}. Please check the URL for typos.{hint}"
    return error_body(message, code="unknown_url")


def _similar_url(path: str) -> str | None:
    """The URL behind a base URL without its slash: `/v1x` for `/v1/x`."""
    meant = re.sub("^/v1", "/v1/", path)
    return next((rule.rule for rule in current_app.url_map.iter_rules() if rule.rule == meant), None)
