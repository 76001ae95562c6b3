"""Who asks: the request id, and the headers that every answer carries."""

import re
from time import perf_counter
from uuid import uuid4

from flask import Flask, Response, g, request

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def register(app: Flask) -> None:
    """Name every request, and every answer after it."""
    app.before_request(_name_request)
    app.after_request(_sign_answer)


def _name_request() -> None:
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if _WELL_FORMED_ID.fullmatch(sent) else f"req_{uuid4().hex}"
    g.started = perf_counter()


def _sign_answer(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    response.headers["openai-processing-ms"] = str(round((perf_counter() - g.started) * 1000))
    response.headers["openai-version"] = "2020-10-01"
    return response
