"""API keys, request ids, and the headers of every answer."""

import re
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from time import perf_counter
from uuid import uuid4

from flask import Flask, Request, Response, current_app, g, request

from app.api.worker_sessions import client_secrets
from app.errors import IncorrectKey, PermissionDenied, Unauthorized
from app.realtime.client_secrets import PREFIX as SECRET_PREFIX
from app.realtime.handshake import offered_subprotocols

WITHOUT_KEY = frozenset({"health", "limits", "docs_page", "web"})
"""Blueprints that require no key. All other URLs do, including those that don't exist."""

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LOCAL = ("", "127.0.0.1", "::1", "::ffff:127.0.0.1")
_KEY_SUBPROTOCOL = "openai-insecure-api-key."
_LONG_KEY = 20
"""Of shorter keys no part is shown in error messages."""


def register(app: Flask) -> None:
    """Give every request an id, require its key, and add the headers to every answer."""
    app.before_request(_assign_request_id)
    app.before_request(_require_key)
    app.after_request(_add_headers)


def _assign_request_id() -> None:
    request_id = request.headers.get("X-Request-ID", "")
    g.request_id = request_id if _WELL_FORMED_ID.fullmatch(request_id) else f"req_{uuid4().hex}"
    g.started = perf_counter()


def _require_key() -> None:
    """Raise Unauthorized before the URL is looked up. Browsers send OPTIONS without a key."""
    keys: tuple[str, ...] = current_app.config["API_KEYS"]
    if not keys or request.blueprint in WITHOUT_KEY or request.method == "OPTIONS":
        return
    key = _required_key()
    if key.startswith(SECRET_PREFIX) and request.endpoint == "realtime.connect":
        g.caller = client_secrets().read(key).caller
        return
    if not _is_one_of((*keys, *current_app.config["ADMIN_KEYS"]), key):
        raise IncorrectKey(
            f"Incorrect API key provided: {_masked(key)}. "
            "You can obtain an API key from whoever runs this server."
        )
    g.caller = sha256(key.encode()).hexdigest()


def require_admin(what: str) -> None:
    """Raise Unauthorized or PermissionDenied without an admin key, if the server has keys of either kind."""
    admin_keys: tuple[str, ...] = current_app.config["ADMIN_KEYS"]
    if not admin_keys and not current_app.config["API_KEYS"]:
        return
    if not _is_one_of(admin_keys, _required_key()):
        raise PermissionDenied(
            f"Your API key may not be used to {what}: that takes one of the server's admin keys "
            "(WHISPER_ADMIN_KEYS)."
        )


def _required_key() -> str:
    """The key that was sent. Raises Unauthorized if there is none."""
    key = request_key()
    if not key:
        raise Unauthorized(
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). "
            "You can obtain an API key from whoever runs this server."
        )
    return key


def caller() -> str:
    """Who sent the request being answered: a digest of the API key, empty if none is required."""
    return str(g.get("caller", ""))


def caller_or_address() -> str:
    """What counts as one caller: a digest of the API key, else the client's address."""
    return caller() or address(request)


def address(http_request: Request) -> str:
    """The client's address, or "-". A proxy on this machine or in WHISPER_TRUSTED_PROXIES tells it."""
    peer = http_request.remote_addr or ""  # a Unix socket has none
    if "X-Forwarded-For" in http_request.headers and _is_proxy(peer):
        return http_request.access_route[-1]
    return peer or "-"


def _is_proxy(peer: str) -> bool:
    if peer in _LOCAL:
        return True
    try:
        sender = ip_address(peer)
    except ValueError:
        return False
    sender = getattr(sender, "ipv4_mapped", None) or sender
    return any(sender in network for network in current_app.config["TRUSTED_PROXIES"])


def request_key() -> str:
    """The key in OpenAI's header, in Azure's, or in a browser's WebSocket; empty if there is none."""
    header = request.authorization
    if header and header.type == "bearer" and header.token:
        return header.token
    return request.headers.get("api-key", "").strip() or _subprotocol_key()


def _subprotocol_key() -> str:
    """A browser can't add headers to a WebSocket, so its key is a subprotocol that it offers."""
    if request.endpoint != "realtime.connect":
        return ""
    keys = [name for name in offered_subprotocols(request.headers) if name.startswith(_KEY_SUBPROTOCOL)]
    return keys[0].removeprefix(_KEY_SUBPROTOCOL) if keys else ""


def _is_one_of(keys: tuple[str, ...], sent_key: str) -> bool:
    """Compare with every key, each in constant time, so that timing reveals nothing about any."""
    return any([compare_digest(sent_key.encode(), key.encode()) for key in keys])  # noqa: C419, no early end


def _masked(key: str) -> str:
    return f"{key[:3]}...{key[-4:]}" if len(key) >= _LONG_KEY else "***"


def _add_headers(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    response.headers["openai-processing-ms"] = str(round((perf_counter() - g.started) * 1000))
    response.headers["openai-version"] = "2020-10-01"
    return response
