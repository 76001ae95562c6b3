"""The handshake of a WebSocket: request headers -> the answer, and the protocol of what follows."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

from websockets.datastructures import Headers
from websockets.http11 import Request

from app.errors import UpgradeRequired
from app.realtime.protocol import SUBPROTOCOL, RealtimeProtocol

_HEADERS = (
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
)


class RequestHeaders(Protocol):
    """A request's headers, by name in any case."""

    def get(self, name: str, /) -> str | None: ...


def accept(headers: RequestHeaders, added: Mapping[str, str]) -> RealtimeProtocol:
    """The protocol of a connection, which has the answer to the handshake to send, with the headers `added`.

    Raises UpgradeRequired if the headers of the request are no handshake.
    """
    protocol = RealtimeProtocol()
    known = Headers([(name, value) for name in _HEADERS if (value := headers.get(name))])
    if SUBPROTOCOL in offered_subprotocols(headers):  # others are keys, which no library needs to see
        known["Sec-WebSocket-Protocol"] = SUBPROTOCOL
    request = Request("/", known)
    protocol.receive_data(request.serialize())
    protocol.events_received()
    response = protocol.accept(request)
    if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
        reason = bytes(response.body or b"").decode(errors="replace").strip().replace("\n", " ")
        raise UpgradeRequired(f"This URL is for WebSockets: connect to it with a WebSocket client. {reason}")
    for name, value in added.items():
        response.headers[name] = value
    protocol.send_response(response)
    return protocol


def offered_subprotocols(headers: RequestHeaders) -> list[str]:
    """What a client offers, in its order."""
    return [name.strip() for name in (headers.get("Sec-WebSocket-Protocol") or "").split(",")]
