"""Server-sent events: an answer that goes out while it is being made."""

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, islice
from logging import Logger
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from flask import Response, current_app, g

from app.api.application import IncomingRequest, incoming
from app.api.error_body import describe
from app.errors import ClientGone, SpeechError
from app.formats.wire import dump_json
from app.logs import fields

PING_SECONDS = 10.0
"""After so long a pause a comment is sent: proxies and clients take silence for a dead connection."""

Event = Mapping[str, Any]

_PING = ": ping\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""The second tells nginx to hand on every event at once."""


def event_stream(
    events: Generator[Event, None, None],
    *,
    named: bool = False,
    closing: str | None = None,
    on_close: Callable[[], object],
) -> Response:
    """Answer with `data: {...}` for each event as it comes, and `data: {closing}` after all of them.

    `named` puts `event: {type}` before each, as OpenAI's Responses API does.

    The events are made in a thread of their own. `on_close` is called once, after the answer was
    sent or given up and the making has stopped. What fails within `PING_SECONDS` and before the
    first event is raised, so that it keeps its status; what fails later becomes an event.
    """
    with ExitStack() as held:
        held.callback(on_close)
        making = held.enter_context(_Making(events, incoming().client_gone, named=named))
        held.callback(incoming().give_up)
        frames = making.frames()
        first = list(islice(frames, 1))
        explain = partial(_explain, logger=current_app.logger, request_id=g.request_id, named=named)
        body = chain(first, _to_the_end(frames, closing, explain, incoming()))
        response = Response(body, content_type="text/event-stream; charset=utf-8", headers=_HEADERS)
        response.call_on_close(held.pop_all().close)
        return response


class _Making:
    """Makes events in a thread, until there are no more or nobody wants them. Leaving waits for it."""

    def __init__(
        self, events: Generator[Event, None, None], unwanted: Callable[[], bool], *, named: bool
    ) -> None:
        self._named = named
        self._made: SimpleQueue[Event | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="event-stream")
        self._outcome = self._pool.submit(self._make, events, unwanted)

    def __enter__(self) -> "_Making":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
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
            yield _event_frame(event, named=self._named)
        self._outcome.result()

    def _make(self, events: Generator[Event, None, None], unwanted: Callable[[], bool]) -> None:
        try:
            for event in events:
                # Not after the last one: who has that may hang up.
                if unwanted():
                    raise ClientGone("The client closed the connection.")
                self._made.put(event)
        finally:
            events.close()
            self._made.put(None)


def _to_the_end(
    frames: Iterator[str],
    closing: str | None,
    explain: Callable[[Exception], str],
    request: IncomingRequest,
) -> Iterator[str]:
    try:
        yield from frames
        if closing is not None:
            yield _frame(closing)
    except ClientGone:
        request.outcome = ClientGone.status
    except Exception as error:
        request.outcome = error.status if isinstance(error, SpeechError) else SpeechError.status
        yield explain(error)


def _explain(error: Exception, *, logger: Logger, request_id: str, named: bool) -> str:
    """OpenAI's error body for a failure after the first byte, when the status is long sent.

    The Responses API has the error's fields in the event itself; SDKs read either.
    """
    if not isinstance(error, SpeechError) or error.status == SpeechError.status:
        logger.error("the stream broke off", exc_info=error, extra=fields(request_id=request_id))
    body = describe(error, request_id)
    return _event_frame({**body["error"], **body, "type": "error"} if named else body, named=named)


def _event_frame(event: Event, *, named: bool) -> str:
    return (f"event: {event['type']}\n" if named else "") + _frame(dump_json(event))


def _frame(data: str) -> str:
    return f"data: {data}\n\n"
