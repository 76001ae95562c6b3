"""A conversation with transcripts in place of its recordings -> the reply of an OpenAI-compatible server."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar, cast

import requests
import urllib3.exceptions

from app.background import run_in_background
from app.bounded_json import TooComplex, check_structure, parse
from app.dialogue.request import AudioPart, Message
from app.dialogue.upstream_endpoints import CHAT, Endpoint
from app.errors import UpstreamFailure
from app.request_context import RequestContext
from app.settings import Settings

T = TypeVar("T")
Body = dict[str, Any]

_CONNECT_SECONDS = 10.0
_LONGEST_QUOTE = 200
_LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer, all events of a stream together. One of 100,000 tokens has about half of it."""
_LARGEST_ERROR = 64 * 1024
_LONGEST_LINE = 1024 * 1024
"""Bytes of an event."""
_MAX_STRUCTURE = 1_000_000
"""Like MAX_STRUCTURE. It allows the log-probabilities of 4,000 tokens with 20 alternatives each."""
_CHUNK_BYTES = 64 * 1024
_LONGEST_NUMBER = 9
_ERRORS = range(400, 600)
_LINE_END = re.compile(rb"[\r\n]")
_OWN_KEYS = ("modalities", "audio")  # this server synthesizes the speech of the upstream's text


def upstream_body(fields: Mapping[str, Any], parts: Sequence[AudioPart], texts: Sequence[str]) -> Body:
    """The request for the upstream: text in place of each recording, and without the fields of speech."""
    transcripts = {(part.message, part.part): text for part, text in zip(parts, texts, strict=True)}
    messages = [
        _upstream_message(number, message, transcripts) for number, message in enumerate(fields["messages"])
    ]
    kept = {name: value for name, value in fields.items() if name not in _OWN_KEYS}
    return {**kept, "messages": messages}


def _upstream_message(number: int, message: Message, transcripts: Mapping[tuple[int, int], str]) -> Body:
    kept = {name: value for name, value in message.items() if name != "audio"}
    content = message.get("content")
    if "audio" in message:  # an earlier spoken reply, whose id only this server knows
        return {**kept, "content": content or ""}
    if not isinstance(content, list):
        return kept
    parts = (_text(transcripts.get((number, index)), part) for index, part in enumerate(content))
    return {**kept, "content": list(parts)}


def _text(transcript: str | None, part: Body) -> Body:
    return part if transcript is None else {"type": "text", "text": transcript}


