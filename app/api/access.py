"""Who asks: the API key, the request id, and the headers that every answer carries."""

import re
from hashlib import sha256
from hmac import compare_digest
from time import perf_counter
from uuid import uuid4

from flask import Flask, Request, Response, current_app, g, request

from app.errors import IncorrectKey, Unauthorized

FREE = frozenset({"health"})
"""Blueprints that ask for no key; everything else does, URLs that don't exist included."""

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOCAL = ("", "127.0.0.1", "::1", "::ffff:127.0.0.1")
_LONG_KEY = 20
"""Below this many characters a key is never shown, not even in part."""


def register(app: Flask) -> None:
    """Name every request and ask it for its key; sign every answer."""
    app.before_request(_name_request)
    app.before_request(_require_key)
    app.after_request(_sign_answer)


def _name_request() -> None:
    request_id = request.headers.get("X-Request-ID", "")
    g.request_id = request_id if _WELL_FORMED_ID.fullmatch(request_id) else f"req_{uuid4().hex}"
    g.started = perf_counter()


def _require_key() -> None:
    """Raise Unauthorized before anything is said about the URL. Browsers send OPTIONS without a key."""
    keys: tuple[str, ...] = current_app.config["API_KEYS"]
    if not keys or request.blueprint in FREE or request.method == "OPTIONS":
        return
    key = _sent_key()
    if not key:
        raise Unauthorized(
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). "
            "You can obtain an API key from whoever runs this server."
        )
    if not _is_one_of(keys, key):
        raise IncorrectKey(
            f"Incorrect API key provided: {_masked(key)}. "
            "You can obtain an API key from whoever runs this server."
        )
    g.caller = sha256(key.encode()).hexdigest()


def caller() -> str:
    """Who sent the request being answered: a digest of the API key, or empty where none is asked for."""
    return str(g.get("caller", ""))


def requester() -> str:
    """Who is counted as one caller: a digest of the API key, else the address."""
    return caller() or address(request)


def address(http_request: Request) -> str:
    """The client's, or "-". A proxy on this machine tells for whom it asks."""
    peer = http_request.remote_addr or ""  # a Unix socket has none
    if peer in _LOCAL and "X-Forwarded-For" in http_request.headers:
        return http_request.access_route[-1]
    return peer or "-"


def _sent_key() -> str:
    """OpenAI's header or else Azure's; empty where neither has a key."""
    header = request.authorization
    if header and header.type == "bearer" and header.token:
        return header.token
    return request.headers.get("api-key", "").strip()


def _is_one_of(keys: tuple[str, ...], sent_key: str) -> bool:
    """Compare with every key, each in constant time, so that timing tells nothing about any."""
    return any([compare_digest(sent_key.encode(), key.encode()) for key in keys])  # noqa: C419, no early end


def _masked(key: str) -> str:
    return f"{key[:3]}...{key[-4:]}" if len(key) >= _LONG_KEY else "***"


def _sign_answer(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    response.headers["openai-processing-ms"] = str(round((perf_counter() - g.started) * 1000))
    response.headers["openai-version"] = "2020-10-01"
    return response
