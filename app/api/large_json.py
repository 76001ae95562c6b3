"""A request's body as JSON: its structure is checked first, and few large ones are parsed at a time."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, cast

from flask import Flask, current_app

from app.api import current_runtime
from app.api.application import IncomingRequest
from app.bounded_json import check_structure, parse
from app.errors import ServerBusy
from app.waiting import check_client, poll

LARGE_BYTES = 1024 * 1024
"""Bodies longer than this are large: the parser holds the GIL, and takes several times their memory."""
AT_A_TIME = 2
"""The most large bodies that are parsed at a time, and of those that are not ASCII, or have escapes like
`\\u20ac`, one: Python may need four bytes for each of their characters."""

_LONGEST_WAIT_SECONDS = 30.0
"""Far longer than it takes to parse as many bodies as can be read at a time."""
_CHUNK_BYTES = 64 * 1024


class PollingSemaphore:
    """A semaphore whose waiting threads notice that their client has gone."""

    def __init__(self, count: int, longest_wait_seconds: float = _LONGEST_WAIT_SECONDS) -> None:
        self._free = BoundedSemaphore(count)
        self._longest_wait_seconds = longest_wait_seconds

    @contextmanager
    def held(self, client_gone: Callable[[], bool]) -> Iterator[None]:
        """Acquire it, and release it at the end. Raises ClientGone, or ServerBusy after the longest wait."""
        give_up = monotonic() + self._longest_wait_seconds

        def check() -> None:
            check_client(client_gone)
            if monotonic() > give_up:
                raise ServerBusy("The server is reading other large requests. Please retry.")

        if not self._free.acquire(blocking=False):
            poll(lambda seconds: self._free.acquire(timeout=seconds), check)
        try:
            yield
        finally:
            self._free.release()


def register(app: Flask) -> None:
    """Limit how many large bodies the application parses at a time."""
    app.extensions["json_parsers"] = PollingSemaphore(AT_A_TIME)
    app.extensions["wide_json_parsers"] = PollingSemaphore(1)


def read_json_body(request: IncomingRequest) -> Any:
    """The value of a request's body, of `request.max_content_length` bytes at most.

    Raises ValueError for what is not JSON, TooComplex for what has too many parts, ClientGone,
    ServerBusy, and what reading raises.
    """
    body = _read_body(request)
    check_structure(body)
    if len(body) <= LARGE_BYTES:
        return parse(body)
    # Waiting takes a slot to read, so that it leaves threads for other requests.
    with current_runtime().admission.read(gives_way=False), ExitStack() as held:
        for name in ("wide_json_parsers", "json_parsers") if _is_wide(body) else ("json_parsers",):
            semaphore = cast(PollingSemaphore, current_app.extensions[name])
            held.enter_context(semaphore.held(request.client_gone))
        return parse(body)


def _is_wide(body: bytearray) -> bool:
    """Whether Python may need more than one byte for each character of the values."""
    return not body.isascii() or (b"\\" in body and rb"\u" in body)  # one byte is found ten times as fast


def _read_body(request: IncomingRequest) -> bytearray:
    """All bytes, in a bytearray, which `parse` empties: with `bytes` the body would be in memory twice."""
    body, limit = bytearray(), request.max_content_length or 0
    stream = request.stream
    while len(body) < limit and (chunk := stream.read(min(_CHUNK_BYTES, limit - len(body)))):
        body += chunk
    return body
