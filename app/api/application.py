"""This server's subclasses of Flask, its request and its JSON provider."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from math import inf
from socket import MSG_DONTWAIT, MSG_PEEK
from time import monotonic
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from flask import Flask, Request, g, request
from flask.globals import request_ctx
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import ClientDisconnected
from werkzeug.formparser import FormDataParser
from werkzeug.wsgi import get_input_stream

from app.admission import SLOW_BYTES_PER_SECOND, TransferSlot
from app.api.urls import canonical
from app.errors import BodyStalled
from app.logs import fields
from app.request_cost import RequestCost

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

DRAIN_SECONDS = 2.0
"""The longest time for which a refused request's body is read and discarded."""

_CHUNK_BYTES = 64 * 1024
_SENT_PATH = "app.sent_path"
_DEPLOYMENT = "app.deployment"


class CountedInput:
    """A request body that ends where the request ends. `bytes_read` counts what was read of it.

    `stalled`: its client stopped sending. `exhausted`: it was read to its end. `slot` is the reader's
    TransferSlot; `held` is what reading holds, and is closed at the end of the body.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.bytes_read = 0
        self.stalled = False
        self.exhausted = False
        self.held = ExitStack()
        self.slot: TransferSlot | None = None

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, b"" at the end. Raises BodyStalled, OSError or ClientDisconnected."""
        if self.exhausted or self.stalled:
            return b""
        try:
            chunk = self._stream.read(size)
        except BlockingIOError as error:  # ClientSocket's time-out
            self.stalled = True
            raise self._stall() from error
        except OSError:
            raise
        except Exception as error:  # the WSGI server's own: the body's chunks don't follow HTTP
            raise ClientDisconnected from error
        self.bytes_read += len(chunk)
        if not chunk or size < 0:
            self.exhausted = True
            self.held.close()
        return chunk

    def _stall(self) -> BodyStalled:
        if self.slot and self.slot.lost:
            return BodyStalled(
                f"The body came too slowly while others waited: {self.bytes_read} bytes so far, less than "
                f"{SLOW_BYTES_PER_SECOND} bytes per second. Please retry."
            )
        return BodyStalled(
            f"The body stopped after {self.bytes_read} bytes: no more came for as long as this server "
            "waits (WHISPER_STALL_SECONDS)."
        )


class IncomingRequest(Request):
    """A request that counts its body, raises errors in its form, and notices that its client has gone.

    `path` is the canonical URL, `sent_path` the client's spelling of it, and `deployment` the name in Azure's
    URLs or "". `model` is the model it names, `served` what the one that it means is called here, "" if it
    needs none; `cost` is what it has cost so far. `outcome` is the real status of an answer that failed after
    its headers were sent, else None. `shape_error` makes the endpoint's own error body of OpenAI's.
    """

    def __init__(self, environ: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.counted_input = CountedInput(get_input_stream(environ))
        environ["wsgi.input"] = self.counted_input
        environ["wsgi.input_terminated"] = True
        self._upload_streams: list[IO[bytes]] = []
        self._abandoned = False
        self.model = ""
        self.served = ""
        self.cost = RequestCost()
        self.outcome: int | None = None
        self.shape_error: Callable[[Any], dict[str, Any]] = dict
        super().__init__(environ, *args, **kwargs)
        self.sent_path: str = environ.get(_SENT_PATH, self.path)
        self.deployment: str = environ.get(_DEPLOYMENT, "")

    def make_form_data_parser(self) -> FormDataParser:
        """A parser that raises ValueError; Flask's own takes a broken form for an empty one."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        stream = super()._get_file_stream(*args, **kwargs)
        self._upload_streams.append(stream)
        return stream

    def close(self) -> None:
        """Delete the uploaded files, also those of an incomplete form, and release the slot to read."""
        for stream in self._upload_streams:
            with suppress(OSError):  # closing flushes, which fails again where the disk is full
                stream.close()
        self.counted_input.held.close()
        super().close()

    @property
    def unread(self) -> bool:
        """Whether there is a body that was not read to its end."""
        has_body = bool(self.content_length) or "Transfer-Encoding" in self.headers
        return has_body and not self.counted_input.exhausted

    @property
    def connection(self) -> Any:
        """Gunicorn's socket to the client, a ClientSocket; None under another server."""
        return self.environ.get("gunicorn.socket")

    def take_slot(self, slot: AbstractContextManager[TransferSlot]) -> None:
        """Enter `slot`, if there is a body to read, until its end. Raises what entering raises."""
        body = self.counted_input
        if self.unread and not body.slot:
            body.slot = body.held.enter_context(slot)
            if self.connection:
                self.connection.slot = body.slot
                body.held.callback(setattr, self.connection, "slot", None)

    def drain(self, slot: TransferSlot) -> None:
        """Read and discard the body: to its end, for DRAIN_SECONDS at most, or until `slot` is lost.

        A client that is still sending when its answer comes may see only a broken connection
        (Node does), so the body of a refused request is read before the answer is sent.
        """
        limit = monotonic() + DRAIN_SECONDS
        if self.connection:
            self.connection.deadline, self.connection.slot = limit, slot
        with suppress(OSError, ClientDisconnected, BodyStalled):  # the request has an answer already
            while monotonic() < limit and self.counted_input.read(_CHUNK_BYTES):
                pass
        if self.connection:
            self.connection.deadline, self.connection.slot = inf, None

    @property
    def awaits_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends its body."""
        return bool(getattr(self.connection, "continue_expected", False))

    def abandon(self) -> None:
        """The answer will not be sent: work for it can stop."""
        self._abandoned = True

    def client_gone(self) -> bool:
        """Whether nobody waits for the answer: the request was abandoned, or the client has disconnected."""
        return self._abandoned or self.disconnected()

    def disconnected(self) -> bool:
        """Whether the client has closed its connection. Known only of Gunicorn's plain sockets."""
        if self.connection is None:
            return False
        try:
            return not self.connection.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except ConnectionError:
            return True
        except (BlockingIOError, TimeoutError, ValueError):  # still there, or TLS, which can't be peeked at
            return False


class StrictJSON(DefaultJSONProvider):
    """JSON with keys in insertion order, and without NaN, which JavaScript can't parse."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Raises ValueError for NaN and infinities."""
        return super().dumps(obj, allow_nan=False, **kwargs)


class Application(Flask):
    """Flask with the classes above, URLs in any spelling, and the request id of every logged traceback."""

    request_class = IncomingRequest
    json_provider_class = StrictJSON

    def wsgi_app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        """Answer as if the client had spelt the URL as it is here."""
        path = _text(environ.get("PATH_INFO", ""))
        spelling, environ[_DEPLOYMENT] = canonical(path, self._serves)
        environ[_SENT_PATH] = path
        if spelling != path:
            environ["PATH_INFO"] = spelling.encode().decode("latin-1")
        return super().wsgi_app(environ, start_response)

    def _serves(self, path: str) -> bool:
        """Whether there is a route for a path, for any method."""
        return bool(self.url_map.bind("").allowed_methods(path))

    def log_exception(
        self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        """Log an unexpected exception."""
        where = f"{request.method} {incoming().sent_path}"
        self.logger.error("%s failed", where, exc_info=exc_info, extra=fields(request_id=g.request_id))


def _text(path: str) -> str:
    """A path as text: WSGI has each of its bytes as a character."""
    return path.encode("latin-1").decode(errors="replace")


def incoming() -> IncomingRequest:
    """The request being answered: the object itself, not a proxy, so that threads may keep it."""
    return cast(IncomingRequest, request_ctx.request)