@dataclass(frozen=True)
class Upstream:
    """The server at a base URL such as `http://host/v1`. `model`, if any, replaces the request's."""

    url: str
    model: str = ""
    key: str = field(default="", repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "Upstream | None":
        """The one that the operator has named, if any."""
        if not settings.chat_upstream_url:
            return None
        return cls(settings.chat_upstream_url, settings.chat_upstream_model, settings.chat_upstream_key)

    def ask(self, body: Body, context: RequestContext, endpoint: Endpoint = CHAT) -> Body:
        """The whole answer. Raises UpstreamFailure, RequestTimeout, ClientGone."""
        with self._call(body, context, endpoint) as call:
            answer = _parsed(call.wait_for(lambda: b"".join(call.pieces())), "answer")
        if not endpoint.is_answer(answer):
            raise UpstreamFailure(f"The upstream server's answer is {endpoint.no_answer}.")
        return cast(Body, answer)

    def stream(self, body: Body, context: RequestContext, endpoint: Endpoint = CHAT) -> Iterator[Body]:
        """The answer's events as they arrive. Raises what `ask` raises."""
        with self._call(body, context, endpoint) as call:
            call.require_events()
            pieces = call.pieces()
            waited_for = iter(lambda: call.wait_for(lambda: next(pieces, b"")), b"")
            for line in _lines(waited_for):
                name, _, data = line.partition(b":")
                if name == b"data" and data.strip() == b"[DONE]":
                    return
                if name == b"data":
                    event = _parsed(data, "stream")
                    if not endpoint.is_event(event):
                        raise UpstreamFailure(
                            f"The upstream server's stream has an event that is {endpoint.no_event}."
                        )
                    yield event

    @contextmanager
    def _call(self, body: Body, context: RequestContext, endpoint: Endpoint) -> Iterator["_Call"]:
        address = f"{self.url.rstrip('/')}/{endpoint.path}"
        with requests.Session() as session:
            call = _Call(session, context)
            try:
                call.open(address, body | ({"model": self.model} if self.model else {}), self._authorize)
                yield call
            finally:
                call.close_connection()

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the operator's key, if any. Without an `auth`, requests would look for one in ~/.netrc."""
        if self.key:
            request.headers["Authorization"] = f"Bearer {self.key}"
        return request


class _Call:
    """One request. Its I/O runs in background threads, so that waiting ends when the client has gone."""

    response: requests.Response

    def __init__(self, session: requests.Session, context: RequestContext) -> None:
        self._session = session
        self._context = context

    def open(self, address: str, body: Body, authorize: Callable[..., requests.PreparedRequest]) -> None:
        """Send the request and wait for the answer's head. Raises UpstreamFailure unless it is a 200."""

        def send() -> None:
            self.response = self._session.post(
                address,
                json=body,
                auth=authorize,
                headers={"Accept-Encoding": "identity"},  # compression would delay events
                timeout=(_CONNECT_SECONDS, max(1.0, self._context.deadline - monotonic())),
                allow_redirects=False,
                stream=True,
            )

        self.wait_for(send)
        if self.response.status_code != requests.codes.ok:
            raise _refusal(self.response, self.wait_for(self._error_text).decode(errors="replace"))

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives. Raises UpstreamFailure if it is longer than _LARGEST_ANSWER."""
        size = 0
        while piece := self.response.raw.read1(_CHUNK_BYTES, decode_content=True):
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise UpstreamFailure(f"The upstream server's answer is longer than {_LARGEST_ANSWER} bytes.")
            yield piece

    def _error_text(self) -> bytes:
        """The body, up to _LARGEST_ERROR bytes."""
        body = bytearray()
        for piece in self.pieces():
            body += piece
            if len(body) >= _LARGEST_ERROR:
                break
        return bytes(body[:_LARGEST_ERROR])

    def wait_for(self, work: Callable[[], T]) -> T:
        """The result of reading from or writing to the upstream. Raises UpstreamFailure."""
        try:
            return self._context.wait(run_in_background(work, "upstream"))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # The message must not show the address, which is the operator's own.
            timed_out = isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError))
            why = "timed out" if timed_out else "can't be reached or broke off"
            raise UpstreamFailure(f"The upstream server {why}.") from error

    def require_events(self) -> None:
        """Raise UpstreamFailure if the answer is not a stream."""
        kind = self.response.headers.get("Content-Type", "none")
        if not kind.startswith("text/event-stream"):
            raise UpstreamFailure(f"The upstream server was asked to stream, but answered with {kind}.")

    def close_connection(self) -> None:
        """Close the connection, which ends a thread that still reads from it."""
        response = getattr(self, "response", None)
        if response is not None:
            with suppress(OSError, ValueError, RuntimeError):  # it is closed already
                response.raw.shutdown()
            response.close()


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Each line of a stream as soon as it is complete. Raises UpstreamFailure for one that is too long."""
    rest = bytearray()
    for piece in pieces:
        first, *others = _LINE_END.split(piece)
        rest += first
        if len(rest) > _LONGEST_LINE:
            raise UpstreamFailure(
                f"The upstream server's stream has a line of more than {_LONGEST_LINE} bytes."
            )
        for line in others:
            yield bytes(rest)
            rest = bytearray(line)
    if rest:
        yield bytes(rest)


def _refusal(response: requests.Response, text: str) -> UpstreamFailure:
    """The upstream's own error if the status is one, else a 502."""
    if response.status_code not in _ERRORS:
        return UpstreamFailure(f"The upstream server answered with status {response.status_code}.")
    error = _error_object(text)
    message = error.get("message") or f"The upstream server answered: {text[:_LONGEST_QUOTE]}"
    fields = {name: str(error[name]) for name in ("type", "param", "code") if error.get(name) is not None}
    failure = UpstreamFailure.refused(response.status_code, str(message), **fields)
    if (wait := response.headers.get("Retry-After", "")).isdecimal():
        failure.retry_after_seconds = max(1, min(120, int(wait[:_LONGEST_NUMBER])))
    return failure


def _error_object(text: str) -> Body:
    try:
        error = parse(text.encode())["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {"message": error}


def _parsed(data: bytes, what: str) -> Any:
    try:
        check_structure(data, _MAX_STRUCTURE)
        return parse(data)
    except TooComplex as error:
        raise UpstreamFailure(f"The upstream server's {what} is not read: {error}.") from error
    except ValueError as error:
        raise UpstreamFailure(f"The upstream server's {what} is not JSON.") from error
