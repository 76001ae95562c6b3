"""Accounting for each request: one line in the log, and the counts for Prometheus.

Both are written when the whole answer has been sent. The line replaces Gunicorn's access log, which has
no audio and the status 200 for every stream.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from flask import Flask, Response, g

from app.api import current_runtime
from app.api.access import address, caller
from app.api.application import IncomingRequest, incoming
from app.errors import ClientGone, ServerBusy, SpeechError
from app.logs import fields
from app.metrics import Metrics
from app.request_cost import CostTotals

UNKNOWN = "unknown"
"""The endpoint of every URL that doesn't exist: what a client sends must not become a label."""

_QUIET = frozenset({"health", "metrics", "web", "docs_page"})
"""Blueprints that are polled every few seconds, or asked for dozens of files by each visitor: unless they
fail, their lines have level debug."""
_SWITCHING = 101
"""A realtime session begins, which has a line of its own."""
_MAX_CHARACTERS = 200
_SETTLE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Account for every request. Registered first, so that its handlers see every answer."""
    app.before_request(_begin)
    app.after_request(_end_on_close)


@dataclass
class RequestRecord:
    """One request and its answer. `status` is the answer's, or ClientGone's if not all of it was sent."""

    request: IncomingRequest
    request_id: str
    who: str
    began: float
    status: int
    metrics: Metrics

    @property
    def endpoint(self) -> str:
        """The rule of its route."""
        rule = self.request.url_rule
        return rule.rule if rule else UNKNOWN

    def close(self) -> None:
        """Write the line and the counts. Called once, when nothing more is sent."""
        # If the client has gone, the engine may still work for it: count that too.
        self.request.cost.wait_until_finished(_SETTLE_SECONDS)
        cost = self.request.cost.totals()
        seconds = perf_counter() - self.began
        status = self.request.outcome or self.status
        self.metrics.end(self.endpoint, status, seconds, cost, self.request.served)
        if status == ServerBusy.status and self.request.blueprint not in _QUIET:
            self.metrics.refuse()
        quiet = status == _SWITCHING or (self.request.blueprint in _QUIET and status < 400)
        level = logging.DEBUG if quiet else logging.INFO
        _log.log(level, "answered", extra=self._line(status, seconds, cost))

    def _line(self, status: int, seconds: float, cost: CostTotals) -> dict[str, object]:
        """The fields of the line; never text, file names or keys."""
        return fields(
            request_id=self.request_id,
            who=self.who,
            method=self.request.method,
            path=self.request.sent_path[:_MAX_CHARACTERS],
            status=status,
            model=self.request.model[:_MAX_CHARACTERS],
            audio_seconds=round(cost.audio_seconds, 3),
            queue_ms=_milliseconds(cost.queue_seconds),
            decode_ms=_milliseconds(cost.read_seconds),
            model_ms=_milliseconds(cost.model_seconds),
            total_ms=_milliseconds(seconds),
            windows=cost.windows,
            fallbacks=cost.fallbacks,
            agent=self.request.user_agent.string[:_MAX_CHARACTERS],
            **({"served": self.request.served} if self.request.served else {}),
        )


def _begin() -> None:
    current_runtime().metrics.begin()


def _end_on_close(response: Response) -> Response:
    request = incoming()
    status = ClientGone.status if request.disconnected() else response.status_code
    metrics = current_runtime().metrics
    record = RequestRecord(request, g.request_id, who(request), g.started, status, metrics)
    if response.is_streamed:
        response.response = _tracked(response.iter_encoded(), record)
    once = ExitStack()
    once.callback(record.close)
    response.call_on_close(once.close)
    return response


def _tracked(pieces: Iterable[bytes], record: RequestRecord) -> Iterator[bytes]:
    """The same pieces. Unless all of them are read, the client has gone."""
    sent_status = record.status

    def watch() -> Iterator[bytes]:
        try:
            yield from pieces
        except Exception as error:
            record.status = error.status if isinstance(error, SpeechError) else SpeechError.status
            raise
        record.status = sent_status

    record.status = ClientGone.status
    return watch()


def who(request: IncomingRequest) -> str:
    """The start of the key's digest, which identifies the key, else an address."""
    if digest := caller():
        return f"key:{digest[:8]}"
    return address(request)[:_MAX_CHARACTERS]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
