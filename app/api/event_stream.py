"""Server-sent events: an answer that is sent while it is produced."""

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
"""A comment is sent after this long without an event: proxies and clients close silent connections."""

Event = Mapping[str, Any]

_PING = ": ping\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second makes nginx forward every event at once."""


def event_stream(
    events: Generator[Event, None, None],
    *,
    named: bool = False,
    closing: str | None = None,
    on_close: Callable[[], object],
) -> Response:
    """Answer with `data: {...}` for each event as it comes, and `data: {closing}` after all of them.

    `named` puts `event: {type}` before each, as OpenAI's Responses API does.

    The events are produced in a background thread. `on_close` is called once, after the answer was sent
    or abandoned and the thread has stopped. An error before the first event and within PING_SECONDS is
    raised, so that it keeps its status; a later one becomes an event.
    """
    with ExitStack() as held:
        held.callback(on_close)
        produced = held.enter_context(_BackgroundEvents(events, incoming().client_gone))
        held.callback(incoming().abandon)
        frames = produced.frames(named=named)
        first = list(islice(frames, 1))
        body = chain(first, _to_the_end(frames, closing, LateFailure(), named=named))
        response = Response(body, content_type="text/event-stream; charset=utf-8", headers=_HEADERS)
        response.call_on_close(held.pop_all().close)
        return response


class _BackgroundEvents:
    """Events produced in a background thread, until there are no more or `unwanted()`.

    Leaving the context waits for the thread.
    """

    def __init__(self, events: Generator[Event, None, None], unwanted: Callable[[], bool]) -> None:
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._outcome = run_in_background(partial(self._produce, events, unwanted), "event-stream")

    def __enter__(self) -> "_BackgroundEvents":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wait([self._outcome])
        # Its error refers to frames that refer to this object: a cycle, which would keep what they hold.
        del self._outcome

    def frames(self, *, named: bool) -> Iterator[str]:
        """The events in wire format, with pings between them. Raises the error of the thread."""
        while True:
            try:
                event = self._queue.get(timeout=PING_SECONDS)
            except Empty:
                yield _PING
                continue
            if event is None:
                break
            yield _event_frame(event, named=named)
        self._outcome.result()

    def _produce(self, events: Generator[Event, None, None], unwanted: Callable[[], bool]) -> None:
        try:
            for event in events:
                # Not after the last one, after which a client may disconnect.
                check_client(unwanted)
                self._queue.put(event)
        finally:
            events.close()
            self._queue.put(None)


def _to_the_end(
    frames: Iterator[str], closing: str | None, failure: LateFailure, *, named: bool
) -> Iterator[str]:
    try:
        yield from frames
        if closing is not None:
            yield _frame(closing)
    except Exception as error:
        if body := failure.body(error):
            # The Responses API has the error's fields in the event itself; SDKs read either.
            event = {**body["error"], **body, "type": "error"} if named else body
            yield _event_frame(event, named=named)


def _event_frame(event: Event, *, named: bool) -> str:
    return (f"event: {event['type']}\n" if named else "") + _frame(dump_json(event))


def _frame(data: str) -> str:
    return f"data: {data}\n\n"
