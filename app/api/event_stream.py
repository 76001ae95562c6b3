"""Server-sent events: an answer that goes out while it is being made."""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import wait
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from flask import Response

from app.api.application import incoming
from app.api.late_failure import LateFailure
from app.background import run_in_background
from app.formats.wire import dump_json
from app.waiting import check_client

PING_SECONDS = 10.0
"""After so long a pause a comment is sent: proxies and clients take silence for a dead connection."""

Event = Mapping[str, Any]

_PING = ": ping\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second tells nginx to hand on every event at once."""


def event_stream(
    events: Generator[Event, None, None], *, closing: str | None = None, on_close: Callable[[], object]
) -> Response:
    """Answer with `data: {...}` for each event as it comes, and `data: {closing}` after all of them.

    The events are made in a thread of their own. `on_close` is called once, after the answer was
    sent or given up and the making has stopped. What fails within `PING_SECONDS` and before the
    first event is raised, so that it keeps its status; what fails later becomes an event.
    """
    with ExitStack() as held:
        held.callback(on_close)
        making = held.enter_context(_Making(events, incoming().client_gone))
        held.callback(incoming().give_up)
        frames = making.frames()
        first = list(islice(frames, 1))
        body = chain(first, _to_the_end(frames, closing, LateFailure()))
        response = Response(body, content_type="text/event-stream; charset=utf-8", headers=_HEADERS)
        response.call_on_close(held.pop_all().close)
        return response


class _Making:
    """Makes events in a thread, until there are no more or nobody wants them. Leaving waits for it."""

    def __init__(self, events: Generator[Event, None, None], unwanted: Callable[[], bool]) -> None:
        self._made: SimpleQueue[Event | None] = SimpleQueue()
        self._outcome = run_in_background(partial(self._make, events, unwanted), "event-stream")

    def __enter__(self) -> "_Making":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wait([self._outcome])
        del self._outcome  # a failure in there knows frames that know this: a circle around all they hold

    def frames(self) -> Iterator[str]:
        """The events as they go over the wire, pings between them. Raises what the making raised."""
        while True:
            try:
                event = self._made.get(timeout=PING_SECONDS)
            except Empty:
                yield _PING
                continue
            if event is None:
                break
            yield _frame(dump_json(event))
        self._outcome.result()

    def _make(self, events: Generator[Event, None, None], unwanted: Callable[[], bool]) -> None:
        try:
            for event in events:
                # Not after the last one: who has that may hang up.
                check_client(unwanted)
                self._made.put(event)
        finally:
            events.close()
            self._made.put(None)


def _to_the_end(frames: Iterator[str], closing: str | None, failure: LateFailure) -> Iterator[str]:
    try:
        yield from frames
        if closing is not None:
            yield _frame(closing)
    except Exception as error:
        if body := failure.body(error):
            yield _frame(dump_json(body))


def _frame(data: str) -> str:
    return f"data: {data}\n\n"
