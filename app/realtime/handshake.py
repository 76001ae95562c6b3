"""The handshake of a WebSocket: request headers -> the answer, and the protocol of what follows."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from app.errors import InvalidParameter, UpgradeRequired
from app.realtime.events import error_event

SUBPROTOCOL = "realtime"
MAX_MESSAGE_BYTES = 20 * 1024 * 1024 + 64 * 1024
"""15 MiB of audio in base64, and the event around it."""

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


class RealtimeProtocol(ServerProtocol):
    """A server's side of a WebSocket, without compression: a few bytes can't become megabytes.

    A message that is too long ends it, after an event that says so.
    """

    def __init__(self) -> None:
        super().__init__(subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_MESSAGE_BYTES)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """`realtime` if it is offered, and none for other clients."""
        return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in subprotocols else None

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        """Close because of an error."""
        if code == CloseCode.MESSAGE_TOO_BIG and self.state is OPEN:
            error = InvalidParameter(
                f"The message is longer than {MAX_MESSAGE_BYTES} bytes, which is the maximum.",
                code="message_too_long",
            )
            self.send_text(json.dumps(error_event(error, None)).encode())
        super().fail(code, reason)


def accept(headers: RequestHeaders, added: Mapping[str, str]) -> ServerProtocol:
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
