"""What each request was and what it cost: one line in the log, and the counts for Prometheus.

Both are written when the answer has left, a stream's with its last byte. The line replaces
Gunicorn's access log, which knows nothing of audio and calls every stream a 200.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, perf_counter, sleep

from flask import Flask, Response, g

from app.api import current_runtime
from app.api.access import address, caller
from app.api.application import IncomingRequest, incoming
from app.errors import ClientGone, ServerBusy, SpeechError
from app.logs import fields
from app.metrics import Metrics

UNKNOWN = "unknown"
"""The endpoint of every URL that doesn't exist: whatever is asked for must not become a label."""

_QUIET = frozenset({"health", "metrics"})
"""Blueprints that are asked every few seconds: their lines are told at level debug while all is well."""
_MOST_CHARACTERS = 200
_SETTLE_SECONDS = 1.0

_log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    """Account for every request. Comes before all else, so that nothing is left out."""
    app.before_request(_begin)
    app.after_request(_end_on_close)


@dataclass
class Account:
    """One request and what came of it; `status` as far as the one who sends its answer can tell."""

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
        """Nothing more is sent: write it down."""
        _settle(self.request)
        seconds = perf_counter() - self.began
        status = self.request.outcome or self.status
        self.metrics.end(self.endpoint, status, seconds, self.request.cost)
        if status == ServerBusy.status and self.request.blueprint not in _QUIET:
            self.metrics.refuse()
        quiet = self.request.blueprint in _QUIET and status < 400
        _log.log(logging.DEBUG if quiet else logging.INFO, "answered", extra=self._line(status, seconds))

    def _line(self, status: int, seconds: float) -> dict[str, object]:
        """What operations ask for. Never what was said, nor the key."""
        cost = self.request.cost
        return fields(
            request_id=self.request_id,
            who=self.who,
            method=self.request.method,
            path=self.request.sent_path[:_MOST_CHARACTERS],
            status=status,
            model=self.request.model[:_MOST_CHARACTERS],
            audio_seconds=round(cost.audio_seconds, 3),
            queue_ms=_milliseconds(cost.queue_seconds),
            decode_ms=_milliseconds(cost.decode_seconds),
            model_ms=_milliseconds(cost.model_seconds),
            total_ms=_milliseconds(seconds),
            windows=cost.windows,
            fallbacks=cost.fallbacks,
            agent=self.request.user_agent.string[:_MOST_CHARACTERS],
        )


def _begin() -> None:
    current_runtime().metrics.begin()


def _end_on_close(response: Response) -> Response:
    request = incoming()
    status = ClientGone.status if request.hung_up() else response.status_code
    account = Account(request, g.request_id, _who(request), g.started, status, current_runtime().metrics)
    if response.is_streamed:
        response.response = _watched(response.iter_encoded(), account)
    once = ExitStack()
    once.callback(account.close)
    response.call_on_close(once.close)
    return response


def _watched(pieces: Iterable[bytes], account: Account) -> Iterator[bytes]:
    """The same. Whoever doesn't take them to the end has gone."""
    promised = account.status

    def watch() -> Iterator[bytes]:
        try:
            yield from pieces
        except Exception as error:
            account.status = error.status if isinstance(error, SpeechError) else SpeechError.status
            raise
        account.status = promised

    account.status = ClientGone.status
    return watch()


def _settle(request: IncomingRequest) -> None:
    """Wait for work that the engine is about to drop, and that this request has cost all the same."""
    give_up = monotonic() + _SETTLE_SECONDS
    while request.cost.unfinished and monotonic() < give_up:
        sleep(0.01)


def _who(request: IncomingRequest) -> str:
    """Enough of a key's digest to tell keys apart, else an address."""
    if digest := caller():
        return f"key:{digest[:8]}"
    return address(request)[:_MOST_CHARACTERS]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
