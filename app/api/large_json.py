"""A request's body as JSON: read as a whole, checked before it is parsed, few large ones parsed at a time."""

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
"""A body of more is parsed in turn; the parser lets no other thread run, and takes memory of its own."""
AT_A_TIME = 2
"""Large bodies that are parsed at the same time; of those that are not ASCII, whose text may take four bytes
for each character, one."""

_LONGEST_WAIT_SECONDS = 30.0
"""Far more than all places to read can be parsed in, one after the other."""
_CHUNK_BYTES = 64 * 1024


class Turns:
    """Lets so many threads at something at a time; the others wait."""

    def __init__(self, at_a_time: int, longest_wait_seconds: float = _LONGEST_WAIT_SECONDS) -> None:
        self._free = BoundedSemaphore(at_a_time)
        self._longest_wait_seconds = longest_wait_seconds

    @contextmanager
    def taken(self, client_gone: Callable[[], bool]) -> Iterator[None]:
        """Wait for a turn and hold it. Raises ClientGone, or ServerBusy after the longest wait."""
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
    """Give the application the turns of its large bodies."""
    app.extensions["json_turns"] = Turns(AT_A_TIME)
    app.extensions["wide_json_turns"] = Turns(1)


def read_json_body(request: IncomingRequest) -> Any:
    """The value of a request's body, of `request.max_content_length` bytes at most.

    Raises ValueError for what is not JSON, TooComplex for what has too many parts, ClientGone,
    ServerBusy, and what reading raises.
    """
    body = _whole(request)
    check_structure(body)
    if len(body) <= LARGE_BYTES:
        return parse(body)
    # Whoever waits for a turn holds a place to read, so that threads are left for everything else.
    with current_runtime().admission.read(gives_way=False), ExitStack() as held:
        for name in ("json_turns",) if body.isascii() else ("wide_json_turns", "json_turns"):
            turns = cast(Turns, current_app.extensions[name])
            held.enter_context(turns.taken(request.client_gone))
        return parse(body)


def _whole(request: IncomingRequest) -> bytearray:
    """All bytes, in memory that `parse` can free; as one `bytes` they would be there twice for a moment."""
    body, most = bytearray(), request.max_content_length or 0
    stream = request.stream
    while len(body) < most and (chunk := stream.read(min(_CHUNK_BYTES, most - len(body)))):
        body += chunk
    return body
